#!/usr/bin/env bash
# Webhooks, ISR notifications and WCS hooks against a receiver that fails in every way: the good destinations get
# everything, in order per subject, whatever the bad ones do; the bad ones end as dead letters that can be sent again.
#
#     .ci/outside/hooks.sh target/debug/offhook-mio [shards]
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
binary=${1:?which binary?}
shards=${2:-1}
# shellcheck source=.ci/outside/started.bash
source "$here/started.bash"
# shellcheck source=.ci/outside/hooked.bash
source "$here/hooked.bash"

good=(ok trickle huge close chunked)
bad=(500 503-retry-after 429 301 hang reset garbage)
subjects=5
each=6

# webhook NAME URL TIMEOUT GIVE_UP_AFTER
webhook() {
    printf '[[webhook]]\nname = "%s"\nurl = "%s"\ntypes = ["call.*"]\n' "$1" "$2"
    patience "$3" "$4"
}

isr() {
    printf '[[isr.destination]]\nname = "isr-%s"\nurl = "%s/%s/isr"\nglobal = true\nevents = ["RECORDING_STARTED_EVENT"]\n' \
        "$1" "$receiver" "$1"
    printf 'parameters = "aors=%%CALLEDAORS%%&ucid=%%UCID%%"\n'
    patience 15s 2s
}

# app KEY PATH TIMEOUT: a WCS application.
app() {
    printf '[wcs.apps.%s]\nurl = "%s/%s"\nmethods = ["StreamStatusEvent"]\ntimeout = "%s"\n' "$1" "$receiver" "$2" "$3"
    printf 'rest_client_config = { StreamStatusEvent = { restOnError = "FAIL" } }\n'
}

config() {
    local name
    for name in "${good[@]}" 410; do webhook "$name" "$receiver/$name/webhook" 15s 1h; done
    for name in "${bad[@]}"; do webhook "$name" "$receiver/$name/webhook" 4s 6s; done
    webhook refused "http://127.0.0.1:$(free_port)/" 4s 6s
    for name in ok 500 400; do isr "$name"; done
    app good ok/wcs 2s
    app bad 500/wcs 2s
    app slow hang/wcs 1s
}

# The nth event of each subject, as one array.
round() {
    jq -cn --argjson n "$1" --argjson subjects "$subjects" '[range($subjects)
        | {type: "call.info", id: "\(.)-\($n)", source: "hooks", subject: "call/\(.)", data: {n: $n}}]'
}

receiver
config >"$folder/hooks.toml"
start "$binary" --listen 127.0.0.1:0 --data "$folder/data" --shards "$shards" --config "$folder/hooks.toml"

for ((n = 1; n <= each; n++)); do publish "$(round "$n")"; done
publish '[{"type":"recording.started","subject":"recording/1","data":{"called_aors":"sip:1@h","ucid":"u 1"}},
    {"type":"stream.status","appkey":"good","sessionid":"s1","data":{"status":"PUBLISHING"}},
    {"type":"stream.status","appkey":"bad","sessionid":"s2","data":{"status":"PUBLISHING"}},
    {"type":"stream.status","appkey":"slow","sessionid":"s3","data":{"status":"PUBLISHING"}}]'

# The good ones have everything before the bad ones have been given up: a bad destination delays nobody.
all=$((subjects * each))
for name in "${good[@]}"; do until_true at_least "$all" "/$name/webhook"; done
until_true at_least 1 /ok/isr
until_true at_least 1 /ok/wcs/StreamStatusEvent
python3 "$here/hooks.py" good "$record" "$all" "${good[@]}"

# Every bad one ends as dead letters, each with its reason.
for name in "${bad[@]}" refused; do
    until_true dead_count "$all" "$name"
    dead "$name" >"$folder/dead-$name"
done
until_true dead_count 1 isr-500
until_true dead_count 1 isr-400
dead isr-500 >"$folder/dead-isr-500"
dead isr-400 >"$folder/dead-isr-400"
python3 "$here/hooks.py" bad "$folder" "$record"

# same ACTUAL EXPECTED WORDS
same() {
    [[ $1 == "$2" ]] || fail "$1 instead of $2: $3"
}

same "$(requests /followed)" 0 "a redirect was followed"
same "$(requests /400/isr)" 1 "a 400 was tried again"
(($(requests /410/webhook) <= subjects)) || fail "410 did not disable: $(requests /410/webhook) requests"

# A WCS hook is tried once when it was answered, and when nobody answered in time. The log says so; there is no client.
until_true at_least 1 /hang/wcs/StreamStatusEvent
for text in 'failed: HTTP 500' 'failed: timeout after 1 s'; do
    until_true grep -qs "REST hook StreamStatusEvent $text" "$folder/$logs.log"
done
same "$(requests /500/wcs/StreamStatusEvent)" 1 "the hook that got a 500"
same "$(requests /hang/wcs/StreamStatusEvent)" 1 "the hook that got no answer"

# Redrive: one letter, then the rest of the destination, once the receiver has recovered.
before=$(requests /500/webhook)
curl -sS -m 20 --fail -d ok "$receiver/switch/500"
redrive "$(head -n 1 "$folder/dead-500" | jq -c '{id}')"
until_true at_least $((before + 1)) /500/webhook
until_true dead_count $((all - 1)) 500
redrive '{"destination":"500"}'
until_true at_least $((before + all)) /500/webhook
until_true dead_count 0 500
until_true delivered 500
grep -q order "$folder/redriven" || fail "redrive does not say that it may reorder: $(cat "$folder/redriven")"

stop "$process"
echo "${binary##*/}, $shards shard(s): hooks.sh is content"
