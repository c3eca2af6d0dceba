"""Lists instances, creates one and deletes it. Needs `requests`.

    CNX_API_KEY=cnx_prod_… API_URL=https://api.example.com python python.py
"""

import os
import sys
import time

import requests

API = os.environ.get("API_URL", "http://localhost:8081")
session = requests.Session()
session.headers["Authorization"] = f"Bearer {os.environ['CNX_API_KEY']}"
session.headers["X-API-Version"] = "2024-10"


def call(method, path, **more):
    for _ in range(3):
        answer = session.request(method, API + path, timeout=30, **more)
        if answer.status_code != 429:
            break
        wait = int(answer.headers.get("Retry-After", 1))
        print(f"too many requests; waiting {wait} s", file=sys.stderr)
        time.sleep(wait)
    if answer.status_code == 401:
        sys.exit("401: the key is not valid; was it revoked, or has it expired?")
    if answer.status_code == 403:
        sys.exit(f"403: the key may not do this, or not from here {answer.headers.get('WWW-Authenticate', '')}")
    answer.raise_for_status()
    return answer


print(call("GET", "/v1/instances").json())
created = call("POST", "/v1/instances", json={"name": "web-1"}).json()
print(created)
call("DELETE", f"/v1/instances/{created['id']}")
print("deleted", created["id"])
