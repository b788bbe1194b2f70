#!/usr/bin/env bash
# The vendor's own Web SDK (npm @flashphoner/websdk) in headless Chromium, with a backend that fails for some streams.
#
#     .ci/outside/web-sdk.sh target/debug/offhook-mio NODE_MODULES CHROMIUM [shards]
#
# NODE_MODULES is the folder that npm installed @flashphoner/websdk and playwright-core into.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
binary=${1:?which binary?}
modules=${2:?which node_modules?}
chromium=${3:?which browser?}
shards=${4:-1}
# shellcheck source=.ci/outside/started.bash
source "$here/started.bash"
# shellcheck source=.ci/outside/hooked.bash
source "$here/hooked.bash"

# app KEY PATH
app() {
    printf '[wcs.apps.%s]\nurl = "%s/%s/%s"\nmethods = ["all"]\n' "$1" "$receiver" "$2" "$1"
}

mkdir "$folder/tls"
bash "$here/certificates.sh" "$folder/tls"
receiver
{
    # The listener with TLS says first where it listens, so that both are known once the other does.
    printf '[[listener]]\naddress = "127.0.0.1:0"\ndialects = ["wcs"]\n'
    printf 'tls = { cert = "tls/good.pem", key = "tls/good.key" }\n'
    printf '[[listener]]\naddress = "127.0.0.1:0"\n'
    app sdk backend
    app closed 403
} >"$folder/offhook.toml"
start "$binary" --data none --shards "$shards" --config "$folder/offhook.toml"
for address in "ws${url#http}" "wss${secure_url#https}"; do
    timeout 120 node "$here/web-sdk.mjs" "$modules" "$chromium" "$url" "$address" "$record"
    echo "${binary##*/}, $shards shard(s): the Web SDK is content with $address"
done
stop "$process"
