"""What `benches/run` finds out beside the works: memory at rest and with 10,000 connections, and how soon a start is answered."""

import os
import resource
import socket
import statistics
import subprocess
import time

from common import core, running, stop

CONNECTIONS = 10_000
# Ports of one source address that are used: a system has 28,000 of them by default, and others use some.
OF_ONE_SOURCE = 5_000
STARTS = 5
# Until a server that was just started has done what it does at first.
SETTLE = 3


def resident(pid):
    """MiB of memory that the process holds, and how many of them are its own: the others are pages of the program's file, which the system
    may drop at any time and shares among processes."""
    with open(f"/proc/{pid}/status") as status:
        said = dict(line.split(":", 1) for line in status)
    mib = lambda name: int(said[name].split()[0]) / 1024
    return {"rss": mib("VmRSS"), "own": mib("RssAnon")}


def measure(bench):
    """In one server after another; the database is the one that the works were measured on."""
    starts = [cold_start(bench) for _ in range(STARTS)]
    with bench.server(1) as server:
        time.sleep(SETTLE)
        rest = resident(server.pid)
    return {"start_ms": starts, "rest_mib": rest, "connected_mib": connected(bench)}


def cold_start(bench):
    """Milliseconds from the start of the program to the first 200 of `/readyz`, which asks the database and the keys."""
    began = time.monotonic()
    command = [*core("SERVER_CPU", "0"), bench.cnx, "serve"]
    server = subprocess.Popen(command, env={**os.environ, **bench.env}, stdout=bench.log, stderr=bench.log)
    try:
        while time.monotonic() - began < 120:
            if answers(bench.port):
                return (time.monotonic() - began) * 1000
            if server.poll() is not None:
                stop(f"the server ended when it was started: {server.returncode}")
            time.sleep(0.0005)
        stop("the server was not ready within two minutes")
    finally:
        server.terminate()
        server.wait(20)


def answers(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return connection.recv(64).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False


def connected(bench):
    """MiB with 10,000 connections that were answered once each and are kept."""
    # Ours and, as it inherits them, the server's.
    wanted = CONNECTIONS + 1_000
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < wanted:
        stop(f"ulimit -Hn: {most}; {wanted} open files are needed for {CONNECTIONS} connections")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    # They come from two addresses, which may hold them all here.
    most = {"CNX_LIMITS__CONNECTIONS": str(CONNECTIONS + 100), "CNX_LIMITS__CONNECTIONS_PER_ADDRESS": str(CONNECTIONS)}
    env = {**bench.env, **most}
    with running([bench.cnx, "serve"], env, bench.port, bench.log) as server:
        kept = []
        try:
            for n in range(CONNECTIONS):
                kept.append(ask(bench.port, f"127.0.0.{1 + n // OF_ONE_SOURCE}"))
            memory = resident(server.pid)
            if open_ := sum(map(is_closed, kept)):
                stop(f"{open_} of {CONNECTIONS} connections were closed by the server before its memory was read")
            return memory
        finally:
            for connection in kept:
                connection.close()


def ask(port, source):
    """A connection that had one answer."""
    connection = socket.create_connection(("127.0.0.1", port), 10, source_address=(source, 0))
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    if not connection.recv(4096).startswith(b"HTTP/1.1 200 "):
        stop(f"a connection from {source} was not answered with 200")
    return connection


def is_closed(connection):
    """Whether the other side has closed it: a connection with nothing to read is open."""
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def table(found):
    starts = found["start_ms"]
    memory = lambda name: "{rss:.1f} MiB, of them {own:.1f} not the program's file".format(**found[name])
    spread = f"{min(starts):.0f} to {max(starts):.0f}"
    return "\n".join(
        [
            "| state | found | goal |",
            "| --- | --- | --- |",
            f"| memory at rest | {memory('rest_mib')} | 40 MB |",
            f"| memory with {CONNECTIONS:,} connections | {memory('connected_mib')} | 120 MB |",
            f"| start to the first 200 of /readyz, median of {len(starts)} ({spread}) | {statistics.median(starts):.0f} ms | 50 ms |",
        ]
    )
