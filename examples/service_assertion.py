"""A service account of CloudNexus Identity, in the least code that is safe. Copy it; it needs `requests` and `PyJWT[crypto]`.

    cnx service-account key add NAME > key.json     # once, where the server is; chmod 600 key.json
    python service_assertion.py key.json token      # prints an access token
    python service_assertion.py key.json rotate     # puts a new key into key.json; the old one works for an hour more

Run `rotate` from cron, as the user that owns the file; programs must read the file again within that hour. The private half
of a new key is made here and never leaves this machine. A token serves many calls: use it until it is about to expire.
"""

import json
import os
import random
import secrets
import sys
import tempfile
import time
from pathlib import Path

import jwt
import requests
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

TRIES, LONGEST_WAIT = 5, 120  # how often, and how many seconds between two tries at most


class Refused(Exception):
    """The server said no: in the way of OAuth (`error`) or of RFC 9457 (`code`)."""

    def __init__(self, answer):
        body = answer.json() if "json" in answer.headers.get("content-type", "") else {}
        self.status, self.code = answer.status_code, body.get("error") or body.get("code")
        why = body.get("error_description") or body.get("detail") or answer.reason
        super().__init__(f"{self.status} {self.code}: {why} (request {answer.headers.get('x-request-id')})")


def assertion(key, audience):
    """A JWT by which the account says who it is (RFC 7523). The server takes each one once."""
    now, account = int(time.time()), key["client_email"]
    claims = {"iss": account, "sub": account, "aud": audience, "iat": now, "exp": now + 300, "jti": secrets.token_urlsafe(16)}
    return jwt.encode(claims, key["private_key"], algorithm=key["alg"], headers={"kid": key["private_key_id"]})


def post(url, make):
    """Posts what `make()` gives, and again while the server is busy or away. Each try makes an assertion of its own."""
    for tried in range(1, TRIES + 1):
        wait = 2**tried
        try:
            # With `auth` given, requests does not put what it finds in ~/.netrc in place of our credentials.
            answer = requests.post(url, timeout=10, allow_redirects=False, auth=lambda request: request, **make())
            if answer.status_code in (200, 201):
                return answer.json()
            problem = Refused(answer)
            if problem.status not in (429, 503):
                raise problem
            stated = answer.headers.get("retry-after", "")
            wait = int(stated) if stated.isdecimal() else wait
        except (requests.ConnectionError, requests.Timeout) as error:
            problem = error
        if tried == TRIES or wait > LONGEST_WAIT:
            raise problem
        time.sleep(wait + random.random())  # so that many machines do not come back in one moment


def access_token(key, **asked):
    """Gets an access token. `scope` and `resource` may be asked for; without them it is for all that the account may."""
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", **asked}
    return post(key["token_uri"], lambda: {"data": {**form, "assertion": assertion(key, key["issuer"])}})["access_token"]


def works(key):
    try:
        return bool(access_token(key))
    except Refused as refused:
        if refused.code == "invalid_grant":
            return False
        raise


def next_key(key):
    """A key file like `key` with a new ES256 key; RS256 stays RS256, since google-auth signs with nothing else."""
    alg = "RS256" if key["alg"] == "RS256" else "ES256"
    made = rsa.generate_private_key(65537, 3072) if alg == "RS256" else ec.generate_private_key(ec.SECP256R1())
    pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return {**key, "private_key_id": secrets.token_hex(16), "private_key": pem, "alg": alg, "expires_at": None}


def publish(key, new):
    """Registers the public half of `new` on the word of `key`; tells when `new` expires."""
    url = f"{key['issuer']}/v1/service-accounts/{key['client_email']}/keys"
    kind = jwt.get_algorithm_by_name(new["alg"])
    public = kind.to_jwk(kind.prepare_key(new["private_key"]).public_key(), as_dict=True)
    body = {"public_key": {**public, "kid": new["private_key_id"]}, "overlap_seconds": 3600}
    # An assertion for this address and no other: one that asks for a token must not be good for more.
    return post(url, lambda: {"json": body, "headers": {"authorization": f"Bearer {assertion(key, url)}"}})["expires_at"]


def rotate(path):
    """The new private key is on disk before the server hears of it, so no key that the server knows is ever lost."""
    key, waiting = read(path), path.with_name(path.name + ".next")
    resumed = waiting.exists()  # an earlier run stopped half way: go on with the key that it made
    new = read(waiting) if resumed else next_key(key)
    if new["client_email"] != key["client_email"]:
        raise ValueError(f"{waiting} is of another account; remove it")
    if not resumed:
        save(waiting, new)
    if not (resumed and works(new)):
        try:
            new["expires_at"] = publish(key, new)
        except Refused as refused:
            if refused.status != 409 or not works(new):  # 409 and it works: an earlier try arrived, its answer did not
                raise
    save(path, new)
    waiting.unlink()


def read(path):
    return json.loads(path.read_text("utf-8"))


def save(path, key):
    """Replaces the file as a whole: whoever reads it, even after a power cut, finds the old key or the new one."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(json.dumps(key, indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)  # the new name is on disk only when its folder is
    os.fsync(folder)
    os.close(folder)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3) or sys.argv[2:] not in ([], ["token"], ["rotate"]):
        sys.exit("usage: service_assertion.py KEY_FILE [token|rotate]")
    file_of_key = Path(sys.argv[1]).resolve()  # of a link, what it leads to is replaced
    try:
        if sys.argv[2:] == ["rotate"]:
            rotate(file_of_key)
        else:
            print(access_token(read(file_of_key)))
    except (Refused, OSError, ValueError, KeyError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
