#!/usr/bin/env bash
# Who may come in, as curl has it: a password that the argon2 command of Debian hashed, one that `passwd` hashed, tokens, what
# a scope hides, the audit log as jq reads it, and a listener that the server refuses.
#
#     .ci/outside/access.sh target/debug/offhook-mio [shards]
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
binary=${1:?which binary?}
shards=${2:-1}
# shellcheck source=.ci/outside/started.bash
source "$here/started.bash"

fail() {
    echo "$*" >&2
    exit 1
}

# answers STATUS CURL_ARGUMENTS...
answers() {
    local wanted=$1 status
    shift
    status=$(curl -sS -m 20 -o "$folder/answer" -w '%{http_code}' "$@")
    [[ $status == "$wanted" ]] || fail "$status instead of $wanted: curl $*"
}

sha256() {
    printf %s "$1" | sha256sum | cut -d ' ' -f 1
}

{
    printf '[auth]\ntokens = [\n'
    printf '  { name = "pbx", sha256 = "%s", may = ["publish"] },\n' "$(sha256 token-of-pbx)"
    printf '  { name = "mike", sha256 = "%s", may = ["read"], only = { username = "mike" } },\n]\n' "$(sha256 token-of-mike)"
    printf '[audit]\nfile = "audit.jsonl"\n[xms.app.app]\nusers = [\n'
    printf '  { name = "ann", password_hash = "%s" },\n' "$(printf 's\303\266same' | argon2 some-salt -id -t 3 -m 12 -p 2 -l 32 -e)"
    printf '  { name = "bob", password_hash = "%s" },\n]\n' "$("$binary" passwd <<<'open it')"
} >"$folder/access.toml"
start "$binary" --listen 127.0.0.1:0 --data none --shards "$shards" --config "$folder/access.toml"

handlers="$url/default/eventhandlers?appid=app"
answers 401 "$handlers"
answers 200 --user 'ann:sösame' "$handlers"
answers 200 --user 'bob:open it' "$handlers"
answers 401 --user 'ann:open it' "$handlers"
# curl asks without credentials first, and chooses by the challenge.
answers 200 --anyauth --user 'bob:open it' "$handlers"

json='Content-Type: application/json'
event() {
    printf '{"type":"call.ringing","subject":"call/1","data":{"username":"%s"}}' "$1"
}
answers 401 -H "$json" -d "$(event mike)" "$url/v1/events"
answers 403 --oauth2-bearer token-of-mike -H "$json" -d "$(event mike)" "$url/v1/events"
curl -sS -N -m 60 --oauth2-bearer token-of-mike -o "$folder/stream" "$url/v1/events" &
stream=$!
until_true grep -qs '^retry:' "$folder/stream"
for name in eve mike eve; do answers 202 --oauth2-bearer token-of-pbx -H "$json" -d "$(event "$name")" "$url/v1/events"; done
# What came before arrives first, so whoever waits for the last has seen all.
answers 202 --oauth2-bearer token-of-pbx -H "$json" -d '{"type":"call.hangup","subject":"call/1","data":{"username":"mike"}}' "$url/v1/events"
until_true grep -q 'call.hangup' "$folder/stream"
(($(grep -c '^data:' "$folder/stream") == 2)) || fail "two events are within the scope: $(cat "$folder/stream")"
! grep -q eve "$folder/stream" || fail "the scope lets something through: $(cat "$folder/stream")"
kill "$stream"
wait "$stream" || true

jq -es 'map(.what == "refused" and .address == "127.0.0.1") | all and length == 5' "$folder/audit.jsonl" >/dev/null ||
    fail "the audit log: $(cat "$folder/audit.jsonl")"
! grep -q -e same -e 'open it' -e token-of "$folder/audit.jsonl" || fail "a secret is in the audit log"
stop "$process"

# Nothing is bound, and the lines that are missing are named.
status=0
"$binary" --listen 0.0.0.0:0 --data none >"$folder/refused" 2>&1 || status=$?
((status == 2)) || fail "exit code $status for a listener that lets in whoever comes"
grep -qF '[xms.app.app]' "$folder/refused" || fail "no line to add: $(cat "$folder/refused")"
echo "${binary##*/}, $shards shard(s): access.sh is content"
