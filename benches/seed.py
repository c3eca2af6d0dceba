"""Fills a database for `benches/run`: 1,000 clients, 10,000 API keys, 10,000 users and 100,000 families, times `--seed-times`.

What the server itself makes quickly is made by it: the first 1,000 clients by the command line, the first 10,000 keys over HTTP, the people
who sign in by the command line, and the first sessions and families by signing in. The rest is copied: a row that the server wrote is written
again with other ids, names and fingerprints, straight into the SQLite file, while no server runs. A password costs 20 ms of hashing and a family
a whole sign-in: by the front door that would be an hour, and the rows the same. What is copied is never asked for: it is there to be
held in memory and to be searched among.
"""

import json
import os
import sqlite3
import string
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from common import access_token, command, mint, profile, running, stop

CLIENTS, KEYS, USERS, FAMILIES = 1_000, 10_000, 10_000, 100_000
# People who sign in: as many as the generator may have connections.
PEOPLE = 64
PASSWORD = "seventeen quiet herons row"
REDIRECT = "http://127.0.0.1:9/callback"
SCOPE = "openid profile email"
# Rows to a commit, while they are copied.
CHUNK = 50_000
BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase


def say(what):
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr)


def database(env):
    return sqlite3.connect(Path(env["CNX_DATA_DIR"]) / "cnx.db")


def used_clients(cnx, env, folder):
    """The clients that are used, by name, with what the generator needs to be them."""

    def add(name, **metadata):
        file = folder / "client.json"
        file.write_text(json.dumps({"client_name": name, **metadata}))
        return command(cnx, env, "client", "add", "--metadata", str(file))

    machine = {"grant_types": ["client_credentials"], "scope": "instances:read"}
    person = {"redirect_uris": [REDIRECT], "grant_types": ["authorization_code", "refresh_token"], "scope": SCOPE}
    made = {
        "minter": add("minter", **{**machine, "scope": "keys:write keys:verify instances:read"}),
        "svc": add("svc", **machine),
        "svc_opaque": add("svc_opaque", **machine, access_token_format="opaque"),
        "web": add("web", **person),
        "web_es256": add("web_es256", **person, id_token_signed_response_alg="ES256"),
    }
    account = command(cnx, env, "service-account", "add", "robot", "--scope", "instances:read")["service_account_id"]
    for alg in ("ES256", "RS256", "EdDSA"):
        key = command(cnx, env, "service-account", "key", "add", account, "--alg", alg)
        kid, file = key["private_key_id"], folder / f"{alg}.pem"
        file.write_text(key["private_key"])
        signs = {"auth": "private_key_jwt", "alg": alg, "kid": kid, "key_file": file.name}
        made[f"robot_{alg.lower()}"] = {"client_id": account, **signs}
        # The same pair authenticates a client; its public half as a JWK is in the row that the server wrote.
        [[jwk]] = database(env).execute("SELECT public_jwk FROM service_account_keys WHERE kid = ?", [kid])
        client = add(f"pk {alg}", **machine, token_endpoint_auth_method="private_key_jwt", jwks={"keys": [json.loads(jwk)]})
        made[f"pk_{alg.lower()}"] = {"client_id": client["client_id"], **signs}
    return made


def generators(clients):
    """Clients as the generator's profile has them."""
    members = ("auth", "alg", "kid", "key_file")
    return {
        name: {"id": client["client_id"], "secret": client.get("client_secret", ""), **{m: client[m] for m in members if m in client}}
        for name, client in clients.items()
    }


def login(client):
    """How people sign in, as the generator's profile has it."""
    # The consent page has three buttons of one name, and the generator would press the first.
    fields = {"username": "bench{i}", "password": PASSWORD, "decision": "allow"}
    return {"client": client, "redirect_uri": REDIRECT, "scope": SCOPE, "mode": "forms", "fields": fields}


def seed(cnx, env, port, folder, log, times):
    """Fills the database; what the works need of it."""
    say("clients and people, by the command line")
    clients = used_clients(cnx, env, folder)
    with ThreadPoolExecutor(4) as pool:
        add = lambda n: command(cnx, env, "client", "add", f"app {n}", "--redirect-uri", f"https://app{n}.example/callback")
        list(pool.map(add, range(CLIENTS - len(clients))))
        words = ["--email-verified", "--password-stdin", "--name"]
        add = lambda n: command(cnx, env, "user", "add", f"bench{n}@example.com", *words, f"Bench {n}", given=PASSWORD)
        list(pool.map(add, range(PEOPLE)))
    command(cnx, env, "organization", "set-tier", "default", "--tier", "enterprise")
    with running([cnx, "serve"], env, port, log):
        say(f"{KEYS:,} keys, over HTTP")
        token = access_token(clients["minter"], port)
        [caller] = mint(port, token, 1, "keys:verify")
        keys = mint(port, token, KEYS - 1, "instances:read")
        say("a session and families, by signing in")
        works = {"login": {"kind": "login"}}
        about = profile(folder / "seed.json", "cnx", port, works, clients=generators(clients), login=login("web"))
        about.write_text(about.read_text().replace('"discovery": ""', '"discovery": "/.well-known/openid-configuration"'))
        ended = subprocess.run([os.environ["OPBENCH"], str(about), "--check"], capture_output=True, text=True)
        if ended.returncode:
            stop(f"signing in: {ended.stdout} {ended.stderr}")
    copies(env, times)
    return {"clients": clients, "caller": caller, "keys": keys}


def copies(env, times):
    """Everything else, straight into the file."""
    with database(env) as db:
        db.row_factory = sqlite3.Row
        # Nobody misses these rows if the machine stops now: the bench would begin again.
        db.execute("PRAGMA synchronous = OFF")
        copy_clients(db, CLIENTS * times)
        copy_keys(db, KEYS * times)
        users = copy_users(db, USERS * times)
        copy_families(db, users, FAMILIES * times)
        db.commit()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def missing(db, table, wanted):
    [[there]] = db.execute(f"SELECT count(*) FROM {table}")
    say(f"{table}: {there:,} made by the server, {max(0, wanted - there):,} copied")
    return range(there, wanted)


def newest(db, table, where="TRUE"):
    """The row that is copied."""
    row = db.execute(f"SELECT * FROM {table} WHERE {where} ORDER BY created_at DESC LIMIT 1").fetchone()
    if row is None:
        stop(f"the server wrote no row of {table} that could be copied")
    return dict(row)


def write(db, table, rows):
    """Rows as dictionaries of one form, some at a time."""
    statement, waiting = None, []
    for row in rows:
        statement = statement or f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})"
        waiting.append(tuple(row.values()))
        if len(waiting) == CHUNK:
            db.executemany(statement, waiting)
            db.commit()
            waiting.clear()
    if waiting:
        db.executemany(statement, waiting)
        db.commit()


def uuid7(n):
    """An id as the server makes them (RFC 9562 §5.7): a millisecond, rising with `n`, and chance."""
    random = bytearray(os.urandom(10))
    random[0], random[2] = 0x70 | random[0] & 0x0F, 0x80 | random[2] & 0x3F
    return (BORN + n).to_bytes(6, "big") + bytes(random)


# The copies were made in the milliseconds before now, in the order in which they are written.
BORN = int(time.time() * 1000) - 86_400_000


def word(length):
    return "".join(BASE62[byte % 62] for byte in os.urandom(length))


def copy_clients(db, wanted):
    row, secret = newest(db, "clients", "client_id IN (SELECT client_id FROM client_secrets)"), newest(db, "client_secrets")
    ids = [f"app_{word(17)}" for _ in missing(db, "clients", wanted)]
    write(db, "clients", ({**row, "client_id": id} for id in ids))
    write(db, "client_secrets", ({**secret, "client_id": id, "fingerprint": os.urandom(32)} for id in ids))


def copy_keys(db, wanted):
    row, secret = newest(db, "api_keys"), newest(db, "api_key_secrets")
    ids = [(n, word(10)) for n in missing(db, "api_keys", wanted)]
    write(db, "api_keys", ({**row, "id": id, "name": f"bench {n}"} for n, id in ids))
    write(db, "api_key_secrets", ({**secret, "key_id": id, "fingerprint": os.urandom(32)} for _, id in ids))


def copy_users(db, wanted):
    """The ids of all, with the session that each has got."""
    row, session = newest(db, "users", "password_hash IS NOT NULL"), newest(db, "sessions")
    made = [(n, uuid7(n), uuid7(n)) for n in missing(db, "users", wanted)]
    write(db, "users", ({**row, "id": id, "username": f"user{n}", "email": f"user{n}@example.com"} for n, id, _ in made))
    unlike = lambda id, user: {"id": id, "user_id": user, "fingerprint": os.urandom(32)}
    write(db, "sessions", ({**session, **unlike(id, user)} for _, user, id in made))
    return [(user, id) for _, user, id in made]


def copy_families(db, users, wanted):
    row = newest(db, "families")
    whose = lambda n: dict(zip(("user_id", "session_id"), users[n % len(users)]))
    write(db, "families", ({**row, "id": uuid7(n), "salt": os.urandom(16), **whose(n)} for n in missing(db, "families", wanted)))
