"""Another server, for the same works in the same rounds. What is known of it lives outside of this project, in a folder that PEERS names:

    PEERS/NAME/peer.toml      start = ["command", …], ready = "http://…", and if need be prepare = ["shell line", …] and env = { … };
                              {run} is a scratch folder, {dir} the peer's own, $NAME comes from the environment
    PEERS/NAME/profile.toml   the generator's profile of it; works that are called as ours are held against ours

NODE_BIN is the `node` of the path when it is absent.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
import tomllib
import urllib.parse
from pathlib import Path

from common import core, measure, stop


class Peer:
    """It runs as long as the block does."""

    def __init__(self, name, folder, log):
        self.name, self.log, self.run = name, log, folder / "peer"
        # Absolute: the peer runs in another folder.
        self.dir = (Path(os.environ.get("PEERS") or stop("PEERS must name the folder of the peers (benches/peer.py)")) / name).resolve()
        if not (self.dir / "peer.toml").is_file():
            stop(f"{self.dir}/peer.toml: there is no such peer")
        self.about = tomllib.loads((self.dir / "peer.toml").read_text())
        self.profile = self.dir / self.about.get("profile", "profile.toml")
        self.works = tomllib.loads(self.profile.read_text())["works"]

    def __enter__(self):
        self.run.mkdir()
        os.environ.setdefault("NODE_BIN", shutil.which("node") or "node")
        env = {**os.environ, "DIR": str(self.dir), "RUN": str(self.run), **{k: self.filled(v) for k, v in self.about.get("env", {}).items()}}
        for line in self.about.get("prepare", []):
            if subprocess.run(line, shell=True, cwd=self.run, env=env, stdout=self.log, stderr=self.log).returncode:
                stop(f"{self.name}: {line}: it failed")
        command = [*core("SERVER_CPU", "0"), *map(self.filled, self.about["start"])]
        self.process = subprocess.Popen(command, cwd=self.run, env=env, stdout=self.log, stderr=self.log)
        self.wait()
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def filled(self, text):
        return os.path.expandvars(text.replace("{dir}", str(self.dir)).replace("{run}", str(self.run)))

    def wait(self):
        """Until it answers with 200."""
        url = urllib.parse.urlsplit(self.about["ready"])
        for _ in range(600):
            try:
                with socket.create_connection((url.hostname, url.port), 1) as connection:
                    connection.sendall(f"GET {url.path or '/'} HTTP/1.1\r\nHost: {url.netloc}\r\nConnection: close\r\n\r\n".encode())
                    if connection.recv(64).split(b" ")[1:2] == [b"200"]:
                        return
            except OSError:
                pass
            if self.process.poll() is not None:
                stop(f"{self.name} ended: {self.process.returncode}")
            time.sleep(0.1)
        self.process.kill()
        stop(f"{self.name} was not ready within a minute")

    def has(self, work):
        return work in self.works

    def measure(self, work, scratch, connections):
        return measure(self.profile, work, self.process.pid, scratch, connections)
