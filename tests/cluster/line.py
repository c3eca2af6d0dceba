"""How the driver talks: one place decides what an answer that is none means, whoever asked."""

import http.client
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "clients"))
from person import Agent  # noqa: E402

CUT = (OSError, http.client.HTTPException)

class Away(Exception):
    """No decision came back. What was asked may have been done all the same."""

    def __init__(self, why, wait=0.1):
        super().__init__(why)
        self.wait = wait


class Line:
    """A kept connection, to the balancer or (with `node`) to one node. It answers with decisions only, and counts the rest."""

    def __init__(self, ledger, public, base=None, node=None, timeout=20):
        self.ledger, self.public, self.node = ledger, public, node
        self.agent = Agent(base or public, timeout=timeout)
        self.host = public.split("//")[1]

    def close(self):
        self.agent.close()

    def request(self, method, url, body=None, headers=None, from_memory=False):
        """`from_memory`: a node needs no database for it, so not even an outage of PostgreSQL excuses an error."""
        begun = time.monotonic()
        what = f"{method} {url.removeprefix(self.public)[:60]}"
        try:
            answer = self.agent.request(method, url, body, {"host": self.host, **(headers or {})})
        except CUT as error:
            return self._cut(f"{what}: {error!r}", begun)
        if answer.status < 500:
            return answer
        if "x-request-id" not in answer.headers:
            # The balancer's own words.
            return self._cut(f"{what}: {answer.status} of the balancer", begun)
        text = f"{what}: {answer.status} {answer.headers['x-request-id']} {' '.join(answer.text.split())[:200]}"
        if answer.status == 503 and "retry-after" in answer.headers:
            if self.ledger.is_announced(("postgres",), begun):
                if from_memory:
                    self.ledger.bad("stalled", text)
                self.ledger.note("503 with Retry-After while PostgreSQL was away")
                raise Away(text, wait=float(answer.headers["retry-after"]) * random.uniform(0.5, 1))
            self.ledger.bad("unexplained", text)
        else:
            self.ledger.bad("faults", text)
        raise Away(text)

    def _cut(self, text, begun):
        if self.node is not None and self.ledger.is_announced(("down",), begun, node=self.node):
            self.ledger.note("one node asked by itself while it was down")
        elif self.node is None and self.ledger.is_announced(("killed",), begun):
            self.ledger.note("cut off with a killed node, and asked again")
        elif self.node is None and self.ledger.is_announced(("rolling",), begun):
            self.ledger.note("cut off in a rolling restart, and asked again")
            self.ledger.tell(f"in a rolling restart: {text}")
        else:
            self.ledger.bad("unexplained", text)
        raise Away(text, wait=random.uniform(0.05, 0.2))


def persist(act, patience=50):
    """Asks until there is a decision. The patience is less than the minute in which a lost answer may be asked for again."""
    begun = time.monotonic()
    while True:
        try:
            return act()
        except Away as away:
            if time.monotonic() - begun > patience:
                raise
            time.sleep(away.wait)
