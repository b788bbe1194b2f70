#!/usr/bin/env bash
# TLS of listeners against `openssl s_client` and Python's ssl: chains, names, versions, SNI, client certificates,
# resumption, the PROXY protocol, and certificates that change while streams are open.
#
#     .ci/outside/listener-tls.sh target/debug/offhook-mio [shards]
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
binary=${1:?which binary?}
shards=${2:-1}
# shellcheck source=.ci/outside/started.bash
source "$here/started.bash"

tls="$folder/tls"
mkdir "$tls"
bash "$here/certificates.sh" "$tls"
# The file that is exchanged while the server runs.
cp "$tls/good.pem" "$tls/served.pem"
cp "$tls/good.key" "$tls/served.key"

# Listeners by name, in the order in which they say where they are.
names=(main required optional only13 expired announced plain)
listener() {
    printf '[[listener]]\naddress = "127.0.0.1:0"\n%s\n' "$1"
}
good='cert = "tls/good.pem", key = "tls/good.key"'
{
    listener 'tls = { cert = "tls/served.pem", key = "tls/served.key", certificates = [{ cert = "tls/misnamed.pem", key = "tls/misnamed.key" }] }'
    listener "tls = { $good, client_ca = \"tls/ca.pem\" }"
    listener "tls = { $good, client_ca = \"tls/ca.pem\", client_auth = \"optional\" }"
    listener "tls = { $good, min_version = \"1.3\" }"
    listener 'tls = { cert = "tls/expired.pem", key = "tls/expired.key" }'
    listener "tls = { $good }
proxies = [\"127.0.0.1\"]
proxy_protocol = true"
    listener ''
} >"$folder/offhook.toml"

start "$binary" --data none --shards "$shards" --config "$folder/offhook.toml"
log="$folder/$logs.log"
mapfile -t found < <(sed -n 's|.*listening on https\{0,1\}://\([^ ]*\).*|\1|p' "$log")
declare -A at
for index in "${!names[@]}"; do at[${names[index]}]=${found[index]}; done

fail() {
    echo "listener-tls.sh: $*" >&2
    tail -n 40 "$folder/said" >&2
    exit 1
}

# client LISTENER ARGUMENTS...: s_client, which asks for /healthz and reads the answer to its end.
client() {
    local listener=$1
    shift
    printf 'GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' |
        timeout 20 openssl s_client -connect "${at[$listener]}" -ign_eof -verify_return_error "$@" >"$folder/said" 2>&1
}

# good LISTENER PATTERN ARGUMENTS...: it is answered, and s_client says so.
good() {
    local listener=$1 pattern=$2
    shift 2
    client "$listener" "$@" || fail "$listener, $*: no handshake"
    grep -q 'HTTP/1.1 200 OK' "$folder/said" || fail "$listener, $*: no answer"
    grep -q "$pattern" "$folder/said" || fail "$listener, $*: no $pattern"
}

# bad LISTENER PATTERN ARGUMENTS...: it is not, and s_client says why.
bad() {
    local listener=$1 pattern=$2
    shift 2
    if client "$listener" "$@" && grep -q 'HTTP/1.1 200 OK' "$folder/said"; then fail "$listener, $*: was answered"; fi
    grep -Eq "$pattern" "$folder/said" || fail "$listener, $*: no $pattern"
}

ca=(-CAfile "$tls/ca.pem")
ok='Verify return code: 0 (ok)'
good main "$ok" "${ca[@]}" -verify_hostname localhost
good main "$ok" "${ca[@]}" -verify_ip 127.0.0.1 -noservername
good main 'ALPN protocol: http/1.1' "${ca[@]}" -alpn h2,http/1.1
bad main 'no application protocol' "${ca[@]}" -alpn h2
bad main 'hostname mismatch' "${ca[@]}" -verify_hostname offhook.example
bad main 'unable to get local issuer|unable to verify' -CAfile "$tls/other.pem"
bad expired 'certificate has expired' "${ca[@]}"
# SNI: the second certificate has that name, the first is for all others.
good main "$ok" "${ca[@]}" -servername elsewhere.example -verify_hostname elsewhere.example
good main "$ok" "${ca[@]}" -servername nobody.example -verify_hostname localhost
# Versions.
good main 'New, TLSv1.2' "${ca[@]}" -tls1_2
good main 'New, TLSv1.3' "${ca[@]}" -tls1_3
good only13 'New, TLSv1.3' "${ca[@]}"
bad only13 'alert protocol version' "${ca[@]}" -tls1_2
for version in tls1 tls1_1; do
    bad main 'alert (protocol version|handshake failure)' "${ca[@]}" "-$version" -cipher 'ALL:@SECLEVEL=0'
done
for version in 1.0 1.1; do
    until_true grep -q "the peer offered TLS $version, and TLS 1.2 is the least here" "$log"
done
# Nobody may begin a second handshake on a connection.
good main 'Secure Renegotiation IS supported' "${ca[@]}" -tls1_2
# Sessions are taken up again.
for version in tls1_2 tls1_3; do
    good main 'New, ' "${ca[@]}" "-$version" -sess_out "$folder/session"
    good main 'Reused, ' "${ca[@]}" "-$version" -sess_in "$folder/session"
done
# Certificates of clients.
own=(-cert "$tls/client.pem" -key "$tls/client.key")
stranger=(-cert "$tls/stranger.pem" -key "$tls/stranger.key")
for version in tls1_2 tls1_3; do
    good required "$ok" "${ca[@]}" "-$version" "${own[@]}"
    bad required 'alert (certificate required|handshake failure|unknown ca|bad certificate)' "${ca[@]}" "-$version"
    bad required 'alert (unknown ca|bad certificate|certificate unknown)' "${ca[@]}" "-$version" "${stranger[@]}"
    good optional "$ok" "${ca[@]}" "-$version"
    good optional "$ok" "${ca[@]}" "-$version" "${own[@]}"
    bad optional 'alert (unknown ca|bad certificate|certificate unknown)' "${ca[@]}" "-$version" "${stranger[@]}"
done

timeout 120 python3 "$here/listener_tls.py" "$process" "$log" "$tls" "${at[main]}" "${at[required]}" "${at[announced]}" \
    "${at[plain]}"
stop "$process"
echo "${binary##*/}, $shards shard(s): listener-tls.sh is content"
