# Sourced after started.bash: receivers, publishing, and what the outbox says of a destination.

record="$folder/requests.jsonl"

# receiver ARGUMENTS...: starts the receiver that fails in every way; sets `receiver` (its URL) and `receiver_process`.
receiver() {
    local said="$folder/$((logs += 1)).receiver"
    : >"$said"
    python3 "$here/receiver.py" --record "$record" "$@" >"$said" &
    receiver_process=$!
    until_true grep -q '^receiver on ' "$said"
    receiver=$(sed 's/^receiver on //' "$said")
}

# fail WORDS: ends the script; says why.
fail() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

# patience TIMEOUT GIVE_UP_AFTER: that of a destination, with retries that fit a test.
patience() {
    printf 'timeout = "%s"\nretry = { first = "50ms", factor = 2, cap = "200ms", give_up_after = "%s" }\n' "$1" "$2"
}

# free_port: one that was free a moment ago, and that nobody listens on.
free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# publish JSON: one event, or an array; each must be acknowledged.
publish() {
    local status
    status=$(curl -sS -m 20 -o "$folder/published" -w '%{http_code}' -H 'Content-Type: application/json' \
        --data-binary "$1" "$url/v1/events")
    [[ $status == 202 ]] || fail "publishing was answered with $status: $(cat "$folder/published")"
}

# requests PATH: how many requests the receiver got there, whatever it answered.
requests() {
    python3 - "$record" "$1" <<'PYTHON'
import json, os, sys
record, path = sys.argv[1:]
lines = open(record).read().splitlines() if os.path.exists(record) else []
print(sum(json.loads(line)["path"].split("?")[0] == path for line in lines))
PYTHON
}

# at_least COUNT PATH: that many requests arrived.
at_least() {
    (($(requests "$2") >= $1))
}

# dead NAME: the dead letters of a destination, all pages, one JSON object a line.
dead() {
    local after='' page
    while :; do
        page=$(curl -sS -m 20 --fail-with-body "$url/v1/dead-letters?destination=$1&limit=100$after") || return
        jq -c '.dead_letters[]' <<<"$page" || return
        after=$(jq -r '.next // empty' <<<"$page")
        [[ -n $after ]] || return 0
        after="&after=$(jq -rn --arg next "$after" '$next | @uri')"
    done
}

# dead_count COUNT NAME: a destination has so many dead letters.
dead_count() {
    [[ $(dead "$2" | wc -l) == "$1" ]]
}

# redrive JSON: sends dead letters again.
redrive() {
    curl -sS -m 20 --fail-with-body -H 'Content-Type: application/json' -d "$1" "$url/v1/dead-letters/redrive" \
        >"$folder/redriven"
}

# delivered NAME: nothing waits for a destination.
delivered() {
    [[ $(curl -sS -m 20 --fail-with-body "$url/v1/deliveries?destination=$1" | jq '.deliveries | length') == 0 ]]
}

# reason NAME: why its first dead letter was given up.
reason() {
    dead "$1" | head -n 1 | jq -r .reason
}
