"""What `benches/run` measures: each work as the generator drives it, what an HTTP server would pay for its requests, the cryptography
that it cannot avoid, and the share of both that is the goal.

The generator's profile is made here as JSON and not kept as a file: ids, secrets, keys and ports are others in every run.
"""

import os
from collections import Counter
from dataclasses import dataclass, field

from common import CONNECTIONS, GATEWAYS, access_token, basic, key_request
from seed import REDIRECT, SCOPE

# Warm-up and record together.
SECONDS = float(os.environ.get("WARMUP", "1")) + float(os.environ.get("DURATION", "3"))

# The settings `signing.access_token_alg` under which works run: the algorithm of access tokens is the server's, not the client's.
ALGORITHMS = ("ES256", "RS256", "EdDSA")


@dataclass
class Work:
    """One row of the table."""

    name: str
    # As the generator's profile has it.
    drive: dict
    # The floor's requests that are like its own, by name.
    like: list
    # Steps of cryptography by the names of benches/crypto, each as often as it is done.
    crypto: Counter = field(default_factory=Counter)
    # The share that is wanted.
    goal: float | None = None
    # Under this `signing.access_token_alg`.
    alg: str = "ES256"
    # Who signs in.
    client: str | None = None
    # Assertions for a second that are signed before the clock starts: with RS256 the generator would be the limit.
    presign: int = 0
    # Other than for the rest: when operations are long, those that the window's edges cut count for much.
    connections: int = CONNECTIONS


def steps(*names):
    return Counter(names)


# A client shows its secret, an API key itself: a keyed hash of it is looked up.
SECRET = "hmac"
# A person's tokens: access token, ID token with the digest of the access token in it, refresh token.
TOKENS = ("sign ES256", "sha256", "hmac")
# A code is the grant under seal; its challenge is a digest; the browser's session is known by a keyed hash.
CODE = ("seal", "open", "sha256", "hmac")
# A refresh token that is shown: the hash in it is made again, and compared through two more.
REFRESH = ("hmac",) * 3


def works():
    """All of them. For goals and their reasons see docs/performance.md."""

    def cc(name, client, crypto, **more):
        drive = {"kind": "client_credentials", "client": client, "form": {"scope": "instances:read"}}
        return Work(name, drive, ["assertion" if client.startswith("pk_") else "token"], steps(*crypto), **more)

    def bearer(name, client, crypto, **more):
        drive = {"kind": "jwt_bearer", "client": client}
        return Work(name, drive, ["assertion"], steps(*crypto), **more)

    def introspect(name, client, of, crypto, **more):
        drive = {"kind": "introspect", "client": client, "token_from": of}
        return Work(name, drive, ["introspect"], steps(SECRET, crypto), **more)

    return [
        Work("discovery", {"kind": "get", "path": "discovery"}, ["get"], goal=0.9),
        Work("jwks", {"kind": "get", "path": "jwks"}, ["get"], goal=0.9),
        cc("cc_es256", "svc", (SECRET, "sign ES256"), goal=0.6),
        cc("cc_rs256", "svc", (SECRET, "sign RS256"), goal=0.85, alg="RS256"),
        cc("cc_eddsa", "svc", (SECRET, "sign EdDSA"), alg="EdDSA"),
        cc("cc_opaque", "svc_opaque", (SECRET, "seal")),
        cc("cc_pkjwt_es256", "pk_es256", ("verify ES256", "hmac", "sign ES256")),
        cc("cc_pkjwt_rs256", "pk_rs256", ("verify RS256 2048", "hmac", "sign ES256"), presign=4_000),
        cc("cc_pkjwt_eddsa", "pk_eddsa", ("verify EdDSA", "hmac", "sign ES256")),
        bearer("jwt_bearer_es256", "robot_es256", ("verify ES256", "hmac", "sign ES256")),
        introspect("introspect_jwt", "svc", "cc_es256", "verify ES256", goal=0.6),
        introspect("introspect_opaque", "svc_opaque", "cc_opaque", "open"),
        # A caller's key and the key that it asks about. `/oauth2/introspect` knows no API keys; this is where one asks about them.
        Work("verify", {}, ["verify"], steps(SECRET, SECRET), goal=0.7),
        *(Work(dialect, {}, [dialect], steps(SECRET), goal=0.7) for dialect in ("nginx", "caddy", "traefik", "envoy")),
        Work("userinfo", {"kind": "userinfo"}, ["userinfo"], steps("verify ES256"), client="web"),
        person("refresh", ["refresh"], REFRESH, "RS256"),
        person("refresh_es256", ["refresh"], REFRESH, "ES256"),
        person("sso", ["browse", "code"], CODE, "RS256"),
        person("sso_es256", ["browse", "code"], CODE, "ES256"),
        person("login", ["browse"] * 3 + ["sign_in", "code"], (*CODE, "argon2id"), "RS256"),
    ]


def person(name, like, crypto, id_token):
    """A work of somebody who signed in at an app that has its ID tokens signed in this way."""
    kind = name.split("_")[0]
    client = "web" if id_token == "RS256" else "web_es256"
    goal, connections = (None, 4) if kind == "login" else (0.5, CONNECTIONS)
    crypto = steps(SECRET, *TOKENS, f"sign {id_token}", *crypto)
    return Work(name, {"kind": kind}, like, crypto, goal, client=client, connections=connections)


def is_of_keys(name):
    return name == "verify" or name in GATEWAYS


def drives(seeded):
    """The works as the profile of the server has them. Each about a key has one of its own, with all of its budget: one that was asked about
    in the round before may be refused."""
    found = {}
    for work in works():
        drive = key_request(work.name, seeded["caller"], seeded["keys"].pop()) if is_of_keys(work.name) else dict(work.drive)
        if work.presign:
            drive["presign"] = int(work.presign * SECONDS)
        found[work.name] = drive
    return found


def floors(seeded, port):
    """Requests for the floor, by name: as long as those that the server gets, with a token of its own making in them."""
    clients = seeded["clients"]
    token = access_token(clients["svc"], port)
    auth = {"Authorization": basic(clients["svc"])}
    browser = {"Accept": "text/html,application/json;q=0.9", "Cookie": "cnx_browser=" + "x" * 27 + "; cnx_session=" + "x" * 43}
    query = f"response_type=code&client_id={clients['web']['client_id']}&redirect_uri={REDIRECT}&scope={SCOPE.replace(' ', '%20')}"
    query += f"&state={'x' * 16}&nonce={'x' * 16}&code_challenge={'x' * 43}&code_challenge_method=S256"
    grant = lambda name, **more: {"kind": "request", "path": "/oauth2/token", "headers": auth, "form": {"grant_type": name, **more}}
    typed = {"csrf_token": "x" * 43, "request": "x" * 640, "username": "bench1", "password": "x" * 26}
    jwt = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    return {
        "get": {"kind": "get", "path": "/.well-known/openid-configuration"},
        "token": grant("client_credentials", scope="instances:read"),
        "assertion": {
            **grant("client_credentials", client_assertion_type=jwt, client_assertion=token, scope="instances:read"),
            "headers": {},
        },
        "introspect": {"kind": "request", "path": "/oauth2/introspect", "headers": auth, "form": {"token": token}},
        "userinfo": {"kind": "request", "method": "GET", "path": "/oauth2/userinfo", "headers": {"Authorization": f"Bearer {token}"}},
        "refresh": grant("refresh_token", refresh_token="x" * 83),
        "browse": {"kind": "request", "method": "GET", "path": f"/oauth2/authorize?{query}", "headers": browser},
        "sign_in": {"kind": "request", "path": "/sign-in", "headers": browser, "form": typed},
        "code": grant("authorization_code", code="x" * 640, redirect_uri=REDIRECT, code_verifier="x" * 43),
        **{name: key_request(name, seeded["caller"], seeded["keys"][0]) for name in ("verify", *GATEWAYS)},
    }
