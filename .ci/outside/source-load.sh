#!/usr/bin/env bash
# Many calls a second through a real Asterisk, heard at four outputs at once; not a part of .ci/run. The server has one core, Asterisk,
# SIPp and the listeners the other.
#
#     .ci/outside/source-load.sh target/release/offhook-mio ROOT [calls a second] [seconds]
#
# ROOT has Asterisk and SIPp, as sip/unpacked.sh made it.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
binary=${1:?which binary?}
root=${2:?which root of Asterisk and SIPp?}
rate=${3:-200}
seconds=${4:-60}
# shellcheck source=.ci/outside/started.bash
source "$here/started.bash"
# shellcheck source=.ci/outside/hooked.bash
source "$here/hooked.bash"
# shellcheck source=.ci/outside/sip/sip.bash
source "$here/sip/sip.bash"
# shellcheck source=.ci/outside/source/pbx.bash
source "$here/source/pbx.bash"

pbx "$root"
receiver_port=$(port)
cp "$here/source/caller.xml" "$outside/"
configured "$manager" 'appid = "app"'
cat >>"$folder/offhook.toml" <<TOML
[[webhook]]
name = "crm"
url = "http://127.0.0.1:$receiver_port/crm"
types = ["call.incoming", "call.hangup"]

# What is kept for readers fills up soon, so that whatever else grew would show.
[limits]
retained_bytes = 8388608
xms_arena_bytes = 4194304
isymphony_arena_bytes = 4194304
TOML

echo "${binary##*/}, $(chroot "$root" /usr/sbin/asterisk -V), $rate calls a second for $seconds s"
taskset -c 1 chroot "$root" /usr/sbin/asterisk -f -n -C "$scratch/etc/asterisk.conf" >"$outside/said" 2>&1 &
asterisk_process=$!
taskset -c 0 "$binary" --config "$folder/offhook.toml" --listen "127.0.0.1:$listener" --data "$folder/data" 2>"$folder/server.log" &
server_process=$!
trap 'killed $asterisk_process; killed $server_process; rm -rf "$folder" "$outside"' EXIT
connected() { curl -sS -m 5 "http://127.0.0.1:$listener/metrics" 2>/dev/null | grep -q '^offhook_source_connected{.*} 1'; }
until_true connected || { tail -n 20 "$folder/server.log" "$outside/said" >&2; fail "the source is not connected"; }
taskset -c 1 python3 "$here/source/load.py" --offhook "127.0.0.1:$listener" --asterisk "$port" --sipp "$root" \
    --scenario "$scratch/caller.xml" --receiver "$receiver_port" --server "$server_process" --rate "$rate" --seconds "$seconds" ||
    { tail -n 20 "$folder/server.log" >&2; fail "see above"; }
