"""google-auth, authlib's assertions and PyJWT (PyPI) as machines: key files that stock libraries take, tokens checked offline."""

import json
import sys
import time
import traceback

import google.auth.exceptions
import jwt
import requests
from authlib.integrations.requests_client import AssertionSession
from google.auth.transport.requests import Request
from google.oauth2 import service_account
from joserfc.jwk import RSAKey

from person import check, told

# Both accounts may api:read and api:write for AUDIENCE; both keys are RS256, the only kind that google-auth signs with here.
# The client's tokens are for AUDIENCE too, so that it may ask about the accounts' tokens.
URL, ID, SECRET, AUDIENCE, GOOGLE_FILE, STRICT_FILE = told(
    "URL", "CLIENT_ID", "CLIENT_SECRET", "AUDIENCE", "KEY_FILE_GOOGLE", "KEY_FILE_STRICT"
)
SCOPES = ["api:read", "api:write"]
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"

step = "start"


def doing(what):
    global step
    step = what


def read(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def refused(act, code):
    """google-auth's error holds the answer; one that it takes for passing would be tried again."""
    try:
        act()
    except google.auth.exceptions.RefreshError as error:
        answer = error.args[1] if len(error.args) > 1 else {}
        check(answer.get("error") == code, f"refused with {code}", error.args)
        check(error.retryable is False, "google-auth does not try again", error.args)
        return
    raise AssertionError(f"should have been refused with {code}")


def offline(keys, server, token, algorithm, typ):
    """A resource server's way: the key by kid, one algorithm, then issuer, audience and times."""
    decoded = jwt.decode_complete(
        token,
        keys.get_signing_key_from_jwt(token),
        algorithms=[algorithm],
        audience=AUDIENCE,
        issuer=server["issuer"],
        options={"require": ["iss", "sub", "aud", "exp", "iat"]},
    )
    check(decoded["header"]["typ"] == typ, f"typ {typ}", decoded["header"])
    return decoded["payload"]


def access_token_is_good(keys, server, token, account, scopes):
    claims = offline(keys, server, token, "ES256", "at+jwt")
    check(claims["sub"] == claims["client_id"] == account, "the account is subject and client (C22)", claims)
    check(claims["aud"] == AUDIENCE and claims["jti"], "aud as text, jti (C22)", claims)
    check(claims["scope"].split() == scopes, f"scope {scopes}", claims["scope"])
    answer = requests.post(server["introspection_endpoint"], data={"token": token}, auth=(ID, SECRET), timeout=10)
    seen = answer.json()
    check(seen.get("active") is True, "active for the resource server (C24)", answer.text)
    for name in ("iss", "sub", "aud", "client_id", "scope", "exp", "iat", "jti"):
        check(seen.get(name) == claims[name], f"{name} in introspection is that of the token (C24)", seen)


def assertion(key, claims):
    return jwt.encode(claims, key["private_key"], algorithm=key["alg"], headers={"kid": key["private_key_id"]})


def stock_google(keys, server):
    key = read(GOOGLE_FILE)
    check(key["type"] == "service_account" and key["token_uri"] == server["token_endpoint"], "a key file of ours", key.keys())
    doing("google-auth: access token (C13)")
    stock = service_account.Credentials.from_service_account_file(GOOGLE_FILE, scopes=SCOPES)
    stock.refresh(Request())
    check(stock.valid and not stock.expired, "google-auth holds it for valid", stock.expiry)
    access_token_is_good(keys, server, stock.token, key["client_email"], SCOPES)
    doing("google-auth: a second token, which is another one")
    first = stock.token
    stock.refresh(Request())
    check(stock.token != first, "another token")
    doing("google-auth: less scope")
    less = stock.with_scopes(["api:read"])
    less.refresh(Request())
    access_token_is_good(keys, server, less.token, key["client_email"], ["api:read"])
    doing("google-auth: more scope than the account has")
    refused(lambda: stock.with_scopes(["api:read", "admin:all"]).refresh(Request()), "invalid_scope")
    doing("google-auth: on behalf of a person, which nobody allowed")
    refused(lambda: stock.with_subject("ada@example.com").refresh(Request()), "invalid_grant")

    doing("google-auth: ID token for a target (C13)")
    target = service_account.IDTokenCredentials.from_service_account_file(GOOGLE_FILE, target_audience=AUDIENCE)
    target.refresh(Request())
    check(target.valid, "google-auth holds it for valid", target.expiry)
    claims = offline(keys, server, target.token, "RS256", "JWT")
    check(claims["sub"] == key["client_email"] and claims["aud"] == AUDIENCE, "whose and for whom", claims)
    doing("google-auth: ID token for a target that is not the account's")
    refused(lambda: target.with_target_audience("https://elsewhere.example").refresh(Request()), "invalid_target")

    doing("google-auth: an account that does not take its assertions")
    strict = service_account.Credentials.from_service_account_file(STRICT_FILE, scopes=SCOPES)
    refused(lambda: strict.refresh(Request()), "invalid_grant")
    strict = service_account.IDTokenCredentials.from_service_account_file(STRICT_FILE, target_audience=AUDIENCE)
    refused(lambda: strict.refresh(Request()), "invalid_grant")


def shape_of_go(keys, server):
    """What golang.org/x/oauth2/jwt sends: no sub, no jti, the scope inside, an hour that began ten seconds ago."""
    for path, taken in ((GOOGLE_FILE, True), (STRICT_FILE, False)):
        doing(f"the shape of golang.org/x/oauth2, {'taken' if taken else 'refused'}")
        key, now = read(path), int(time.time()) - 10
        claims = {"iss": key["client_email"], "scope": " ".join(SCOPES), "aud": key["token_uri"], "exp": now + 3600, "iat": now}
        form = {"grant_type": JWT_BEARER, "assertion": assertion(key, claims)}
        answer = requests.post(key["token_uri"], data=form, timeout=10)
        body = answer.json()
        if taken:
            check(answer.status_code == 200 and body["token_type"] == "Bearer", "a token", answer.text)
            check(isinstance(body["expires_in"], int) and "refresh_token" not in body, "expires_in, no refresh token", body.keys())
            access_token_is_good(keys, server, body["access_token"], key["client_email"], SCOPES)
        else:
            check(answer.status_code == 400 and body["error"] == "invalid_grant", "400 invalid_grant", answer.text)


def authlib_assertions(keys, server):
    """sub, a jti of its own and a whole hour, for the token endpoint unless told otherwise."""
    key = read(STRICT_FILE)
    for audience in (None, server["issuer"]):
        doing(f"authlib AssertionSession, aud {audience or 'as it comes'} (C15)")
        session = AssertionSession(
            key["token_uri"],
            issuer=key["client_email"],
            subject=key["client_email"],
            audience=audience,
            scope=" ".join(SCOPES),
            key=RSAKey.import_key(key["private_key"]),
            header={"alg": key["alg"], "kid": key["private_key_id"]},
            default_timeout=10,
        )
        token = session.refresh_token()
        check(token["scope"].split() == SCOPES, "the scope that was asked for (C8)", token["scope"])
        access_token_is_good(keys, server, token["access_token"], key["client_email"], SCOPES)
        doing("authlib AssertionSession, again: a new jti")
        check(session.refresh_token()["access_token"] != token["access_token"], "another token")


def main():
    base = URL.rstrip("/")
    doing("discovery")
    server = requests.get(f"{base}/.well-known/openid-configuration", timeout=10).json()
    check(server["issuer"] == base, "issuer is byte-identical (C18)", server["issuer"])
    check(JWT_BEARER in server["grant_types_supported"], "the grant is announced (C20)", server["grant_types_supported"])
    keys = jwt.PyJWKClient(server["jwks_uri"])
    stock_google(keys, server)
    shape_of_go(keys, server)
    authlib_assertions(keys, server)
    print("OK")


try:
    main()
except Exception as error:
    traceback.print_exc()
    sys.exit(f"failed at {step}: {error}")
