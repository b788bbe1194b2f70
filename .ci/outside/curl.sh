#!/usr/bin/env bash
# curl: makes an eventhandler, holds its stream and one of Server-Sent Events open, publishes, deletes.
set -euo pipefail

url=${1:?the server address}
# shellcheck source=.ci/outside/started.bash
source "$(dirname "${BASH_SOURCE[0]}")/started.bash"

fail() {
    echo "curl: $*" >&2
    exit 1
}

# status EXPECTED ARGUMENTS...: a request whose body goes to $folder/body.
status() {
    local expected=$1 got
    shift
    got=$(curl -sS -m 20 -o "$folder/body" -w '%{http_code}' "$@")
    [[ $got == "$expected" ]] || fail "$got instead of $expected: $* $(cat "$folder/body")"
}

status 200 "$url/healthz"
status 200 "$url/readyz"
status 200 "$url/metrics"
grep -q '^# EOF$' "$folder/body" || fail "the metrics have no end"
status 404 "$url/nowhere"

# curl itself asks for a go-ahead (Expect: 100-continue) before a body of this size.
subscription='<web_service version="1.0"><eventhandler><eventsubscribe action="add" type="any"/></eventhandler></web_service>'
{ echo "$subscription"; printf '<!--%*s-->' 2000 ''; } >"$folder/request"
status 201 -H 'Content-Type: text/xml' -H 'Expect: 100-continue' --data-binary @"$folder/request" "$url/default/eventhandlers?appid=app"
id=$(sed -n 's/.*identifier="\([^"]*\)".*/\1/p' "$folder/body")
handler="$url/default/eventhandlers/$id?appid=app"

curl -sS -N -m 60 -D "$folder/xms.head" -o "$folder/xms" "$handler" &
xms=$!
curl -sS -N -m 60 -H 'Accept: text/event-stream' -D "$folder/sse.head" -o "$folder/sse" "$url/v1/events?type=call.*" &
sse=$!
until_true grep -qs keepalive "$folder/xms"
until_true grep -qs '^retry:' "$folder/sse"
grep -qi '^content-type: text/plain.$' "$folder/xms.head" || fail "XMS: $(cat "$folder/xms.head")"
grep -qi '^content-type: text/event-stream' "$folder/sse.head" || fail "SSE: $(cat "$folder/sse.head")"

call=c2dcaa4f-2b31-425c-b491-f2537d4c8738
status 202 -H 'Content-Type: application/json' -d '{"type":"call.ringing","subject":"call/'$call'","appid":"app"}' "$url/v1/events"
status 202 -H 'Content-Type: application/x-ndjson' --data-binary $'{"type":"user.login","data":{"username":"ann"}}\n{"type":"call.hangup","subject":"call/'$call'","data":{"reason":"800 Bye"}}' "$url/v1/events"
status 400 -H 'Content-Type: application/json' -d '[{"type":"call.ringing"},{"typ":"x"}]' "$url/v1/events"
grep -q '"index":1' "$folder/body" || fail "no index in $(cat "$folder/body")"
status 415 -H 'Content-Type: text/plain' -d 'x' "$url/v1/events"

until_true grep -qs 'type="hangup"' "$folder/xms"
until_true grep -qs '"type":"call.hangup"' "$folder/sse"
# The whole stream after the keepalive, byte for byte: the lengths 10d and 139 are those of the vendor's dialect.
crlf() { sed 's/$/\r/' | head -c -2; }
{
    printf '44\r\n'
    crlf <<<$'<web_service version="1.0">\n<event type="keepalive"/></web_service>'
    printf '10d\r\n'
    crlf <<END
<web_service version="1.0">
<event type="ringing" resource_id="$call" resource_type="call">
<event_data name="call_id" value="$call" />
<event_data name="type" value="RINGING" />
</event>
</web_service>
END
    printf '139\r\n'
    crlf <<END
<web_service version="1.0">
<event type="hangup" resource_id="$call" resource_type="call">
<event_data name="call_id" value="$call" />
<event_data name="reason" value="800 Bye" />
<event_data name="type" value="HANGUP" />
</event>
</web_service>
END
} >"$folder/expected"
status 204 -X DELETE "$handler"
wait "$xms" || fail "the stream did not end cleanly"
cmp "$folder/xms" "$folder/expected" || fail "the stream has other bytes"
status 404 -X DELETE "$handler"

# Resume: what came after the first event of the stream comes again.
last=$(sed -n 's/^id: //p' "$folder/sse" | head -n 1)
[[ $(grep -c '^data: ' "$folder/sse") == 2 ]] || fail "SSE: $(cat "$folder/sse")"
curl -sS -N -m 60 -H "Last-Event-ID: $last" -o "$folder/resumed" "$url/v1/events?type=call.*" &
until_true grep -qs '"type":"call.hangup"' "$folder/resumed"
if grep -q 'call.ringing' "$folder/resumed"; then fail "repeated: $(cat "$folder/resumed")"; fi
kill "$sse"
