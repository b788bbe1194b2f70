#!/usr/bin/env bash
# Kamailio as the notifier: every package and a resource list, 423 and 202, and what a stop, a restart and a kill leave behind.
#
#     .ci/outside/sip-kamailio.sh target/debug/offhook-mio ROOT [shards]
#
# ROOT has Kamailio, as sip/unpacked.sh made it.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
binary=${1:?which binary?}
root=${2:?which root?}
shards=${3:-1}
# shellcheck source=.ci/outside/started.bash
source "$here/started.bash"
# shellcheck source=.ci/outside/hooked.bash
source "$here/hooked.bash"
# shellcheck source=.ci/outside/sip/sip.bash
source "$here/sip/sip.bash"

# check GROUP: what kamailio.py has under this name.
check() {
    echo "${binary##*/}, $shards shard(s), Kamailio: $1"
    python3 "$sip/kamailio.py" "$1" "$url" "$port" "$root" "$scratch" "$receiver" "$record" "$folder/kept.json" || fail_with_logs
}

# server DATA: the server, at the same address each time, so that Kamailio finds it again.
server() {
    start "$binary" --listen 127.0.0.1:0 --data "$1" --shards "$shards" --config "$folder/offhook.toml"
}

receiver
port=$(port)
own=$(port)
cat >"$folder/offhook.toml" <<TOML
[sip]
listen = ["udp:127.0.0.1:$own", "tcp:127.0.0.1:$own"]
proxy = "sip:127.0.0.1:$port"
from = "sip:watcher@example.test"

[outbox]
allow_private = ["127.0.0.0/8"]
TOML
kamailio "$root" "$port"

# Without storage a clean stop leaves nothing at the peer.
server none
check packages
check begin
stop "$process"
check ended

# With storage a restart goes on in the same dialogs, whether the server was stopped or killed.
server "$folder/data"
check begin
stop "$process"
server "$folder/data"
check refreshed
killed "$process"
server "$folder/data"
check refreshed

# The peer comes back without knowing anything.
killed "$process"
stop "$kamailio_process"
kamailio "$root" "$port"
server "$folder/data"
check new
check end

# Killed before SIP has answered.
check hurry
killed "$process"
server "$folder/data"
check arrived
stop "$process"
stop "$kamailio_process"

# 423 to short subscriptions, 202 to the others.
kamailio "$root" "$port" STRICT
server none
check strict
stop "$process"
stop "$kamailio_process"
echo "${binary##*/}, $shards shard(s): sip-kamailio.sh is content"
