#!/usr/bin/env python3
"""Kills the server in the middle of a burst of sign-ins and refreshes, starts it again, and checks what must still hold.

    tests/kill9.py PATH/TO/cnx

No acknowledged token is lost, no code or refresh token works twice, a lost answer can be asked for again, the database is
whole, and the server is ready again within two seconds. Standard library only. Environment:

    CNX_KILL9_ROUNDS           how often to kill (3)
    CNX_KILL9_THREADS          chains of refreshes at once (16)
    CNX_KILL9_START_SECONDS    the longest start that is accepted (2)
    CNX_KILL9_POSTGRES=yes     on PostgreSQL: a new database beside TEST_POSTGRES_URL, made by psql of TEST_POSTGRES_BIN
    CNX_KILL9_SEED             the same moments again
"""

import base64
import hashlib
import http.client
import json
import os
import random
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent / "clients"))
from person import Agent, Person, check  # noqa: E402

ROUNDS = int(os.environ.get("CNX_KILL9_ROUNDS", "3"))
THREADS = int(os.environ.get("CNX_KILL9_THREADS", "16"))
START_SECONDS = float(os.environ.get("CNX_KILL9_START_SECONDS", "2"))
SEED = int(os.environ.get("CNX_KILL9_SEED", str(secrets.randbelow(1_000_000))))
REDIRECT = "https://app.example.com/callback"
SCOPE = "openid offline_access"
USERS = 4
PASSWORD = "a long enough passphrase for kill9"
LOST = (OSError, http.client.HTTPException)


class Server:
    """The real binary on one data folder and one port, started, killed and started again."""

    def __init__(self, binary, folder):
        self.binary, self.folder = binary, Path(folder)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("CNX_")}
        self.environment |= {
            "CNX_DATA_DIR": str(self.folder),
            "CNX_LISTEN": f"127.0.0.1:{self.port}",
            "CNX_PUBLIC_URL": self.url,
            "CNX_DATABASE_URL": database_url(self.folder),
        }
        self.process, self.log = None, self.folder / "server.log"

    def command(self, *words, stdin=""):
        done = subprocess.run([self.binary, *words, "--json"], input=stdin, env=self.environment, cwd=self.folder, text=True, capture_output=True)
        check(done.returncode == 0, f"cnx {' '.join(words)}", f"exit {done.returncode}: {done.stderr[-2000:]}")
        return json.loads(done.stdout)

    def start(self):
        """Starts it; gives the seconds until it was ready."""
        begun = time.monotonic()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([self.binary, "serve"], env=self.environment, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        while time.monotonic() - begun < 30:
            check(self.process.poll() is None, "the server starts", self.log.read_text(errors="replace")[-2000:])
            try:
                if Agent(self.url, timeout=5).request("GET", f"{self.url}/readyz").status == 200:
                    return time.monotonic() - begun
            except LOST:
                pass
            time.sleep(0.01)
        raise AssertionError(f"not ready within 30 s: {self.log.read_text(errors='replace')[-2000:]}")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.terminate()
        check(self.process.wait(timeout=10) == 0, "SIGTERM ends it with exit 0 within 10 s", self.process.returncode)

    def end(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def psql(database, statement):
    base, _, _ = os.environ["TEST_POSTGRES_URL"].rpartition("/")
    program = shutil.which("psql", path=os.environ.get("TEST_POSTGRES_BIN", "") + os.pathsep + os.environ["PATH"])
    done = subprocess.run([program, "-X", "-q", "-d", f"{base}/{database}", "-c", statement], text=True, capture_output=True)
    check(done.returncode == 0, statement, done.stderr)
    return f"{base}/"


def database_url(folder):
    if os.environ.get("CNX_KILL9_POSTGRES") != "yes":
        return f"sqlite:{folder}/cnx.db"
    name = f"cnx_kill9_{secrets.token_hex(6)}"
    return psql("postgres", f"CREATE DATABASE {name}") + name


class App:
    """A client that is ours to keep: signs in, redeems, refreshes, asks."""

    def __init__(self, server, client_id, secret):
        self.server, self.agent = server, Agent(server.url)
        basic = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
        self.client_id, self.headers = client_id, {"authorization": f"Basic {basic}"}

    def post(self, path, **form):
        return self.agent.request("POST", f"{self.server.url}{path}", form, self.headers)

    def token(self, **form):
        answer = self.post("/oauth2/token", **form)
        return answer.status, json.loads(answer.text or "{}")

    def refresh(self, token):
        return self.token(grant_type="refresh_token", refresh_token=token)

    def redeem(self, code, verifier):
        return self.token(grant_type="authorization_code", code=code, redirect_uri=REDIRECT, code_verifier=verifier)

    def is_active(self, token):
        return json.loads(self.post("/oauth2/introspect", token=token).text).get("active")

    def code(self, person):
        verifier = secrets.token_urlsafe(32)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {"response_type": "code", "client_id": self.client_id, "redirect_uri": REDIRECT, "scope": SCOPE,
                 "code_challenge": challenge, "code_challenge_method": "S256", "state": "s"}
        answer = person.walk(f"{self.server.url}/oauth2/authorize?{urlencode(query)}", REDIRECT)
        answered = parse_qs(urlsplit(answer).query)
        check("code" in answered, "a code", answered)
        return answered["code"][0], verifier


class Chain:
    """One sign-in and its refreshes, as the client knows them: only what was acknowledged."""

    def __init__(self, code, verifier, tokens):
        self.code, self.verifier = code, verifier
        self.spent, self.refresh, self.access = [], tokens["refresh_token"], tokens["access_token"]
        self.lost_answer = False

    def acknowledge(self, tokens):
        if tokens["refresh_token"] != self.refresh:
            self.spent.append(self.refresh)
        self.refresh, self.access = tokens["refresh_token"], tokens["access_token"]


class Burst:
    """Threads that sign in and refresh until the server is gone."""

    def __init__(self, server, client, chains, mind):
        self.server, self.client, self.mind = server, client, mind
        self.chains, self.half_codes, self.wrong = list(chains), [], []
        self.sign_ins = self.refreshes = 0
        self.lock, self.gone = threading.Lock(), threading.Event()

    def keep_refreshing(self, mine):
        app = App(self.server, *self.client)
        try:
            while not self.gone.is_set():
                for chain in mine:
                    chain.lost_answer = True
                    status, tokens = app.refresh(chain.refresh)
                    check(status == 200, "a refresh", (status, tokens))
                    chain.acknowledge(tokens)
                    chain.lost_answer = False
                    with self.lock:
                        self.refreshes += 1
        except LOST:
            pass
        except Exception as error:  # told by the main thread
            self.wrong.append(error)

    def keep_signing_in(self, number):
        app = App(self.server, *self.client)
        try:
            while not self.gone.is_set():
                person = Person(self.server.url, f"person{number % USERS}", PASSWORD)
                for _ in range(10):
                    code, verifier = app.code(person)
                    self.half_codes.append((code, verifier))
                    status, tokens = app.redeem(code, verifier)
                    check(status == 200, "a code", (status, tokens))
                    with self.lock:
                        self.half_codes.remove((code, verifier))
                        self.chains.append(Chain(code, verifier, tokens))
                        self.sign_ins += 1
        except LOST:
            pass
        except Exception as error:
            self.wrong.append(error)

    def run(self, seconds):
        share = [self.chains[i::THREADS] for i in range(THREADS)]
        threads = [threading.Thread(target=self.keep_refreshing, args=(mine,)) for mine in share if mine]
        threads += [threading.Thread(target=self.keep_signing_in, args=(n,)) for n in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        self.server.kill()
        self.gone.set()
        for thread in threads:
            thread.join()
        if self.wrong:
            raise self.wrong[0]


def verify(server, client, burst, mind):
    """What must hold after the start. Gives the chains that live on and the number of lost answers."""
    app, living, lost = App(server, *client), [], 0
    for chain in burst.chains:
        check(app.is_active(chain.access) is True, "an acknowledged access token is still active")
        # The last acknowledged token works, whether or not a refresh of it was committed before the answer was lost.
        status, tokens = app.refresh(chain.refresh)
        check(status == 200, f"an acknowledged refresh token still works (answer lost: {chain.lost_answer})", (status, tokens))
        lost += chain.lost_answer
        chain.lost_answer = False
        chain.acknowledge(tokens)
        status, tokens = app.refresh(chain.refresh)
        check(status == 200, "and so does its successor", (status, tokens))
        chain.acknowledge(tokens)
        fate = mind.randrange(4)
        if fate == 0:
            status, answer = app.refresh(mind.choice(chain.spent[:-1]))
            check((status, answer.get("error")) == (400, "invalid_grant"), "a spent refresh token is refused", (status, answer))
            status, answer = app.refresh(chain.refresh)
            check((status, answer.get("error")) == (400, "invalid_grant"), "and its replay ended the family", (status, answer))
            check(app.is_active(chain.access) is False, "with the access tokens")
        elif fate == 1:
            status, answer = app.redeem(chain.code, chain.verifier)
            check((status, answer.get("error")) == (400, "invalid_grant"), "a spent code is refused", (status, answer))
            check(app.is_active(chain.access) is False, "and its replay ended what the first use began")
        else:
            living.append(chain)
    # Codes whose redemption was cut off: at most one answer with tokens, ever.
    for code, verifier in burst.half_codes:
        good = sum(app.redeem(code, verifier)[0] == 200 for _ in range(3))
        check(good <= 1, "a code works at most once", good)
    return living[-3 * THREADS :], lost


def is_whole(folder):
    if os.environ.get("CNX_KILL9_POSTGRES") == "yes":
        return
    with sqlite3.connect(f"file:{folder}/cnx.db?mode=ro", uri=True, timeout=10) as database:
        check(database.execute("PRAGMA integrity_check").fetchall() == [("ok",)], "PRAGMA integrity_check")
        check(database.execute("PRAGMA foreign_key_check").fetchall() == [], "PRAGMA foreign_key_check")


def main(binary, folder):
    mind = random.Random(SEED)
    server = Server(binary, folder)
    try:
        for number in range(USERS):
            server.command("user", "add", f"person{number}@example.com", "--username", f"person{number}", "--password-stdin", stdin=PASSWORD)
        metadata = Path(folder) / "client.json"
        metadata.write_text(json.dumps({
            "client_name": "kill9", "redirect_uris": [REDIRECT], "grant_types": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_method": "client_secret_basic", "scope": SCOPE, "skip_consent": True}))
        made = server.command("client", "add", "--metadata", str(metadata))
        client = (made["client_id"], made["client_secret"])
        print(f"first start: {server.start():.2f} s; seed {SEED}", flush=True)
        chains, total = [], [0, 0, 0]
        for number in range(1, ROUNDS + 1):
            burst = Burst(server, client, chains, mind)
            burst.run(mind.uniform(0.7, 2.5))
            seconds = server.start()
            check(seconds < START_SECONDS, f"ready again within {START_SECONDS} s", f"{seconds:.2f} s")
            is_whole(folder)
            chains, lost = verify(server, client, burst, mind)
            total = [a + b for a, b in zip(total, (burst.sign_ins, burst.refreshes, lost))]
            print(f"round {number}: {burst.sign_ins} sign-ins, {burst.refreshes} refreshes, {lost} answers lost, "
                  f"{len(burst.half_codes)} codes cut off, ready again in {seconds:.2f} s", flush=True)
        check(total[0] > 0 and (ROUNDS == 1 or total[1] > 0), "something was going on when it was killed", total)
        server.stop()
        server.start()
        verify(server, client, Burst(server, client, chains, mind), mind)
        server.stop()
        is_whole(folder)
        report = server.command("audit", "verify")
        check(report["sound"], "the audit log is one chain", report)
        told = server.command("audit", "tail", "-n", "10000", "--act", "user.signed_in")["events"]
        check(told, "people's sign-ins are in the audit log", told)
        print(f"OK: {ROUNDS} kills, {total[0]} sign-ins, {total[1]} refreshes, {total[2]} lost answers recovered")
    except Exception:
        print(f"seed {SEED}; the server's last words:\n{server.log.read_text(errors='replace')[-3000:] if server.log.exists() else ''}", file=sys.stderr)
        raise
    finally:
        server.end()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory(prefix="cnx-kill9-") as scratch:
        main(os.path.abspath(sys.argv[1]), scratch)
