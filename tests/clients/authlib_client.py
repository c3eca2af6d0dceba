"""authlib and requests-oauthlib (PyPI) as apps: the whole journey, with the mixtures that they really send."""

import base64
import os
import sys
import traceback
from urllib.parse import parse_qs, urlsplit

# Plain http is for loopback, where this runs.
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"

import requests
import requests_oauthlib
from authlib.common.security import generate_token
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry
from oauthlib.oauth2 import OAuth2Error

from person import Person, check, told

URL, ID, SECRET, PUBLIC_ID, USER, PASSWORD, REDIRECT, AFTER = told(
    "URL", "CLIENT_ID", "CLIENT_SECRET", "PUBLIC_CLIENT_ID", "USER", "PASSWORD", "REDIRECT_URI", "POST_LOGOUT_REDIRECT_URI"
)
SCOPE = "openid profile email offline_access"

step = "start"


def doing(what):
    global step
    step = what


def refused(act, code):
    try:
        seen = act()
    except (OAuthError, OAuth2Error) as error:
        check(error.error == code, f"refused with {code}", error.error)
        return
    raise AssertionError(f"should have been refused with {code}; got {seen!r}")


def id_claims(server, token, nonce):
    """As authlib's integrations do it: keys by kid, algorithms as announced, then the claims."""
    keys = KeySet.import_key_set(requests.get(server["jwks_uri"], timeout=10).json())
    registry = JWSRegistry(algorithms=server["id_token_signing_alg_values_supported"], strict_check_header=False)
    decoded = jwt.decode(token["id_token"], key=keys, registry=registry)
    claims = CodeIDToken(
        decoded.claims,
        decoded.header,
        {"iss": {"values": [server["issuer"]]}},
        {"nonce": nonce, "client_id": ID, "access_token": token["access_token"]},
    )
    claims.validate(leeway=0)
    return claims


def session(method):
    return OAuth2Session(
        ID, SECRET, token_endpoint_auth_method=method, scope=SCOPE, redirect_uri=REDIRECT, code_challenge_method="S256"
    )


def sign_in(server, app, person, **extra):
    verifier, nonce = generate_token(48), generate_token(20)
    url, state = app.create_authorization_url(server["authorization_endpoint"], code_verifier=verifier, nonce=nonce, **extra)
    answer = person.walk(url, REDIRECT)
    token = app.fetch_token(server["token_endpoint"], authorization_response=answer, state=state, code_verifier=verifier)
    return token, nonce, answer, verifier


def authlib_journey(server, method):
    app, person = session(method), Person(URL, USER, PASSWORD)
    doing(f"authlib {method}: sign-in")
    token, nonce, answer, verifier = sign_in(server, app, person)
    check(token["token_type"] == "Bearer" and isinstance(token["expires_in"], int), "token_type, expires_in (C8)", dict(token).keys())
    check(sorted(token["scope"].split()) == sorted(SCOPE.split()), "scope (C8)", token["scope"])
    doing(f"authlib {method}: ID token")
    claims = id_claims(server, token, nonce)
    doing(f"authlib {method}: userinfo")
    info = app.get(server["userinfo_endpoint"]).json()
    check(info["sub"] == claims["sub"] and info["preferred_username"] == USER, "userinfo (C26)", info)

    doing(f"authlib {method}: introspection by the same method (C24)")
    seen = app.introspect_token(server["introspection_endpoint"], token=token["access_token"]).json()
    check(seen["active"] is True and seen["sub"] == claims["sub"], "an active token", seen)

    doing(f"authlib {method}: refresh with the scope repeated (C9)")
    refreshed = app.refresh_token(server["token_endpoint"], refresh_token=token["refresh_token"])
    check(refreshed["refresh_token"] != token["refresh_token"], "the refresh token rotated")
    doing(f"authlib {method}: refresh with a narrower scope (C9)")
    narrow = app.refresh_token(server["token_endpoint"], refresh_token=refreshed["refresh_token"], scope="openid")
    check(narrow["scope"] == "openid", "the scope is narrower", narrow["scope"])
    doing(f"authlib {method}: refresh with a wider scope (C9)")
    refused(lambda: app.refresh_token(server["token_endpoint"], refresh_token=narrow["refresh_token"], scope=f"{SCOPE} phone"), "invalid_scope")

    doing(f"authlib {method}: revocation by Basic whatever is registered (C2)")
    gone = app.revoke_token(server["revocation_endpoint"], token=narrow["refresh_token"], token_type_hint="refresh_token")
    check(gone.status_code == 200, "revoked", gone.status_code)
    check(not gone.headers.get("content-type", "").startswith("text/plain"), "no text/plain on an empty answer (C25)", gone.headers.get("content-type"))
    unknown = app.revoke_token(server["revocation_endpoint"], token="unknown", token_type_hint="access_token")
    check(unknown.status_code == 200, "200 for an unknown token (C25)", unknown.status_code)
    refused(lambda: app.refresh_token(server["token_endpoint"], refresh_token=narrow["refresh_token"]), "invalid_grant")
    dead = app.introspect_token(server["introspection_endpoint"], token=narrow["access_token"])
    check(dead.json() == {"active": False}, 'exactly {"active": false} (C24)', dead.text)

    doing(f"authlib {method}: a code is presented twice (C7, C10)")
    refused(lambda: app.fetch_token(server["token_endpoint"], code=answer.split("code=")[1].split("&")[0], code_verifier=verifier), "invalid_grant")

    doing(f"authlib {method}: sign-out with client_id and no state (C34)")
    url = requests.Request("GET", server["end_session_endpoint"], params={"client_id": ID, "post_logout_redirect_uri": AFTER}).prepare().url
    check(person.walk(url, AFTER) == AFTER, "back at the app without state")
    # The library does not look at an error in the answer, so we do.
    url, _ = app.create_authorization_url(server["authorization_endpoint"], code_verifier=verifier, prompt="none")
    answer = parse_qs(urlsplit(person.walk(url, REDIRECT)).query)
    check(answer.get("error") == ["login_required"] and answer.get("iss") == [server["issuer"]], "nobody is signed in any more", answer)


def requests_oauthlib_journey(server, client_id, secret):
    name = "requests-oauthlib " + ("confidential" if secret else "public")
    doing(f"{name}: sign-in with a 128 character verifier (C11)")
    app = requests_oauthlib.OAuth2Session(client_id, redirect_uri=REDIRECT, scope=SCOPE.split(), pkce="S256")
    url, _ = app.authorization_url(server["authorization_endpoint"], nonce=generate_token(20))
    answer = Person(URL, USER, PASSWORD).walk(url, REDIRECT)
    # Without a secret it sends Basic with an empty password (C3).
    token = app.fetch_token(server["token_endpoint"], authorization_response=answer, client_secret=secret)
    check("id_token" in token and app.get(server["userinfo_endpoint"]).json()["preferred_username"] == USER, "signed in")
    doing(f"{name}: refresh with allow_redirects=True and the scope in the body (C5, C9)")
    extra = {"client_id": client_id, "allow_redirects": True, **({"client_secret": secret} if secret else {})}
    refreshed = app.refresh_token(server["token_endpoint"], refresh_token=token["refresh_token"], **extra)
    check(refreshed["refresh_token"] != token["refresh_token"], "the refresh token rotated")
    refused(lambda: app.refresh_token(server["token_endpoint"], refresh_token="cnx_rt_never", **extra), "invalid_grant")


def raw_forms(server):
    """What oidc-agent and others put on the wire, byte by byte."""
    doing("raw spaces and a charset in a form (C6)")
    basic = base64.b64encode(f"{ID}:{SECRET}".encode()).decode()
    headers = {"authorization": f"Basic {basic}", "content-type": "application/x-www-form-urlencoded;charset=UTF-8"}
    body = "grant_type=client_credentials&scope=api:read api:write&response_type=token"
    answer = requests.post(server["token_endpoint"], data=body, headers=headers, timeout=10)
    check(answer.status_code == 200 and answer.json()["scope"] == "api:read api:write", "a token", answer.text)
    doing("percent-encoded Basic credentials (C1)")
    escaped = "".join(f"%{ord(c):02X}" if not c.isalnum() else c for c in ID), "".join(f"%{ord(c):02X}" if not c.isalnum() else c for c in SECRET)
    headers["authorization"] = "Basic " + base64.b64encode(":".join(escaped).encode()).decode()
    answer = requests.post(server["token_endpoint"], data={"grant_type": "client_credentials", "client_id": ID, "scope": "api:read"},
                           headers={"authorization": headers["authorization"]}, timeout=10)
    check(answer.status_code == 200, "a token, with client_id in the body beside Basic (C2)", answer.text)
    doing("a wrong secret by Basic (C7)")
    answer = requests.post(server["token_endpoint"], data={"grant_type": "client_credentials"}, auth=(ID, "wrong"), timeout=10)
    check(answer.status_code == 401 and answer.json()["error"] == "invalid_client", "401 invalid_client", answer.text)
    check(answer.headers.get("www-authenticate", "").startswith("Basic"), "a Basic challenge", answer.headers.get("www-authenticate"))
    check(not set('"\\') & set(answer.json().get("error_description", "")), "no quotes in error_description", answer.text)


def machine(server):
    doing("authlib client_credentials")
    app = OAuth2Session(ID, SECRET, token_endpoint_auth_method="client_secret_post")
    token = app.fetch_token(server["token_endpoint"], grant_type="client_credentials", scope="api:read")
    check(token["scope"] == "api:read" and "refresh_token" not in token, "a token of the client alone", token)


def main():
    base = URL.rstrip("/")
    doing("discovery")
    server = requests.get(f"{base}/.well-known/openid-configuration", timeout=10).json()
    plain = requests.get(f"{base}/.well-known/oauth-authorization-server", timeout=10).json()
    check(plain["issuer"] == server["issuer"] == base, "both documents, one issuer (C18, C19)", [plain.get("issuer"), server.get("issuer")])
    for method in ("client_secret_basic", "client_secret_post"):
        authlib_journey(server, method)
    requests_oauthlib_journey(server, ID, SECRET)
    requests_oauthlib_journey(server, PUBLIC_ID, None)
    machine(server)
    raw_forms(server)
    print("OK")


try:
    main()
except Exception as error:
    traceback.print_exc()
    sys.exit(f"failed at {step}: {error}")
