#!/usr/bin/env bash
# Asterisk as the notifier: states of its dialplan and of real calls, voicemail, presence, and packages that it refuses.
#
#     .ci/outside/sip-asterisk.sh target/debug/offhook-mio ROOT SIPP [shards]
#
# ROOT has Asterisk, SIPP has SIPp, as sip/unpacked.sh made them.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
binary=${1:?which binary?}
root=${2:?which root of Asterisk?}
sipp=${3:?which root of SIPp?}
shards=${4:-1}
# shellcheck source=.ci/outside/started.bash
source "$here/started.bash"
# shellcheck source=.ci/outside/hooked.bash
source "$here/hooked.bash"
# shellcheck source=.ci/outside/sip/sip.bash
source "$here/sip/sip.bash"

receiver
port=$(port)
phone=$(port)
cat >"$folder/offhook.toml" <<'TOML'
[sip]
listen = ["udp:127.0.0.1:0", "tcp:127.0.0.1:0"]

[outbox]
allow_private = ["127.0.0.0/8"]
TOML
asterisk "$root" "$port" "$phone"
version=$(chroot "$root" /usr/sbin/asterisk -V)

start "$binary" --listen 127.0.0.1:0 --data none --shards "$shards" --config "$folder/offhook.toml"
echo "${binary##*/}, $shards shard(s), $version"
python3 "$sip/asterisk.py" "$url" "$port" "$phone" "$root" "$scratch" "$sipp" "$receiver" "$record" || fail_with_logs
stop "$process"
stop "$asterisk_process"
echo "${binary##*/}, $shards shard(s): sip-asterisk.sh is content"
