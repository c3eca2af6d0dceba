"""What was done, what was wrong, and when something was announced to be away."""

import collections
import sys
import threading
import time

# What must be nought, in the order of the table. The words are the members of --json too.
FATAL = {
    "lost": "acknowledged but lost",
    "twice": "spent twice",
    "refused": "wrongly refused",
    "late": "accepted later than 1 s after a revocation",
    "faults": "500, or a panic in a log",
    "unexplained": "5xx, or a connection cut, with nothing announced",
    "stalled": "not answered from memory while PostgreSQL was away",
    "unready": "nodes that stopped badly or were ready too late",
    "driver": "mistakes of the driver itself",
}
SAMPLES = 6


class Window:
    """Something is away, from a moment on; `until` is the moment up to which that excuses anything."""

    def __init__(self, kind, node=None):
        self.kind, self.node, self.since, self.until = kind, node, time.monotonic(), None

    def close(self, grace=0.0):
        self.until = time.monotonic() + grace

    def covers(self, begun, ended):
        return self.since <= ended and (self.until is None or begun <= self.until)


class Ledger:
    def __init__(self):
        self.lock, self.stopping = threading.Lock(), threading.Event()
        self.operations, self.apart, self.wrong = collections.Counter(), collections.Counter(), collections.Counter()
        self.samples, self.windows, self.worst = [], [], collections.defaultdict(float)
        self.began, self.upgrade = time.monotonic(), "rolling restarts without a migration"

    def did(self, kind, times=1):
        with self.lock:
            self.operations[kind] += times

    def note(self, kind, times=1):
        """Counted apart: allowed, and told."""
        with self.lock:
            self.apart[kind] += times

    def bad(self, kind, text):
        """What must not be. The first few are told in full."""
        assert kind in FATAL, kind
        with self.lock:
            self.wrong[kind] += 1
            if self.wrong[kind] <= SAMPLES:
                self.samples.append((kind, time.monotonic() - self.began, text))
                print(f"  {time.monotonic() - self.began:6.1f} s  {FATAL[kind]}: {text}", file=sys.stderr, flush=True)

    def longest(self, what, seconds):
        with self.lock:
            self.worst[what] = max(self.worst[what], seconds)

    def open(self, kind, node=None):
        window = Window(kind, node)
        with self.lock:
            self.windows.append(window)
        return window

    def is_announced(self, kinds, begun, ended=None, node=None):
        """Whether one of these was away at any moment in between; `node` asks about one node only."""
        ended = time.monotonic() if ended is None else ended
        with self.lock:
            return any(
                window.kind in kinds and window.covers(begun, ended) and (node is None or window.node is None or window.node == node)
                for window in self.windows
            )

    def tell(self, text):
        print(f"  {time.monotonic() - self.began:6.1f} s  {text}", file=sys.stderr, flush=True)
