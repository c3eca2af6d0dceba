"""ES256 in little: signs what machines say, and verifies what the server signed. Slow and not for secrets that matter: it is here because the
standard library has no curves, and a program started for each signature would be the load in place of the server."""

import base64
import hashlib
import json
import secrets

P = 2**256 - 2**224 + 2**192 + 2**96 - 1
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
G = (0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296, 0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5)


def _double(point):
    x, y, z = point
    if not z or not y:
        return (0, 1, 0)
    square = y * y % P
    s = 4 * x * square % P
    m = 3 * (x - z * z) * (x + z * z) % P
    far = (m * m - 2 * s) % P
    return far, (m * (s - far) - 8 * square * square) % P, 2 * y * z % P


def _add(a, b):
    if not a[2]:
        return b
    if not b[2]:
        return a
    za, zb = a[2] * a[2] % P, b[2] * b[2] % P
    ua, ub = a[0] * zb % P, b[0] * za % P
    sa, sb = a[1] * zb * b[2] % P, b[1] * za * a[2] % P
    h, r = (ub - ua) % P, (sb - sa) % P
    if not h:
        return (0, 1, 0) if r else _double(a)
    hh = h * h % P
    hhh, v = h * hh % P, ua * hh % P
    x = (r * r - hhh - 2 * v) % P
    return x, (r * (v - x) - sa * hhh) % P, h * a[2] * b[2] % P


def _times(number, point):
    whole, step = (0, 1, 0), (*point, 1)
    while number:
        if number & 1:
            whole = _add(whole, step)
        step = _double(step)
        number >>= 1
    return whole


def _x(point):
    return point[0] * pow(point[2], -2, P) % P


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def private_key(pem):
    """The number in a PKCS #8 file: version 1 of the inner key, then 32 bytes."""
    der = base64.b64decode("".join(line for line in pem.splitlines() if "-----" not in line))
    at = der.index(b"\x02\x01\x01\x04\x20") + 5
    return int.from_bytes(der[at : at + 32], "big")


def _digest(text):
    return int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")


def jwt(header, claims, key):
    """A JWT signed by a private number."""
    text = ".".join(b64(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
    while True:
        k = secrets.randbelow(N - 1) + 1
        r = _x(_times(k, G)) % N
        s = pow(k, -1, N) * (_digest(text) + r * key) % N
        if r and s:
            return f"{text}.{b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def is_signed_by(token, key_set):
    """Whether a key of this JWK set, the one that the token names, signed it."""
    head, body, signature = token.split(".")
    kid = json.loads(unb64(head))["kid"]
    named = [key for key in key_set["keys"] if key["kid"] == kid and key.get("crv") == "P-256"]
    raw = unb64(signature)
    if not named or len(raw) != 64:
        return False
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    if not (0 < r < N and 0 < s < N):
        return False
    public = tuple(int.from_bytes(unb64(named[0][axis]), "big") for axis in "xy")
    w = pow(s, -1, N)
    point = _add(_times(_digest(f"{head}.{body}") * w % N, G), _times(r * w % N, public))
    return bool(point[2]) and _x(point) % N == r
