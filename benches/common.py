"""What the benches that load a server share: starting it on its core, asking it, and the generator (docs/performance.md).

Environment, for all of them:

    OPBENCH     the load generator, which is not part of this project          needed
    SERVER_BIN  the server                                                     built from here when absent
    FLOOR_BIN   another floor: FLOOR_BIN PORT WORKERS                          benches/floor is built when absent
    ROUNDS 3 · DURATION 3 · WARMUP 1 (seconds) · CONNECTIONS 32 · GEN_CPU 1 · SERVER_CPU 0
    AWAKE=1     keeps the generator's core from sleeping while the server works (see `awake`)
    BENCH_LOCK  a file that is locked (flock) around each round, where others share the machine
"""

import base64
import concurrent.futures
import contextlib
import fcntl
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

# Settings of another server would be this one's too.
for name in [name for name in os.environ if name.startswith("CNX_")]:
    del os.environ[name]

ROOT = Path(__file__).resolve().parent.parent
NAME = "benches/" + Path(sys.argv[0]).name
CPU = "server_cpu_us_per_op"


def stop(why):
    sys.exit(f"{NAME}: {why}")


def number(name, default):
    return int(os.environ.get(name, default))


ROUNDS, CONNECTIONS = number("ROUNDS", 3), number("CONNECTIONS", 32)


def build(arguments, folder, binary):
    subprocess.run(["cargo", "build", "--release", "--locked", *arguments], cwd=folder, check=True, stdout=sys.stderr)
    target = Path(os.environ.get("CARGO_TARGET_DIR", "target"))
    return str(folder / target / "release" / binary)


def programs():
    """The server and the floor."""
    if not os.access(os.environ.get("OPBENCH", ""), os.X_OK):
        stop("OPBENCH must name the load generator, which is not part of this project (docs/performance.md)")
    server = os.environ.get("SERVER_BIN") or build(["--bin", "cnx"], ROOT, "cnx")
    floor = os.environ.get("FLOOR_BIN") or build([], ROOT / "benches" / "floor", "floor")
    return server, floor


def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def core(name, default):
    """`taskset` for what stands in the environment as SERVER_CPU or GEN_CPU."""
    return ["taskset", "-c", os.environ.get(name, default)]


@contextlib.contextmanager
def running(command, env, port, log, core=core("SERVER_CPU", "0")):
    """A server on its core, from when it listens until the end of the block."""
    process = subprocess.Popen([*core, *command], env={**os.environ, **env}, stdout=log, stderr=log)
    try:
        # A database of a hundred times the seed takes a while to be loaded.
        for _ in range(1200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if process.poll() is not None:
                stop(f"{command[0]} ended: {Path(log.name).read_text()[-1000:]}")
            time.sleep(0.1)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def settings(folder, port):
    """Those of a server that a bench loads, in a folder of its own."""
    return {
        "CNX_DATA_DIR": str(folder / "data"),
        "CNX_LISTEN": f"127.0.0.1:{port}",
        "CNX_PUBLIC_URL": f"http://localhost:{port}",
        "CNX_TRUSTED_PROXIES": "127.0.0.1/32",
        "CNX_WORKERS": "1",
        # One key is asked about by the whole load: only with a burst it is not refused.
        "CNX_API_KEYS__ENTERPRISE_BURST": "1000000",
        "CNX_METRICS_LISTEN": f"127.0.0.1:{free_port()}",
    }


def command(cnx, env, *words, given=None):
    """What a command of cnx answers; `given` is its standard input."""
    ended = subprocess.run([cnx, *words, "--json"], env={**os.environ, **env}, capture_output=True, text=True, input=given)
    if ended.returncode:
        stop(f"cnx {' '.join(words)}: {ended.stderr.strip()}")
    return json.loads(ended.stdout) if ended.stdout else None


def post(connection, path, headers, body):
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status not in (200, 201):
        stop(f"POST {path}: {answer.status} {text[:300]}")
    return json.loads(text)


def basic(client):
    """The credentials of a client, as `cnx client add` shows them."""
    return "Basic " + base64.b64encode(f"{client['client_id']}:{client['client_secret']}".encode()).decode()


def access_token(client, port):
    headers = {"Authorization": basic(client), "Content-Type": "application/x-www-form-urlencoded"}
    connection = http.client.HTTPConnection("127.0.0.1", port)
    return post(connection, "/oauth2/token", headers, "grant_type=client_credentials")["access_token"]


def mint(port, token, count, scope):
    """Keys over HTTP, many at a time, so that they share commits."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def some(names):
        connection = http.client.HTTPConnection("127.0.0.1", port)
        bodies = ({"name": f"bench {n}", "environment": "prod", "scopes": [scope]} for n in names)
        return [post(connection, "/v1/keys", headers, json.dumps(body))["key"] for body in bodies]

    hands = min(16, count)
    with concurrent.futures.ThreadPoolExecutor(hands) as pool:
        return [key for keys in pool.map(some, (range(i, count, hands) for i in range(hands))) for key in keys]


# What each dialect of the gateway is asked with.
GATEWAYS = {
    "caddy": {"X-Forwarded-Method": "GET", "X-Forwarded-Uri": "/instances?limit=10"},
    "traefik": {"X-Forwarded-Method": "GET", "X-Forwarded-Uri": "/instances?limit=10"},
    "nginx": {"X-Original-Method": "GET", "X-Original-URI": "/instances?limit=10"},
    "envoy": {},
}


def key_request(work, caller, key):
    """A question about a key, as the generator's profile has it: `verify`, or a dialect of the gateway. The floor gets the same."""
    if work == "verify":
        body = json.dumps({"key": key, "scopes": ["instances:read"], "ip": "203.0.113.7"})
        headers = {"Authorization": f"Bearer {caller}"}
        return {"kind": "request", "method": "POST", "path": "/v1/keys/verify", "headers": headers, "body": body}
    path = "/gateway/envoy/instances" if work == "envoy" else f"/gateway/{work}?scope=instances:read"
    headers = {"Authorization": f"Bearer {key}", "X-Forwarded-For": "203.0.113.7", **GATEWAYS[work]}
    return {"kind": "request", "method": "GET", "path": path, "headers": headers}


def profile(path, name, port, works, **more):
    """A profile of the generator: which server, which requests."""
    about = {"name": name, "base_url": f"http://localhost:{port}", "discovery": "", "works": works, **more}
    path.write_text(json.dumps(about))
    return path


def measure(profile, work, pid, scratch, connections=CONNECTIONS):
    """One work at one server. An error in it is the bench's end: a server that refuses quickly would look like a fast one."""
    out = scratch / "measured.json"
    out.unlink(missing_ok=True)
    run = [*core("GEN_CPU", "1"), os.environ["OPBENCH"], str(profile), work, "-c", str(connections), "-r", "1"]
    run += ["-w", os.environ.get("WARMUP", "1"), "-d", os.environ.get("DURATION", "3"), "--pid", str(pid), "--out", str(out)]
    ended = subprocess.run(run, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if ended.returncode:
        stop(f"{work}: {ended.stderr.strip()}")
    result = json.loads(out.read_text())
    if result["errors"] or result["first_error"]:
        stop(f"{work}: {result['errors']} errors, the first: {result['first_error']}")
    if not result["ok"]:
        stop(f"{work}: nothing was answered in {result['seconds']:.1f} s")
    return result


@contextlib.contextmanager
def awake():
    """With AWAKE=1, something of idle priority runs on the generator's core. Where cores are virtual, whoever sends to one that sleeps pays for
    its waking: several microseconds of the server's CPU for each answer, which the floor, that keeps the generator busy, does not pay."""
    if os.environ.get("AWAKE") != "1":
        yield
        return
    spinner = subprocess.Popen(["chrt", "-i", "0", *core("GEN_CPU", "1"), sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        spinner.terminate()
        spinner.wait(10)


@contextlib.contextmanager
def machine():
    """The machine's lock, where there is one."""
    lock = os.environ.get("BENCH_LOCK")
    with open(lock, "a") if lock else contextlib.nullcontext() as held:
        if held:
            fcntl.flock(held, fcntl.LOCK_EX)
        yield
