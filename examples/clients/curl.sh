#!/usr/bin/env bash
# Lists instances, creates one and deletes it.
#
#   CNX_API_KEY=cnx_prod_… API_URL=https://api.example.com ./curl.sh
set -euo pipefail

: "${CNX_API_KEY:?is not set: the API key}"
api=${API_URL:-http://localhost:8081}
head=$(mktemp)
body=$(mktemp)
trap 'rm -f "$head" "$body"' EXIT

# call METHOD PATH [curl options]: prints the answer.
call() {
  local status wait
  for _ in 1 2 3; do
    # The key on standard input: everybody on this machine can read the arguments of a program.
    status=$(printf 'Authorization: Bearer %s\n' "$CNX_API_KEY" |
      curl --silent --show-error --max-time 30 --request "$1" --header @- --header 'X-API-Version: 2024-10' \
        --dump-header "$head" --output "$body" --write-out '%{http_code}' "${@:3}" "$api$2")
    [ "$status" = 429 ] || break
    wait=$(tr -d '\r' <"$head" | awk 'tolower($1) == "retry-after:" { print $2 }')
    echo "too many requests; waiting ${wait:-1} s" >&2
    sleep "${wait:-1}"
  done
  case $status in
    2??) cat "$body" ;;
    401) echo "401: the key is not valid; was it revoked, or has it expired?" >&2; return 1 ;;
    403) echo "403: the key may not do this, or not from here" >&2; grep -i '^www-authenticate' "$head" >&2; return 1 ;;
    *)   echo "$status" >&2; cat "$body" >&2; return 1 ;;
  esac
}

call GET /v1/instances; echo
created=$(call POST /v1/instances --header 'Content-Type: application/json' --data '{"name": "web-1"}')
echo "$created"
id=$(grep -o '"id":[0-9]*' <<<"$created" | cut -d: -f2)
call DELETE "/v1/instances/$id"
echo "deleted $id"
