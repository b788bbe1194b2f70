#!/usr/bin/env bash
# A real Asterisk as a source: calls, a conference, a queue and the rest come out at every output; what is open is what
# Asterisk says is open, also after a cut connection, and after either of the two was killed in the middle of a call.
#
#     .ci/outside/source-asterisk.sh target/debug/offhook-mio ROOT [shards]
#
# ROOT has Asterisk, as sip/unpacked.sh made it.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
binary=${1:?which binary?}
root=${2:?which root of Asterisk?}
shards=${3:-1}
# shellcheck source=.ci/outside/started.bash
source "$here/started.bash"
# shellcheck source=.ci/outside/hooked.bash
source "$here/hooked.bash"
# shellcheck source=.ci/outside/sip/sip.bash
source "$here/sip/sip.bash"
# shellcheck source=.ci/outside/source/pbx.bash
source "$here/source/pbx.bash"

receiver
pbx "$root"
relay=$(port)
configured "$relay" 'appid = "app", account = "acme"'
cat >>"$folder/offhook.toml" <<TOML
[[webhook]]
name = "crm"
url = "$receiver/ok/crm"
types = ["call.*"]

[[isr.destination]]
name = "recorder"
events = ["RECORDING_STARTED_EVENT", "RECORDING_ENDED_EVENT"]
account = "acme"
url = "$receiver/ok/isr"
parameters = "ucid=%UCID%&file=%FILENAME%&ani=%ANI%"

[limits]
source_retry_ms = 100
source_retry_cap_ms = 200
TOML

echo "${binary##*/}, $shards shard(s), $(chroot "$root" /usr/sbin/asterisk -V)"
PYTHONPATH="$sip" timeout 300 python3 "$here/source/asterisk.py" --binary "$binary" --shards "$shards" --folder "$folder" --root "$root" \
    --scratch "$scratch" --port "$port" --manager "$manager" --relay "$relay" --listener "$listener" --record "$record" || {
    tail -n 40 "$folder/server.log" >&2
    fail "see above"
}
rm -rf "$outside"
echo "${binary##*/}, $shards shard(s): source-asterisk.sh is content"
