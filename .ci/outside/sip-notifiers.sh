#!/usr/bin/env bash
# SIPp as notifiers, over UDP, TCP and TLS: NOTIFY before the 200, none at all, refusals, challenges, ends of every kind, forks.
#
#     .ci/outside/sip-notifiers.sh target/debug/offhook-mio ROOT [shards]
#
# ROOT has SIPp, as sip/unpacked.sh made it.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
binary=${1:?which binary?}
root=${2:?which root?}
shards=${3:-1}
# shellcheck source=.ci/outside/started.bash
source "$here/started.bash"

mkdir "$folder/tls"
bash "$here/certificates.sh" "$folder/tls"
printf 'example-password\n' >"$folder/password"
cat >"$folder/offhook.toml" <<'TOML'
[sip]
listen = ["udp:127.0.0.1:0", "tcp:127.0.0.1:0", "tls:127.0.0.1:0"]
tls = { cert = "tls/good.pem", key = "tls/good.key" }
peer_tls = { ca = "tls/ca.pem" }
credentials = [{ realm = "*", user = "gateway", password_file = "password" }]
TOML

start "$binary" --listen 127.0.0.1:0 --data none --shards "$shards" --config "$folder/offhook.toml"
if ! python3 "$here/sip/notifiers.py" "$url" "$root" "$folder/tls"; then
    tail -n 40 "$folder/$logs.log" >&2
    exit 1
fi
stop "$process"
echo "${binary##*/}, $shards shard(s): sip-notifiers.sh is content"
