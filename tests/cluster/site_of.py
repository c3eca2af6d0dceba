"""What there is on the cluster to work with: people, apps, a service account, keys; and what a client of each kind does."""

import base64
import hashlib
import hmac
import json
import re
import secrets
import threading
import time
from collections import deque
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

from line import Away, Line, persist
from p256 import b64, jwt, private_key
from person import Person, forms, words

PASSWORD = "a long enough passphrase for a cluster"
REDIRECT = "https://app.example.com/callback"
SCOPE = "openid offline_access"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
CLIENT_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
# What one node changes is in force on all of them within a second; where nothing at all is excused, half a second is left for a slow answer.
PROMISED = 1.0
KNOWN_AFTER = 1.5
PEOPLE = 12
ADMINISTRATORS = 3


class Refused(Exception):
    """No, where yes was due."""


class Site:
    def __init__(self, cluster, ledger):
        self.cluster, self.ledger, self.url = cluster, ledger, cluster.nginx.url
        self.lock = threading.Lock()
        self.chains, self.retired, self.tokens = deque(), [], deque(maxlen=300)
        # Live keys by id: the secret, since when it is the one, and whether a rotation made it. Whoever changes a key takes it out first.
        self.keys, self.revoked, self.deeds = {}, {}, []
        self.sheets = set()

    def prepare(self):
        command = self.cluster.command
        for number in range(PEOPLE):
            command("user", "add", f"person{number}@example.com", "--username", f"person{number}", "--password-stdin", stdin=PASSWORD)
        for number in range(ADMINISTRATORS):
            command("user", "add", f"admin{number}@example.com", "--username", f"admin{number}", "--admin", "--password-stdin", stdin=PASSWORD)
        metadata = Path(self.cluster.folder) / "client.json"
        metadata.write_text(json.dumps({
            "client_name": "cluster", "redirect_uris": [REDIRECT], "grant_types": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_method": "client_secret_basic", "scope": SCOPE, "skip_consent": True}))
        made = command("client", "add", "--metadata", str(metadata))
        self.app = (made["client_id"], made["client_secret"])
        made = command("client", "add", "machine", "--auth", "client_secret_jwt", "--grant", "client_credentials", "--scope", "instances:read")
        self.machine = (made["client_id"], made["client_secret"])
        scopes = [word for scope in ("keys:read", "keys:write", "keys:verify", "instances:read") for word in ("--scope", scope)]
        command("service-account", "add", "pipeline", *scopes)
        self.account = command("service-account", "key", "add", "pipeline")
        self.account["number"] = private_key(self.account["private_key"])
        self.asker = command("key", "mint", "--name", "asker", "--env", "prod", "--scope", "keys:verify")["key"]
        for number in range(8):
            made = command("key", "mint", "--name", f"first-{number}", "--env", "prod", "--scope", "instances:read")
            self.keys[made["key_id"]] = (made["key"], time.monotonic(), False)
        # The nodes run already, and hear of all this within a second.
        time.sleep(KNOWN_AFTER)

    def line(self, node=None):
        """To the balancer, or to one node by itself."""
        if node is None:
            return Line(self.ledger, self.url)
        return Line(self.ledger, self.url, node.url, node.number)

    def must(self, answer, good, what):
        """A decision that had to be yes."""
        if answer.status in good:
            return answer
        raise Refused(f"{what}: {answer.status} {answer.headers.get('x-request-id')} {words(answer.text)[:300]}")

    # --- machines ---

    def assertion(self):
        now = int(time.time())
        claims = {"iss": self.account["client_email"], "sub": self.account["client_email"], "aud": self.url, "iat": now, "exp": now + 300,
                  "jti": secrets.token_urlsafe(16)}
        return jwt({"alg": "ES256", "kid": self.account["private_key_id"]}, claims, self.account["number"])

    def client_assertion(self):
        now = int(time.time())
        claims = {"iss": self.machine[0], "sub": self.machine[0], "aud": self.url, "iat": now, "exp": now + 300, "jti": secrets.token_urlsafe(16)}
        text = ".".join(b64(json.dumps(part).encode()) for part in ({"alg": "HS256"}, claims))
        return f"{text}.{b64(hmac.digest(self.machine[1].encode(), text.encode(), 'sha256'))}"

    def by_assertion(self, line, assertion, scope="instances:read"):
        return self.post(line, "/oauth2/token", {"grant_type": JWT_BEARER, "assertion": assertion, "scope": scope})

    def by_client_assertion(self, line, assertion):
        return self.post(line, "/oauth2/token", {"grant_type": "client_credentials", "client_assertion_type": CLIENT_ASSERTION, "client_assertion": assertion})

    def post(self, line, path, form, headers=None):
        return line.request("POST", f"{self.url}{path}", form, headers)

    def machine_token(self, line, scope):
        """A new assertion for each try: the one before may have been taken though its answer was lost."""
        answer = persist(lambda: self.by_assertion(line, self.assertion(), scope))
        return json.loads(self.must(answer, (200,), "an assertion").text)["access_token"]

    # --- keys ---

    def verify(self, line, key, from_memory=False):
        body = json.dumps({"key": key, "scopes": ["instances:read"]})
        headers = {"authorization": f"Bearer {self.asker}", "content-type": "application/json"}
        answer = line.request("POST", f"{self.url}/v1/keys/verify", body, headers, from_memory)
        return json.loads(self.must(answer, (200,), "the question about a key").text)["code"]

    def gateway(self, line, credential, from_memory=False):
        headers = {"authorization": f"Bearer {credential}"}
        return line.request("GET", f"{self.url}/gateway/caddy?scope=instances:read", None, headers, from_memory)

    def deed(self, act, key_id):
        """What was acknowledged, for the comparison with the audit log."""
        with self.lock:
            self.deeds.append((act, key_id))

    def put(self, key_id, key, rotated=False):
        with self.lock:
            self.keys[key_id] = (key, time.monotonic(), rotated)

    def take(self, mind, least=10):
        """A live key out of the pool, for whoever wants to change it; none when there are few."""
        with self.lock:
            if len(self.keys) <= least:
                return None
            key_id = mind.choice(list(self.keys))
            return key_id, self.keys.pop(key_id)[0]

    def end_key(self, key_id, key):
        with self.lock:
            self.revoked[key_id] = (key, time.monotonic())

    # --- people ---

    def person(self, name, line=None):
        person = Person(self.url, name, PASSWORD)
        person.agent = line or self.line()
        return person

    def code(self, person):
        """Through the sign-in form, unless there is a session. Gives the code and its verifier."""
        verifier = secrets.token_urlsafe(32)
        query = {"response_type": "code", "client_id": self.app[0], "redirect_uri": REDIRECT, "scope": SCOPE, "state": "s",
                 "code_challenge": b64(hashlib.sha256(verifier.encode()).digest()), "code_challenge_method": "S256"}
        begun = time.monotonic()
        try:
            answered = parse_qs(urlsplit(person.walk(f"{self.url}/oauth2/authorize?{urlencode(query)}", REDIRECT)).query)
        except AssertionError as error:
            raise Refused(f"a sign-in: {error}") from None
        if "code" in answered:
            return answered["code"][0], verifier
        if answered.get("error") == ["temporarily_unavailable"] and self.ledger.is_announced(("postgres",), begun):
            self.ledger.note("503 with Retry-After while PostgreSQL was away")
            raise Away("temporarily_unavailable", wait=0.5)
        raise Refused(f"a code: {answered}")

    def as_app(self, line, path, **form):
        basic = base64.b64encode(f"{self.app[0]}:{self.app[1]}".encode()).decode()
        return self.post(line, path, form, {"authorization": f"Basic {basic}"})

    def redeem(self, line, code, verifier):
        return self.as_app(line, "/oauth2/token", grant_type="authorization_code", code=code, redirect_uri=REDIRECT, code_verifier=verifier)

    def refresh(self, line, token):
        return self.as_app(line, "/oauth2/token", grant_type="refresh_token", refresh_token=token)

    def is_active(self, line, token):
        answer = self.must(self.as_app(line, "/oauth2/introspect", token=token), (200,), "introspection")
        return json.loads(answer.text).get("active") is True

    # --- the console ---

    def at_desk(self, name):
        """An administrator who is signed in at the console."""
        person = self.person(name)
        start = f"{self.url}/console/keys"
        try:
            person.walk(start, start)
        except AssertionError as error:
            raise Refused(f"a sign-in at the console: {error}") from None
        return person

    def form(self, person, path, **typed):
        """Opens a page and fills in its form; sending it is the caller's. `None` when the page leads elsewhere."""
        page = person.request("GET", f"{self.url}{path}")
        if page.status in (302, 303):
            return None if "/sign-in" not in page.headers["location"] else self._signed_out(path)
        found = [form for form in forms(self.must(page, (200,), f"GET {path}").text) if form["action"] == path]
        if not found:
            raise Refused(f"GET {path}: no form; {words(page.text)[:300]}")
        return {**dict(found[0]["fields"]), **typed}

    def _signed_out(self, path):
        self.ledger.bad("lost", f"a session of the console, at {path}")
        raise Away("signed out")

    def send(self, person, path, fields):
        return person.request("POST", f"{self.url}{path}", fields, referer=f"{self.url}{path}")


def shown(answer):
    """The key on the one page that shows it."""
    found = re.search(r'id="new-key"[^>]*? value="(cnx_[a-z]+_\w+)"', answer.text)
    return found and found[1]


def id_of(key):
    return key.split("_")[2][:10]
