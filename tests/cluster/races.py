"""What must happen once is tried twice: at the same moment on two nodes, and again later. And what was revoked is shown to every node."""

import json
import random
import threading
import time

from line import Away, persist
from site_of import PROMISED, id_of, shown
from work import redeemed


def at_once(site, mind, *acts):
    """Runs each on a node of its own, from one barrier; gives the answers, `None` where none came."""
    nodes = mind.sample(site.cluster.nodes, len(acts))
    barrier, answers = threading.Barrier(len(acts)), [None] * len(acts)

    def run(number):
        line = site.line(nodes[number])
        try:
            # Connected before the start, so that the two arrive together.
            line.request("GET", f"{site.url}/healthz")
        except Away:
            pass
        barrier.wait(timeout=60)
        try:
            answers[number] = acts[number](line)
        except Away:
            pass
        line.close()

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=90)
    return answers


def one_winner(site, answers, what):
    """At most one; and when both were decided, one."""
    good = [answer for answer in answers if answer is not None and answer.status == 200]
    if len(good) > 1:
        site.ledger.bad("twice", f"{what}, at once on two nodes")
    if not good and None not in answers:
        site.ledger.bad("refused", f"{what}: both of two at once: {[(a.status, a.text[:150]) for a in answers]}")
    site.ledger.did("races on two nodes")
    return good


def refused_now(site, act, what, was_taken=True):
    """A replay, later, at any node. What was not taken yet, because nobody could decide, may be taken now, and then no more."""
    good = sum(persist(act).status == 200 for _ in range(1 if was_taken else 2))
    if good > (0 if was_taken else 1):
        site.ledger.bad("twice", f"{what}, presented again")
    site.ledger.did("replays")


def codes(site, mind):
    person, line = site.person(f"person{mind.randrange(4)}"), site.line()
    code, verifier = site.code(person)
    won = one_winner(site, at_once(site, mind, *[lambda line: site.redeem(line, code, verifier)] * 2), "a code")
    refused_now(site, lambda: site.redeem(line, code, verifier), "a code", bool(won))
    # And one that was redeemed in peace.
    code, verifier = site.code(person)
    tokens = redeemed(site, line, code, verifier)
    refused_now(site, lambda: site.redeem(line, code, verifier), "a code")
    if tokens is not None and persist(lambda: site.is_active(line, tokens["access_token"])):
        site.ledger.bad("twice", "a replayed code left alive what its first use began")


def refreshes(site, mind):
    person, line = site.person(f"person{mind.randrange(4)}"), site.line()
    code, verifier = site.code(person)
    tokens = redeemed(site, line, code, verifier)
    if tokens is None:
        return
    first = tokens["refresh_token"]
    answers = at_once(site, mind, *[lambda line: site.refresh(line, first)] * 2)
    came = [answer for answer in answers if answer is not None]
    if any(answer.status != 200 for answer in came):
        site.ledger.bad("refused", f"a refresh, at once on two nodes: {[(a.status, a.text[:150]) for a in came]}")
    successors = {json.loads(answer.text).get("refresh_token") for answer in came if answer.status == 200}
    if len(successors) > 1:
        site.ledger.bad("twice", "a refresh token, at once on two nodes: two successors")
    site.ledger.did("races on two nodes")
    # The successor is used; then the first one is what a thief would have.
    answer = persist(lambda: site.refresh(line, first))
    second = json.loads(site.must(answer, (200,), "a refresh that is asked for again").text)["refresh_token"]
    third = json.loads(site.must(persist(lambda: site.refresh(line, second)), (200,), "a refresh").text)
    refused_now(site, lambda: site.refresh(line, first), "a refresh token")
    if persist(lambda: site.refresh(line, third["refresh_token"])).status == 200:
        site.ledger.bad("twice", "a replayed refresh token left its family alive")


def assertions(site, mind):
    line = site.line()
    mine, theirs = site.assertion(), site.client_assertion()
    for what, act in (("an assertion", lambda line: site.by_assertion(line, mine)), ("an assertion of a client", lambda line: site.by_client_assertion(line, theirs))):
        if one_winner(site, at_once(site, mind, act, act), what):
            refused_now(site, lambda act=act: act(line), what)


def sheets(site, mind):
    """A form of the console that is sent at two nodes at once mints one key."""
    person = site.at_desk("admin1")
    title = f"twice-{mind.getrandbits(48):x}"
    fields = site.form(person, "/console/keys/new", name=title, environment="prod", scopes="instances:read", expires="90")
    with site.lock:
        site.sheets.add(title)

    def send(line):
        other = site.person("admin1", line)
        other.cookies = dict(person.cookies)
        return site.send(other, "/console/keys/new", fields)

    for answer in one_winner(site, at_once(site, mind, send, send), "a form"):
        key = shown(answer)
        site.deed("key.minted", id_of(key))
        site.put(id_of(key), key)


def racing(site, mind):
    mind.choice((codes, refreshes, assertions, sheets))(site, mind)
    time.sleep(mind.uniform(0, 0.3))


def revoking(site, mind):
    """Mints a key, lets every node know it, revokes it through the balancer, and asks each node until it says no."""
    line = site.line()
    token = site.machine_token(line, "keys:read keys:write instances:read")
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    body = json.dumps({"name": f"watched-{mind.getrandbits(48):x}", "environment": "prod", "scopes": ["instances:read"]})
    answer = persist(lambda: line.request("POST", f"{site.url}/v1/keys", body, headers))
    made = json.loads(site.must(answer, (201,), "POST /v1/keys").text)
    site.deed("key.minted", made["key_id"])
    watch = Watch(site, made["key"])
    threads = [threading.Thread(target=watch.node, args=(node,), daemon=True) for node in site.cluster.nodes]
    for thread in threads:
        thread.start()
    time.sleep(mind.uniform(0.2, 1.0))
    watch.asked = True
    answer = persist(lambda: line.request("DELETE", f"{site.url}/v1/keys/{made['key_id']}", json.dumps({"reason": "watched"}), headers))
    site.must(answer, (200,), "a revocation")
    watch.at = time.monotonic()
    site.deed("key.revoked", made["key_id"])
    for thread in threads:
        thread.join(timeout=60)
    watch.judge()
    site.end_key(made["key_id"], made["key"])
    line.close()
    time.sleep(mind.uniform(0.2, 0.8))


class Watch:
    """One key, asked about at every node by itself, without a pause."""

    def __init__(self, site, key):
        # Whether its end was asked for, and when that was acknowledged.
        self.site, self.key, self.asked, self.at = site, key, False, None
        # When a question was sent that was answered with yes; the answer itself may be slow, and that is not the node's belief.
        self.passed = {node.number: [] for node in site.cluster.nodes}
        self.refused = {node.number: None for node in site.cluster.nodes}

    def node(self, node):
        line, mind = self.site.line(node), random.Random()
        begun = time.monotonic()
        while time.monotonic() - begun < 60:
            sent, at = time.monotonic(), self.at
            # Half a second more than the promise is looked at in any case: a yes after a no would be worse than a late no.
            if at is not None and sent - at > PROMISED + 0.5 and self.refused[node.number] is not None:
                break
            try:
                # Every fifth as a gateway does, which counts against the key's limit; the others do not.
                if mind.randrange(5) == 0:
                    yes = self.site.gateway(line, self.key).status == 200
                else:
                    yes = self.site.verify(line, self.key) == "VALID"
            except Away as away:
                time.sleep(min(away.wait, 0.05))
                continue
            if yes:
                self.passed[node.number].append(sent)
            elif self.refused[node.number] is None:
                self.refused[node.number] = sent
            if not yes and not self.asked:
                self.site.ledger.bad("refused", f"a new key, at node {node.number}")
            time.sleep(0.02)
        line.close()

    def judge(self):
        ledger = self.site.ledger
        for number, passed in self.passed.items():
            after = [sent - self.at for sent in passed if sent > self.at]
            late = max(after, default=0.0)
            refused = self.refused[number]
            if refused is not None and any(sent > refused for sent in passed):
                ledger.bad("late", f"node {number} took a revoked key again after it had refused it")
            if ledger.is_announced(("postgres",), self.at - 0.1, self.at + PROMISED):
                # A node that cannot read the feed goes on with what it knows: that is what it is for.
                ledger.longest("revoked just before PostgreSQL went away", late)
            elif ledger.is_announced(("postgres",), self.at - 5, self.at + PROMISED):
                ledger.longest("revoked just after PostgreSQL came back", late)
                if late > PROMISED:
                    ledger.bad("late", f"node {number}, {late * 1000:.0f} ms, just after PostgreSQL came back")
            else:
                ledger.longest("revoked", late)
                if late > PROMISED:
                    ledger.bad("late", f"node {number}, {late * 1000:.0f} ms")
            ledger.did("revocations watched, node by node")


def crew():
    return [(racing,), (racing,), (revoking,)]
