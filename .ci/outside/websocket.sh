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

# said WORDS FILE: a line of a file, for until_true.
said() {
    grep -qs "$1" "$2"
}

waiting=()
start "$binary" --data none --shards "$shards" --config "$folder/offhook.toml"
for base in "ws${url#http}" "wss${secure#https}"; do
    ca=()
    [[ $base != wss* ]] || ca=("$folder/tls/ca.pem")
    timeout 120 "$python" "$here/websocket.py" "$url" "$base" ${ca:+--ca "${ca[@]}"}
    timeout 120 node "$here/websocket.mjs" "$modules" "$url" "$base" "${ca[@]}"
    echo "${binary##*/}, $shards shard(s): websockets and ws are content with $base"
    "$python" "$here/websocket.py" "$url" "$base" ${ca:+--ca "${ca[@]}"} --until-shutdown >"$folder/${base%%:*}" &
    waiting+=("$!")
    until_true said open "$folder/${base%%:*}"
done

# A server that stops says so (1001) to those who are there.
stop "$process"
for client in "${waiting[@]}"; do wait "$client"; done
echo "${binary##*/}, $shards shard(s): websocket.sh is content"
