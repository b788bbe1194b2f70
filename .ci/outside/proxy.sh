#!/usr/bin/env bash
# Deliveries through a CONNECT proxy (tinyproxy) over `[outbox] egress_proxy`: plain and with TLS; a proxy that refuses,
# and one that is not there.
#
#     .ci/outside/proxy.sh target/debug/offhook-mio
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
binary=${1:?which binary?}
# shellcheck source=.ci/outside/started.bash
source "$here/started.bash"
# shellcheck source=.ci/outside/hooked.bash
source "$here/hooked.bash"

# proxy CONNECT_PORTS...: starts tinyproxy that lets CONNECT through to these ports; sets `proxy_port`.
proxy() {
    proxy_port=$(free_port)
    {
        printf 'Port %s\nListen 127.0.0.1\nAllow 127.0.0.1\nTimeout 60\nMaxClients 50\nLogLevel Connect\n' "$proxy_port"
        printf 'LogFile "%s/proxy.log"\nDisableViaHeader Yes\n' "$folder"
        printf 'ConnectPort %s\n' "$@"
    } >"$folder/tinyproxy.conf"
    tinyproxy -d -c "$folder/tinyproxy.conf" >"$folder/tinyproxy.out" 2>&1 &
    until_true connects "$proxy_port"
}

connects() {
    python3 -c 'import socket, sys; socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5)' "$1" 2>/dev/null
}

# webhook NAME URL GIVE_UP_AFTER
webhook() {
    printf '[[webhook]]\nname = "%s"\nurl = "%s"\n' "$1" "$2"
    patience 15s "$3"
}

mkdir "$folder/tls"
bash "$here/certificates.sh" "$folder/tls"
receiver
plain=$receiver
receiver --tls "$folder/tls/good.pem" "$folder/tls/good.key"
secure=$receiver
# The proxy does not let CONNECT through to this one's port.
receiver
hidden=$receiver
proxy "${plain##*:}" "${secure##*:}"

config() {
    printf '[outbox]\negress_proxy = "http://127.0.0.1:%s"\n' "$1"
    webhook plain "$plain/ok/plain" "$2"
    webhook bad "$plain/500/bad" 1s
    webhook secure "$secure/ok/secure" "$2"
    printf 'tls = { ca = "%s/tls/ca.pem", only_ca = true }\n' "$folder"
    webhook hidden "$hidden/ok/hidden" 1s
}

config "$proxy_port" 1h >"$folder/hooks.toml"
start "$binary" --listen 127.0.0.1:0 --data none --config "$folder/hooks.toml"
for ((n = 0; n < 10; n++)); do publish "{\"type\":\"call.info\",\"subject\":\"call/$((n % 3))\",\"data\":{\"n\":$n}}"; done
for name in plain secure; do until_true at_least 10 "/ok/$name"; done
until_true dead_count 10 hidden
until_true dead_count 10 bad
(($(requests /ok/hidden) == 0)) || fail "what the proxy refuses was reached"
[[ $(reason hidden) == *proxy* ]] || fail "refused by the proxy: $(reason hidden)"
[[ $(reason bad) == *500* ]] || fail "refused by the receiver: $(reason bad)"

# Everything went through the proxy.
grep -q "CONNECT 127.0.0.1:${plain##*:}" "$folder/proxy.log" || fail "no CONNECT: $(cat "$folder/proxy.log")"
grep -q "CONNECT 127.0.0.1:${secure##*:}" "$folder/proxy.log" || fail "no CONNECT: $(cat "$folder/proxy.log")"
python3 - "$record" "${plain##*:}" "${secure##*:}" <<'PYTHON'
import json, sys
record, *ports = sys.argv[1:]
for line in open(record):
    host = dict(json.loads(line)["headers"])["host"]
    assert host.split(":")[1] in ports, f"the receiver's own name stands in Host: {host}"
PYTHON
stop "$process"

# A proxy that is not there: no delivery goes around it.
before=$(wc -l <"$record")
config "$(free_port)" 1s >"$folder/hooks.toml"
start "$binary" --listen 127.0.0.1:0 --data none --config "$folder/hooks.toml"
publish '{"type":"call.info","subject":"call/1"}'
for name in plain secure hidden; do until_true dead_count 1 "$name"; done
[[ $(wc -l <"$record") == "$before" ]] || fail "a delivery went around the proxy"
stop "$process"
echo "${binary##*/}: proxy.sh is content"
