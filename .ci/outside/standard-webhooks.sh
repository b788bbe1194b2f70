#!/usr/bin/env bash
# Signatures, judged by the reference libraries of Standard Webhooks: one secret, two during a rotation, retries, a
# batch, and none.
#
#     .ci/outside/standard-webhooks.sh target/debug/offhook-mio PYTHON NODE_MODULES
#
# PYTHON is a Python that has standardwebhooks (PyPI), NODE_MODULES the folder that npm installed it into.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
binary=${1:?which binary?}
python=${2:?which Python?}
modules=${3:?which node_modules?}
# shellcheck source=.ci/outside/started.bash
source "$here/started.bash"
# shellcheck source=.ci/outside/hooked.bash
source "$here/hooked.bash"

secret() { printf 'whsec_%s' "$(head -c 32 /dev/urandom | base64 -w 0)"; }

# webhook NAME BEHAVIOUR SECRETS
webhook() {
    printf '[[webhook]]\nname = "%s"\nurl = "%s/%s/%s"\n%s\n' "$1" "$receiver" "$2" "$1" "$3"
    patience 15s 1h
}

# judged NAME COUNT SECRETS...: both libraries are content with all requests of a webhook.
judged() {
    local path=$1 count=$2
    shift 2
    "$python" "$here/verify.py" "$record" "$path" "$count" "$@"
    node "$here/verify.mjs" "$modules" "$record" "$path" "$count" "$@"
}

one=$(secret) new=$(secret) old=$(secret) wrong=$(secret)
receiver
{
    webhook one ok "secret = \"$one\""
    webhook two ok "secret = [\"$new\", \"$old\"]"
    webhook retried 503 "secret = \"$one\""
    webhook unsigned ok ''
} >"$folder/hooks.toml"
start "$binary" --listen 127.0.0.1:0 --data none --config "$folder/hooks.toml"

for ((n = 0; n < 20; n++)); do
    publish "$(jq -cn --argjson n "$n" '{type: "call.info", subject: "call/\($n)", data: {n: $n, content: "J\u00fcrgen \"\u65e5\u672c\" \($n)"}}')"
done
for name in one two unsigned; do until_true at_least 20 "/ok/$name"; done
until_true at_least 2 /503/retried

judged /ok/one 20 "$one" "$wrong" "$new"
judged /ok/two 20 "$new" "$wrong" "$one"
judged /ok/two 20 "$old"
# Each attempt is signed anew.
judged /503/retried 2 "$one" "$wrong"
jq -se 'map(select(.path == "/ok/unsigned") | .headers | map(.[0])) | length == 20 and all(.[]; index("webhook-signature") == null)' \
    "$record" >/dev/null || fail "a webhook without a secret is signed"
stop "$process"
echo "${binary##*/}: standard-webhooks.sh is content"
