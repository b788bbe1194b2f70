#!/usr/bin/env bash
# Websocket clients that none of us wrote, PyPI websockets and npm ws, at iSymphony's Event API: plain and with TLS.
#
#     .ci/outside/websocket.sh target/debug/offhook-mio PYTHON NODE_MODULES [shards]
#
# PYTHON is a Python that has websockets (PyPI), NODE_MODULES the folder that npm installed ws into.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
binary=${1:?which binary?}
python=${2:?which Python?}
modules=${3:?which node_modules?}
shards=${4:-1}
# shellcheck source=.ci/outside/started.bash
source "$here/started.bash"

mkdir "$folder/tls"
bash "$here/certificates.sh" "$folder/tls"
printf 'example-password\n' >"$folder/password"
cat >"$folder/offhook.toml" <<'TOML'
# The listener with TLS says first where it listens, so that both are known once the other does.
[[listener]]
address = "127.0.0.1:0"
dialects = ["isymphony"]
tls = { cert = "tls/good.pem", key = "tls/good.key" }
[[listener]]
address = "127.0.0.1:0"

[isymphony]
users = [{ name = "manager", password_file = "password" }]
allowed_origins = ["https://crm.example.com"]
ping = "1s"
TOML

start "$binary" --data none --shards "$shards" --config "$folder/offhook.toml"
bases=("ws${url#http}" "wss${secure_url#https}")
for base in "${bases[@]}"; do
    timeout 120 "$python" "$here/websocket.py" "$url" "$base" "$folder/tls/ca.pem"
    timeout 120 node "$here/websocket.mjs" "$modules" "$url" "$base" "$folder/tls/ca.pem"
    echo "${binary##*/}, $shards shard(s): websockets and ws are content with $base"
done

# A server that stops says so (1001) to those who are there.
waiting=()
for base in "${bases[@]}"; do
    said="$folder/${base%%:*}"
    "$python" "$here/websocket.py" "$url" "$base" "$folder/tls/ca.pem" --until-shutdown >"$said" &
    waiting+=("$!")
    until_true grep -qs open "$said"
done
stop "$process"
for client in "${waiting[@]}"; do wait "$client"; done
echo "${binary##*/}, $shards shard(s): websocket.sh is content"
