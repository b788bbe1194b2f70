#!/usr/bin/env bash
# Certificates for tls.sh, listener-tls.sh and websocket.sh, made with openssl in the folder given: a CA with good, renewed,
# expired, misnamed and client certificates, another CA with a client of its own, and receivers that signed themselves.
set -euo pipefail

cd "${1:?which folder?}"
ec=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
here_names='subjectAltName=IP:127.0.0.1,DNS:localhost'

quiet() {
    "$@" 2>openssl.log || { cat openssl.log >&2; return 1; }
}

# authority NAME
authority() {
    quiet openssl req -x509 "${ec[@]}" -days 30 -subj "/CN=offhook $1" -keyout "$1.key" -out "$1.pem" \
        -addext 'keyUsage=critical,keyCertSign,cRLSign'
}

# issued NAME SUBJECT_ALT_NAME START END USAGE [CA]: signed by `ca`, or another.
issued() {
    quiet openssl req "${ec[@]}" -subj "/CN=$1" -keyout "$1.key" -out "$1.csr"
    printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=%s\n%s\n' "$5" "$2" >"$1.ext"
    quiet openssl ca -batch -config ca.conf -extfile "$1.ext" -startdate "$3" -enddate "$4" -in "$1.csr" -out "$1.pem" \
        -cert "${6:-ca}.pem" -keyfile "${6:-ca}.key"
}

authority ca
authority other
: >index.txt
printf '[ca]\ndefault_ca = own\n[own]\ndatabase = index.txt\nnew_certs_dir = .\nserial = serial\nrand_serial = yes
default_md = sha256\npolicy = any\nunique_subject = no
[any]\ncommonName = supplied\n' >ca.conf

yesterday=$(date -u -d '-1 day' +%Y%m%d%H%M%SZ)
next_month=$(date -u -d '+30 days' +%Y%m%d%H%M%SZ)
issued good "$here_names" "$yesterday" "$next_month" serverAuth
issued renewed "$here_names" "$yesterday" "$next_month" serverAuth
issued expired "$here_names" 20200101000000Z 20210101000000Z serverAuth
issued misnamed 'subjectAltName=DNS:elsewhere.example' "$yesterday" "$next_month" serverAuth
issued client 'subjectAltName=DNS:offhook.example' "$yesterday" "$next_month" clientAuth
issued stranger 'subjectAltName=DNS:offhook.example' "$yesterday" "$next_month" clientAuth other

# `openssl req -x509` makes an own CA of whoever signs itself, unless told otherwise: receivers have either.
quiet openssl req -x509 "${ec[@]}" -days 30 -subj /CN=self -keyout self.key -out self.pem -addext "$here_names" \
    -addext 'basicConstraints=critical,CA:FALSE'
quiet openssl req -x509 "${ec[@]}" -days 30 -subj /CN=self-ca -keyout self-ca.key -out self-ca.pem -addext "$here_names"
for name in good self; do
    openssl x509 -in "$name.pem" -outform DER | sha256sum | cut -d ' ' -f 1 >"$name.sha256"
done
