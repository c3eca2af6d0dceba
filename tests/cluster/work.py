"""The work that never stops: people, apps, machines, gateways and administrators, each as one thread, through the balancer."""

import json
import random
import time
import traceback

from line import Away, persist
from p256 import is_signed_by
from site_of import KNOWN_AFTER, PEOPLE, PROMISED, Refused, id_of, shown

CHAINS = 60
# Of so many answers one is thrown away, as a client does that dies before it can write it down.
LOSE_ONE_OF = 8


class Chain:
    """One sign-in and its refreshes, as the app knows them: only what was acknowledged."""

    def __init__(self, tokens):
        self.refresh, self.access, self.spent = tokens["refresh_token"], tokens["access_token"], []

    def acknowledge(self, tokens):
        self.spent = [*self.spent[-2:], self.refresh]
        self.refresh, self.access = tokens["refresh_token"], tokens["access_token"]


def forever(site, act, *arguments):
    """One thread's life. Its own mistakes are told too, or a run in which nothing went on would look like a good one."""
    ledger, mind = site.ledger, random.Random()
    while not ledger.stopping.is_set():
        try:
            act(site, mind, *arguments)
        except Away as away:
            time.sleep(away.wait)
        except Refused as refused:
            ledger.bad("refused", str(refused))
            time.sleep(0.5)
        except Exception:  # noqa: BLE001
            ledger.bad("driver", traceback.format_exc(limit=-4))
            time.sleep(0.5)


def redeemed(site, line, code, verifier):
    """The tokens for a code; `None` when it was spent by a request whose answer was lost, which leaves nothing but a new sign-in."""
    was_cut, begun = False, time.monotonic()
    while True:
        try:
            answer = site.redeem(line, code, verifier)
            break
        except Away as away:
            was_cut = True
            time.sleep(away.wait)
        if time.monotonic() - begun > 45:
            raise Away("a code grew old")
    if answer.status == 400 and was_cut:
        site.ledger.note("codes whose one answer was lost")
        return None
    return json.loads(site.must(answer, (200,), "a code").text)


def people(site, mind, share):
    """Sign in with a new browser each time, and give an app three codes."""
    person, line = site.person(f"person{mind.randrange(*share)}"), site.line()
    for _ in range(3):
        code, verifier = site.code(person)
        tokens = redeemed(site, line, code, verifier)
        if tokens is None:
            continue
        site.ledger.did("sign-ins")
        with site.lock:
            (site.chains if len(site.chains) < CHAINS else site.retired).append(Chain(tokens))
    person.agent.close()
    line.close()
    time.sleep(mind.uniform(0, 0.2))


def apps(site, mind):
    """Refresh chain after chain. A lost answer is asked for again, and must be the same one."""
    with site.lock:
        chain = site.chains.popleft() if site.chains else None
    if chain is None:
        return time.sleep(0.05)
    line = site.line()
    try:
        for _ in range(mind.randrange(1, 6)):
            answer = persist(lambda: site.refresh(line, chain.refresh))
            tokens = json.loads(site.must(answer, (200,), "a refresh").text)
            if mind.randrange(LOSE_ONE_OF) == 0:
                again = json.loads(site.must(persist(lambda: site.refresh(line, chain.refresh)), (200,), "a refresh whose answer was lost").text)
                site.ledger.did("refreshes asked for again")
                if again["refresh_token"] != tokens["refresh_token"]:
                    site.ledger.bad("twice", "one refresh token has two successors")
                tokens = again
            chain.acknowledge(tokens)
            site.ledger.did("refreshes")
    except Refused as refused:
        # What it was given was acknowledged, so it is lost besides; and it is no chain to go on with.
        chain = None
        site.ledger.bad("lost", f"a family: {refused}")
        raise
    except Away:
        # Nobody decided for nearly a minute. A refresh that was done meanwhile may not be asked for again much longer.
        chain = None
        site.ledger.note("families given up because nobody decided in time")
        raise
    finally:
        line.close()
        if chain is not None:
            with site.lock:
                site.chains.append(chain)
    time.sleep(mind.uniform(0, 0.05))


def machines(site, mind):
    """Tokens by assertion, of the account's key and of a client's secret; any node's key set must verify what any node signed."""
    line = site.line()
    if mind.random() < 0.5:
        token = site.machine_token(line, "instances:read")
    else:
        answer = persist(lambda: site.by_client_assertion(line, site.client_assertion()))
        token = json.loads(site.must(answer, (200,), "an assertion of a client").text)["access_token"]
    site.ledger.did("assertions")
    keys = persist(lambda: line.request("GET", f"{site.url}/.well-known/jwks.json", from_memory=True))
    if not is_signed_by(token, json.loads(site.must(keys, (200,), "the key set").text)):
        site.ledger.bad("refused", "a key set does not verify a token that another node signed a moment ago")
    site.ledger.did("tokens verified offline")
    with site.lock:
        site.tokens.append(token)
    line.close()
    time.sleep(mind.uniform(0, 0.1))


def gateways(site, mind):
    """Ask about keys, live and ended, and about tokens."""
    line = site.line()
    for _ in range(50):
        if site.ledger.stopping.is_set():
            break
        try:
            _ask(site, mind, line)
        except Away as away:
            time.sleep(min(away.wait, 0.2))
        time.sleep(mind.uniform(0.005, 0.03))
    line.close()


def _ask(site, mind, line):
    with site.lock:
        key_id = mind.choice(list(site.keys))
        key, since, rotated = site.keys[key_id]
        ended = mind.choice(list(site.revoked.items())) if site.revoked and mind.random() < 0.2 else None
        token = mind.choice(site.tokens) if site.tokens and mind.random() < 0.1 else None
    begun = time.monotonic()
    if ended is not None:
        key, at = ended[1]
        is_known = _is_known(site, at, begun)
        good = site.verify(line, key, is_known) == "VALID" if mind.random() < 0.5 else site.gateway(line, key, is_known).status == 200
        if good and is_known:
            site.ledger.bad("late", f"{ended[0]} passed {(begun - at):.1f} s after it was revoked")
        site.ledger.did("checks of ended keys")
    elif token is not None:
        site.must(site.gateway(line, token), (200,), "a token at the gateway")
        site.ledger.did("token checks")
    else:
        is_known = _is_known(site, since, begun)
        if mind.random() < 0.5:
            said = site.verify(line, key, is_known)
        else:
            answer = site.gateway(line, key, is_known)
            said = "VALID" if answer.status == 200 else f"{answer.status} {answer.text[:200]}"
        with site.lock:
            # Whoever changes a key takes it out of the pool first; then any answer is right.
            is_live = site.keys.get(key_id) == (key, since, rotated)
        if said != "VALID" and is_live:
            if rotated and (begun - since <= PROMISED or _was_away(site, since)):
                # The node knows the key, and hears of its new secret within the second that is promised for every change.
                site.ledger.note("a rotated key's new secret, at a node that had not heard of it yet")
                site.ledger.longest("a new secret that a node had not heard of", begun - since)
            else:
                site.ledger.bad("refused", f"a live key, {key_id}, {begun - since:.2f} s old: {said}")
        site.ledger.did("key checks")
        if site.ledger.is_announced(("postgres",), begun, begun):
            site.ledger.note("key checks answered while PostgreSQL was away")


def _is_known(site, since, now):
    """Whether every node has had the time to hear of it, in which the database was there."""
    return now - since > KNOWN_AFTER and not _was_away(site, since)


def _was_away(site, since):
    return site.ledger.is_announced(("postgres",), since - 0.1, since + KNOWN_AFTER)


def automation(site, mind):
    """Mint, rotate and revoke by `/v1`, with the token of a service account."""
    line = site.line()
    token = site.machine_token(line, "keys:read keys:write keys:verify instances:read")
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}

    def call(method, path, body):
        return persist(lambda: line.request(method, f"{site.url}{path}", json.dumps(body), headers))

    for _ in range(10):
        if site.ledger.stopping.is_set():
            break
        body = {"name": f"v1-{mind.getrandbits(48):x}", "environment": "prod", "scopes": ["instances:read"]}
        made = json.loads(site.must(call("POST", "/v1/keys", body), (201,), "POST /v1/keys").text)
        site.deed("key.minted", made["key_id"])
        site.put(made["key_id"], made["key"])
        taken = site.take(mind)
        if taken is not None:
            key_id, key = taken
            if mind.random() < 0.5:
                answer = site.must(call("POST", f"/v1/keys/{key_id}/rotate", {"overlap_seconds": 0}), (200,), "a rotation")
                site.deed("key.rotated", key_id)
                site.put(key_id, json.loads(answer.text)["key"], rotated=True)
            else:
                site.must(call("DELETE", f"/v1/keys/{key_id}", {"reason": "cluster"}), (200,), "a revocation")
                site.deed("key.revoked", key_id)
                site.end_key(key_id, key)
        site.ledger.did("key changes by /v1")
        time.sleep(mind.uniform(0.1, 0.5))
    line.close()


def desks(site, mind, name):
    """The same by the pages of the console. What is dangerous asks for a password that is five minutes old, so nobody stays that long."""
    person = persist(lambda: site.at_desk(name))
    for _ in range(15):
        if site.ledger.stopping.is_set():
            break
        title = f"form-{mind.getrandbits(48):x}"
        key = sent_once(site, person, "/console/keys/new", {"name": title, "environment": "prod", "scopes": "instances:read", "expires": "90"})
        if key is not None:
            site.deed("key.minted", id_of(key))
            site.put(id_of(key), key)
        taken = site.take(mind)
        if taken is not None:
            key_id, key = taken
            if mind.random() < 0.5:
                new = None
                while new is None:
                    new = sent_once(site, person, f"/console/keys/{key_id}/rotate", {"overlap_seconds": "0"})
                site.deed("key.rotated", key_id)
                site.put(key_id, new, rotated=True)
            else:
                persist(lambda: revoked_by_page(site, person, key_id))
                site.deed("key.revoked", key_id)
                site.end_key(key_id, key)
        site.ledger.did("key changes by the console")
        time.sleep(mind.uniform(0.1, 0.5))
    person.agent.close()


def sent_once(site, person, path, typed):
    """Sends a form until it is decided. `None` when the first sending did it and its answer was lost: a key is shown once."""
    fields = persist(lambda: site.form(person, path, **typed))
    answer = persist(lambda: site.send(person, path, fields))
    if answer.status == 303 and answer.headers["location"].endswith("done=once"):
        site.ledger.note("forms whose one answer was lost")
        return None
    return shown(site.must(answer, (200,), f"POST {path}"))


def revoked_by_page(site, person, key_id):
    path = f"/console/keys/{key_id}/revoke"
    fields = site.form(person, path, reason="cluster")
    if fields is not None:
        site.must(site.send(person, path, fields), (303,), f"POST {path}")


def crew():
    """Who works, and with what."""
    half = PEOPLE // 2
    return [(people, (0, half)), (people, (half, PEOPLE)), (apps,), (apps,), (apps,), (machines,), (machines,), (gateways,), (gateways,), (automation,), (desks, "admin0")]
