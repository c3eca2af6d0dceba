#!/usr/bin/env python3
"""Runs the server for a long time at half of what it can do, and fails unless it is at the end as it was in the middle (F27).

    tests/soak.py PATH/TO/cnx [--minutes 30] [--every 10] [--share 0.5] [--threads 8]

First it measures for ten seconds how many requests a second come through. Then it asks for that share of them, evenly in time:
refreshes, introspection, userinfo, tokens of clients, key sets, and now and then a sign-in. Each sample is a line: memory, open files,
rows, size of the database, latencies. The first third warms up; the last third is compared with the middle one:

    memory        at most 5 % and 4 MiB more            open files   at most 4 more
    p50           at most 25 % and 1 ms more            p99          at most 50 % and 10 ms more
    database      at most 2 KiB more for each row more, and 1 MiB
    answers       none is 5xx, none is lost, none is refused

Lifetimes are short, so that what is over is deleted within the run; families and events of the audit log are kept for longer by
design, so rows are counted and the size is held to them. Standard library only.
"""

import argparse
import os
import random
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from kill9 import App, Person, Server, check  # noqa: E402

PASSWORD = "a long enough passphrase for the soak"
REDIRECT = "https://app.example.com/callback"
WARM_UP = 10
SHORT_LIVES = {
    "CNX_TOKENS__ACCESS_SECONDS": "120",
    "CNX_TOKENS__ID_SECONDS": "120",
    "CNX_SESSIONS__ABSOLUTE_SECONDS": "240",
    "CNX_SESSIONS__IDLE_SECONDS": "120",
}


class Load:
    """Threads that each hold one grant and ask with it; as fast as they can, or at a pace."""

    def __init__(self, server, client, threads):
        self.server, self.client = server, client
        self.stop, self.pace = threading.Event(), 0.0
        self.lock, self.took, self.wrong = threading.Lock(), [], []
        self.workers = [threading.Thread(target=self.work, args=(n,), daemon=True) for n in range(threads)]
        self.workers.append(threading.Thread(target=self.sign_in_again, daemon=True))

    def begin(self):
        for worker in self.workers:
            worker.start()

    def end(self):
        self.stop.set()
        for worker in self.workers:
            worker.join(30)

    def taken(self):
        """The latencies since the last time."""
        with self.lock:
            took, self.took = self.took, []
        return sorted(took)

    def grant(self, app, name):
        code, verifier = app.code(Person(self.server.url, name, PASSWORD))
        status, tokens = app.redeem(code, verifier)
        check(status == 200, "a code", (status, tokens))
        return tokens

    def work(self, number):
        try:
            mind, app = random.Random(number), App(self.server, *self.client)
            # Where each begins within its turn is spread, so that the pace is even.
            tokens, due = self.grant(app, f"person{number % 4}"), time.monotonic() + mind.random()
            while not self.stop.is_set():
                if self.pace:
                    due = max(due + self.pace, time.monotonic() - 1)
                    time.sleep(max(0.0, due - time.monotonic()))
                begun = time.monotonic()
                tokens = self.ask(app, tokens, mind.random())
                with self.lock:
                    self.took.append(time.monotonic() - begun)
        except Exception as error:  # told at the next sample
            self.wrong.append(error)

    def ask(self, app, tokens, chance):
        if chance < 0.3:
            status, tokens = app.refresh(tokens["refresh_token"])
        elif chance < 0.6:
            status = app.post("/oauth2/introspect", token=tokens["access_token"]).status
        elif chance < 0.8:
            bearer = {"authorization": f"Bearer {tokens['access_token']}"}
            status = app.agent.request("GET", f"{self.server.url}/oauth2/userinfo", None, bearer).status
            # Its two minutes may be over: then it is refreshed, as a client does.
            if status == 401:
                status, tokens = app.refresh(tokens["refresh_token"])
        elif chance < 0.95:
            status, _ = app.token(grant_type="client_credentials")
        else:
            status = app.agent.request("GET", f"{self.server.url}/.well-known/jwks.json").status
        check(status == 200, "an answer", (status, tokens))
        return tokens

    def sign_in_again(self):
        """New sessions, codes and families: rows that come and go."""
        try:
            app, number = App(self.server, *self.client), 0
            while not self.stop.wait(1.0):
                self.grant(app, f"person{number % 4}")
                number += 1
        except Exception as error:
            self.wrong.append(error)


def status_of(process, name):
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    raise AssertionError(name)


def rows(file):
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=10) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")]
        return sum(database.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in tables)


def sample(server, load, seconds):
    took = load.taken()
    check(not load.wrong, "every answer is a good one", load.wrong[:3])
    check(took, "something is asked", took)
    process, file = server.process.pid, server.folder / "cnx.db"
    return {
        "rate": len(took) / seconds,
        "memory": status_of(process, "VmRSS:") / 1024,
        "files": len(os.listdir(f"/proc/{process}/fd")),
        "rows": rows(file),
        "size": os.path.getsize(file) / 1024,
        "p50": took[len(took) // 2] * 1000,
        "p99": took[len(took) * 99 // 100] * 1000,
    }


def told(at, one):
    return (f"{at:6.0f} s  {one['rate']:6.0f}/s  {one['memory']:7.1f} MiB  {one['files']:4d} files  {one['rows']:7d} rows  "
            f"{one['size']:8.0f} KiB  p50 {one['p50']:6.2f} ms  p99 {one['p99']:7.2f} ms")


def judge(samples):
    """What is worse in the last third than in the middle one; empty when nothing is."""
    third = len(samples) // 3
    check(third > 0, "three samples at least", len(samples))
    middle, last = samples[third:2 * third], samples[2 * third:]

    def of(part, name):
        return statistics.median(one[name] for one in part)

    wrong = []
    for name, factor, more in (("memory", 1.05, 4), ("files", 1, 4), ("p50", 1.25, 1), ("p99", 1.5, 10)):
        before, after = of(middle, name), of(last, name)
        if after > before * factor + more:
            wrong.append(f"{name}: {before:.2f} in the middle, {after:.2f} at the end")
    grown, rows_more = last[-1]["size"] - middle[0]["size"], max(0, last[-1]["rows"] - middle[0]["rows"])
    if grown > 2 * rows_more + 1024:
        wrong.append(f"database: {grown:.0f} KiB more for {rows_more} rows more")
    return wrong


def furnish(server, folder):
    for number in range(4):
        server.command("user", "add", f"person{number}@example.com", "--username", f"person{number}", "--password-stdin", stdin=PASSWORD)
    metadata = Path(folder) / "client.json"
    metadata.write_text(
        '{"client_name": "soak", "redirect_uris": ["%s"], "skip_consent": true, "scope": "openid offline_access",'
        ' "grant_types": ["authorization_code", "refresh_token", "client_credentials"],'
        ' "token_endpoint_auth_method": "client_secret_basic"}' % REDIRECT)
    made = server.command("client", "add", "--metadata", str(metadata))
    return made["client_id"], made["client_secret"]


def main(wanted, folder):
    server = Server(os.path.abspath(wanted.cnx), folder)
    server.environment |= SHORT_LIVES
    try:
        client = furnish(server, folder)
        server.start()
        load = Load(server, client, wanted.threads)
        load.begin()
        time.sleep(3)
        load.taken()
        time.sleep(WARM_UP)
        most = len(load.taken()) / WARM_UP
        check(not load.wrong, "every answer is a good one", load.wrong[:3])
        load.pace = wanted.threads / (most * wanted.share)
        print(f"{most:.0f} requests a second come through; {most * wanted.share:.0f} are asked for, {wanted.minutes:g} minutes long", flush=True)
        samples, begun = [], time.monotonic()
        load.taken()
        while time.monotonic() - begun < wanted.minutes * 60:
            time.sleep(wanted.every)
            samples.append(sample(server, load, wanted.every))
            print(told(time.monotonic() - begun, samples[-1]), flush=True)
        load.end()
        wrong = judge(samples)
        check(not wrong, "it is at the end as it was in the middle", wrong)
        server.stop()
        print(f"OK: {sum(one['rate'] for one in samples) * wanted.every:.0f} requests, and nothing grew but what is kept")
    except Exception:
        log = server.log.read_text(errors="replace")[-3000:] if server.log.exists() else ""
        print(f"the server's last words:\n{log}", file=sys.stderr)
        raise
    finally:
        server.end()


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("cnx", help="the program")
    options.add_argument("--minutes", type=float, default=30)
    options.add_argument("--every", type=float, default=10, help="seconds between samples")
    options.add_argument("--share", type=float, default=0.5, help="how much of what comes through is asked for")
    options.add_argument("--threads", type=int, default=8)
    with tempfile.TemporaryDirectory(prefix="cnx-soak-") as scratch:
        main(options.parse_args(), scratch)
