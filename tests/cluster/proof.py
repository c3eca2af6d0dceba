"""When all is quiet again: is everything that was acknowledged still there, and nothing there twice?"""

import collections
import json
from concurrent.futures import ThreadPoolExecutor

from line import persist

# So many families of a long run are looked at besides those that were in use to the end.
OLD_ONES = 1500


def look(site):
    """Every acknowledged thing, once. Nothing is announced any more, so nothing is excused."""
    pool, families = ThreadPoolExecutor(6), [*site.chains, *site.retired[-OLD_ONES:]]
    try:
        jobs = [pool.submit(_family, site, number, chain) for number, chain in enumerate(families)]
        jobs += [pool.submit(_token, site, number, token) for number, token in enumerate(site.tokens)]
        jobs += [pool.submit(_key, site, key_id, key, "VALID") for key_id, (key, _, _) in site.keys.items()]
        jobs += [pool.submit(_key, site, key_id, key, "REVOKED") for key_id, (key, _) in site.revoked.items()]
        for job in jobs:
            job.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    site.ledger.did("families looked at when all was quiet", len(families))
    site.ledger.did("keys looked at when all was quiet, at each node", len(site.keys) + len(site.revoked))
    _audit(site)
    for node in site.cluster.nodes:
        if "panicked" in node.log.read_text(errors="replace"):
            site.ledger.bad("faults", f"{node.name} panicked")


def quietly(act):
    return persist(act, patience=5)


def _node(site, number):
    return site.line(site.cluster.nodes[number % len(site.cluster.nodes)])


def _family(site, number, chain):
    line = _node(site, number)
    if not quietly(lambda: site.is_active(line, chain.access)):
        site.ledger.bad("lost", "an access token of a family in use")
    answer = quietly(lambda: site.refresh(line, chain.refresh))
    if answer.status != 200:
        site.ledger.bad("lost", f"a refresh token: {answer.status} {answer.text[:200]}")
    line.close()


def _token(site, number, token):
    line = _node(site, number)
    answer = quietly(lambda: site.gateway(line, token))
    if answer.status != 200:
        site.ledger.bad("lost", f"a machine's token: {answer.status} {answer.text[:200]}")
    line.close()


def _key(site, key_id, key, wanted):
    for node in site.cluster.nodes:
        line = site.line(node)
        said = quietly(lambda: site.verify(line, key))
        if said != wanted:
            site.ledger.bad("lost", f"{key_id} at node {node.number}: {said}, and {wanted} was acknowledged")
        line.close()


def _audit(site):
    """What was acknowledged is in the audit log, which is one unbroken chain; and a form that was sent twice did one thing."""
    told = site.cluster.command("audit", "verify", good=(0, 1))
    if not told["sound"]:
        site.ledger.bad("lost", f"the audit log is not one chain: {json.dumps(told)[:300]}")
    events = [json.loads(line) for line in site.cluster.command("audit", "export", "--format", "ndjson", "--act", "key.*", raw=True).splitlines()]
    done = collections.Counter((event["act"], event["subject"].removeprefix("key:")) for event in events if event["outcome"] == "done" and event["subject"])
    for deed, times in collections.Counter(site.deeds).items():
        if done[deed] < times:
            site.ledger.bad("lost", f"{deed[0]} of {deed[1]} is {done[deed]} times in the audit log, and was acknowledged {times} times")
    titles = collections.Counter((event["details"] or {}).get("name") for event in events if event["act"] == "key.minted")
    for title, times in titles.items():
        if times > 1 and title and title.startswith(("form-", "twice-")):
            site.ledger.bad("twice", f"the form {title} minted {times} keys")
    signed_in = site.cluster.command("audit", "export", "--format", "ndjson", "--act", "user.signed_in", raw=True).splitlines()
    site.ledger.did("events of the audit log compared", len(events) + len(signed_in))
    site.ledger.did("events in the audit log, one chain", told["events"])
