"""The programs of a cluster, in one throw-away folder: PostgreSQL, Redis, nginx, and the nodes. Started here, ended here, by their process."""

import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

NODES = 3
NEEDED = {"postgres": "postgresql", "redis-server": "redis-server", "nginx": "nginx-light"}


class Missing(Exception):
    """A program is not there, and this account cannot install it."""


def _find(name):
    told = {"postgres": os.environ.get("TEST_POSTGRES_BIN", "") + "/postgres", "redis-server": os.environ.get("TEST_REDIS_SERVER", ""),
            "nginx": os.environ.get("TEST_NGINX", "")}[name]
    places = [told, *sorted((str(path) for path in Path("/usr/lib/postgresql").glob(f"*/bin/{name}")), reverse=True)]
    # Debian keeps nginx off the path of an ordinary account.
    places.append(shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/sbin") or "")
    return next((place for place in places if place and os.access(place, os.X_OK)), None)


def programs():
    """Where they are; as root on Debian what is missing is installed, and none of it is started as a service."""
    missing = [package for name, package in NEEDED.items() if _find(name) is None]
    if missing and os.getuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        # Under systemd only this program, which Debian asks, keeps a new service from being started.
        policy = Path("/usr/sbin/policy-rc.d")
        ours = not policy.exists()
        if ours:
            policy.write_text("#!/bin/sh\nexit 101\n")
            policy.chmod(0o755)
        try:
            for words in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *missing]):
                subprocess.run(["apt-get", *words], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        finally:
            if ours:
                policy.unlink()
    found = {name: _find(name) for name in NEEDED}
    if None in found.values():
        raise Missing(", ".join(name for name, place in found.items() if place is None))
    return found


_given = set()


def free_port():
    """One below the range that the kernel hands out by itself, so that no outgoing connection takes it while its server is away."""
    while True:
        port = 20000 + secrets.randbelow(12000)
        with socket.socket() as probe:
            if port not in _given and probe.connect_ex(("127.0.0.1", port)) != 0:
                _given.add(port)
                return port


def wait_for(holds, what, seconds=30):
    begun = time.monotonic()
    while not holds():
        if time.monotonic() - begun > seconds:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.02)
    return time.monotonic() - begun


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def status(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def text(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read().decode()


class Service:
    """One process with its log."""

    def __init__(self, folder, name):
        self.folder, self.name, self.process = folder / name, name, None
        self.folder.mkdir(mode=0o700)
        self.log = folder / f"{name}.log"

    def run(self, words, environment=None):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(words, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def send(self, number):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def end(self, number=signal.SIGTERM, seconds=10):
        if self.process is None or self.process.poll() is not None:
            return
        self.send(signal.SIGCONT)
        self.send(number)
        try:
            self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def last_words(self):
        return self.log.read_text(errors="replace")[-1500:] if self.log.exists() else ""


class Postgres(Service):
    def __init__(self, folder, program):
        super().__init__(folder, "postgres")
        self.bin, self.port, self.as_owner = Path(program).parent, free_port(), []
        # PostgreSQL refuses to run as root, so root lends it another account.
        if os.getuid() == 0:
            names = {entry.pw_name for entry in pwd.getpwall()}
            owner = pwd.getpwnam(os.environ.get("TEST_POSTGRES_USER") or ("postgres" if "postgres" in names else "nobody"))
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
            self.as_owner = ["setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups", "--"]
        made = [*self.as_owner, str(self.bin / "initdb"), "-D", str(self.folder / "data"), "-U", "cnx", "-E", "UTF8", "--locale=C", "--auth=trust"]
        done = subprocess.run([*made, "--no-instructions"], cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        self.url = f"postgres://cnx@127.0.0.1:{self.port}/postgres"

    def start(self):
        # Programs die here and machines do not: what was committed has to be with the system, not on the disk, and so a busy disk of a shared
        # machine is no outage of its own. What takes a second all the same is told in the log.
        settings = ("fsync=off", "synchronous_commit=on", "log_min_duration_statement=1000", "log_lock_waits=on")
        words = [word for setting in settings for word in ("-c", setting)]
        place = ["-D", str(self.folder / "data"), "-p", str(self.port), "-k", str(self.folder), "-h", "127.0.0.1"]
        self.run([*self.as_owner, str(self.bin / "postgres"), *place, *words])
        ready = [str(self.bin / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        wait_for(lambda: subprocess.run(ready, check=False).returncode == 0, "PostgreSQL starts")

    def everybody(self, number):
        """The server and each of its processes: connections stay open and nobody answers."""
        self.send(number)
        pid = self.process.pid
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            try:
                os.kill(int(child), number)
            except ProcessLookupError:
                pass

    def end(self, number=signal.SIGINT, seconds=20):
        if self.process is not None and self.process.poll() is None:
            self.everybody(signal.SIGCONT)
        super().end(number, seconds)


class Redis(Service):
    def __init__(self, folder, program):
        super().__init__(folder, "redis")
        self.program, self.port = program, free_port()

    def start(self):
        self.run([self.program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        wait_for(lambda: listens(self.port), "Redis starts")


class Nginx(Service):
    def __init__(self, folder, program, nodes):
        super().__init__(folder, "nginx")
        self.program, self.port = program, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        temporary = "".join(f"  {kind}_temp_path {self.folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        upstream = "".join(f"    server 127.0.0.1:{port} max_fails=1 fail_timeout=1s;\n" for port in nodes)
        # Nothing is set about asking a second node: as it comes, nginx does that only where no node can have acted on the first.
        (self.folder / "nginx.conf").write_text(f"""daemon off;
master_process off;
pid {self.folder}/pid;
error_log {self.log} error;
events {{ worker_connections 1024; }}
http {{
  access_log off;
{temporary}  upstream nodes {{
{upstream}  }}
  server {{
    listen 127.0.0.1:{self.port};
    location / {{
      proxy_pass http://nodes;
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_connect_timeout 1s;
      proxy_read_timeout 15s;
    }}
  }}
}}
""")

    def start(self):
        self.run([self.program, "-e", str(self.log), "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")])
        wait_for(lambda: listens(self.port), "nginx starts")


class Node(Service):
    def __init__(self, folder, number, port):
        super().__init__(folder, f"node{number}")
        self.number, self.port = number, port
        self.url = f"http://127.0.0.1:{port}"

    def start(self, binary, environment):
        """Starts it; gives the seconds until it was ready."""
        self.run([binary, "serve"], {**environment, "CNX_DATA_DIR": str(self.folder), "CNX_LISTEN": f"127.0.0.1:{self.port}"})

        def is_ready():
            assert self.process.poll() is None, f"{self.name} ended: {self.last_words()}"
            return status(f"{self.url}/readyz") == 200

        return wait_for(is_ready, f"{self.name} is ready")


class Cluster:
    """All of them."""

    def __init__(self, binary, folder, found):
        self.binary, self.folder = binary, folder
        ports = [free_port() for _ in range(NODES)]
        self.postgres, self.redis = Postgres(folder, found["postgres"]), Redis(folder, found["redis-server"])
        self.nginx = Nginx(folder, found["nginx"], ports)
        self.nodes = [Node(folder, number, port) for number, port in enumerate(ports, 1)]
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("CNX_")} | {
            "CNX_PUBLIC_URL": self.nginx.url, "CNX_DATABASE_URL": self.postgres.url, "CNX_REDIS_URL": f"redis://127.0.0.1:{self.redis.port}/",
            "CNX_MASTER_KEY_FILE": str(folder / "master.key"), "CNX_TRUSTED_PROXIES": "127.0.0.1/32", "CNX_DATA_DIR": str(folder / "commands"),
            # So that a new key signs about a minute after it was made, within the run.
            "CNX_SIGNING__JWKS_MAX_AGE_SECONDS": "1", "CNX_SIGNING__RSA_BITS": "2048",
            # Looked at again at the end of the run, which may last longer than ten minutes.
            "CNX_TOKENS__ACCESS_SECONDS": "7200",
            # Replays are tried on purpose, all of them from one place.
            "CNX_LIMITS__CLIENT_FAILURES": "10000",
        }
        (folder / "commands").mkdir(mode=0o700)

    def start(self):
        self.postgres.start()
        self.redis.start()
        self.nginx.start()
        self.command("migrate")
        return [node.start(self.binary, self.environment) for node in self.nodes]

    def command(self, *words, stdin="", raw=False, good=(0,)):
        done = subprocess.run([self.binary, *words, *([] if raw else ["--json"])], input=stdin, env=self.environment, cwd=self.folder, text=True, capture_output=True, check=False)
        assert done.returncode in good, f"cnx {' '.join(words)}: exit {done.returncode}: {done.stderr[-1500:]}"
        return done.stdout if raw else json.loads(done.stdout)

    def end(self):
        for service in (*self.nodes, self.nginx, self.redis, self.postgres):
            service.end()
