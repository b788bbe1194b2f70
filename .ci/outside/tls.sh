#!/usr/bin/env bash
# TLS of destinations against `openssl s_server`: every key of the `tls` table, what passes and what must not.
#
#     .ci/outside/tls.sh target/debug/offhook-mio
#
# s_server answers GET alone, so the destinations are ISR ones. What became of a delivery is read from the outbox; that
# one arrived, from s_server, which logs every handshake that came to its end.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
binary=${1:?which binary?}
# shellcheck source=.ci/outside/started.bash
source "$here/started.bash"
# shellcheck source=.ci/outside/hooked.bash
source "$here/hooked.bash"

mkdir "$folder/tls"
bash "$here/certificates.sh" "$folder/tls"
declare -A port passes=() fails=()

# tls_server NAME CERTIFICATE ARGUMENTS...: an s_server that answers every GET with a page.
tls_server() {
    local name=$1 certificate="$folder/tls/$2"
    shift 2
    openssl s_server -accept 127.0.0.1:0 -cert "$certificate.pem" -key "$certificate.key" -www -state "$@" \
        >"$folder/$name.server" 2>&1 </dev/null &
    until_true grep -q '^ACCEPT ' "$folder/$name.server"
    port[$name]=$(sed -n 's/^ACCEPT .*:\([0-9]*\)$/\1/p' "$folder/$name.server")
}

# destination NAME SERVER TABLE GIVE_UP_AFTER
destination() {
    printf '[[isr.destination]]\nname = "%s"\nevents = ["RECORDING_STARTED_EVENT"]\nglobal = true\n' "$1"
    printf 'url = "https://127.0.0.1:%s/%s"\n' "${port[$2]}" "$1"
    [[ -z $3 ]] || printf 'tls = { %s }\n' "$3"
    patience 15s "$4"
}

# passing NAME SERVER TABLE; failing NAME SERVER TABLE REASON: the reason is an extended regular expression.
passing() {
    destination "$1" "$2" "$3" 1h >>"$folder/tls/hooks.toml"
    passes[$1]=$2
}
failing() {
    destination "$1" "$2" "$3" 1s >>"$folder/tls/hooks.toml"
    fails[$1]=$4
}

tls_server good good
tls_server expired expired
tls_server misnamed misnamed
tls_server self self
tls_server self-ca self-ca
tls_server tls12 good -tls1_2
tls_server tls13 good -tls1_3
tls_server asks good -CAfile "$folder/tls/ca.pem" -Verify 1 -verify_return_error

certificate='certificate|issuer|self-signed|self signed'
failing default good '' "$certificate"
passing ca good 'ca = "ca.pem"'
passing only-ca good 'ca = "ca.pem", only_ca = true'
failing other-ca good 'ca = "other.pem"' "$certificate"
failing self-default self '' "$certificate"
passing self-its-own-ca self 'ca = "self.pem"'
passing self-ca-its-own-ca self-ca 'ca = "self-ca.pem"'
passing self-insecure self 'insecure = true'
passing self-pin self "pin_sha256 = \"$(cat "$folder/tls/self.sha256")\""
failing wrong-pin self "pin_sha256 = \"$(cat "$folder/tls/good.sha256")\"" 'pin'
failing expired expired 'ca = "ca.pem"' '[Ee]xpired'
passing expired-insecure expired 'insecure = true'
failing misnamed misnamed 'ca = "ca.pem"' 'name'
failing no-client-cert asks 'ca = "ca.pem"' '[Cc]ertificate|alert|closed|handshake'
passing client-cert asks 'ca = "ca.pem", client_cert = "client.pem", client_key = "client.key"'
passing tls12 tls12 'ca = "ca.pem"'
passing min12 tls12 'ca = "ca.pem", min_version = "1.2"'
failing min13 tls12 'ca = "ca.pem", min_version = "1.3"' '1\.[23]|version|Version'
passing tls13 tls13 'ca = "ca.pem", min_version = "1.3"'

# finished SERVER: handshakes that came to their end.
finished() {
    grep -c 'SSL_accept:SSLv3/TLS read finished' "$folder/$1.server" || true
}

# judged: everything that must pass has been delivered, everything else is a dead letter that says why.
judged() {
    local name server
    publish '{"type":"recording.started","subject":"recording/1","data":{"ucid":"1"}}'
    for name in "${!passes[@]}"; do
        server=${passes[$name]}
        until_true delivered "$name" || fail "$name waits: $(curl -sS "$url/v1/deliveries?destination=$name")"
        (($(dead "$name" | wc -l) == 0)) || fail "$name: $(reason "$name")"
        (($(finished "$server") >= 1)) || fail "$name: no handshake of $server came to its end"
    done
    for name in "${!fails[@]}"; do
        until_true dead_count 1 "$name" || fail "$name was not given up"
        [[ $(reason "$name") =~ ${fails[$name]} ]] || fail "$name was given up because: $(reason "$name")"
    done
}

# What the system's roots are is the system's affair: ours are a CA that signed none of these.
export SSL_CERT_FILE="$folder/tls/other.pem"
start "$binary" --listen 127.0.0.1:0 --data none --config "$folder/tls/hooks.toml"
judged
stop "$process"

# With the CA among the system's roots: it does without a table, and only_ca keeps the roots out.
passes=() fails=()
rm "$folder/tls/hooks.toml"
tls_server roots good
passing roots roots ''
passing roots-and-ca roots 'ca = "other.pem"'
failing roots-but-only-ca roots 'ca = "other.pem", only_ca = true' "$certificate"
failing roots-but-self self '' "$certificate"
export SSL_CERT_FILE="$folder/tls/ca.pem"
start "$binary" --listen 127.0.0.1:0 --data none --config "$folder/tls/hooks.toml"
judged
stop "$process"

# What is wrong with a table is said at the start.
for table in 'ca = "missing.pem"' 'ca = "ca.key"' 'client_cert = "client.pem"' 'pin_sha256 = "12"' 'min_version = "1.1"'; do
    destination wrong good "$table" 1s >"$folder/tls/wrong.toml"
    status=0
    timeout 20 "$binary" --listen 127.0.0.1:0 --data none --config "$folder/tls/wrong.toml" 2>"$folder/said" || status=$?
    if ((status != 2)) || ! grep -q 'wrong.toml:[0-9]*: ' "$folder/said"; then
        fail "$table: exit code $status: $(cat "$folder/said")"
    fi
done
echo "${binary##*/}: tls.sh is content"
