# Sourced after sip.bash: an Asterisk that is a source, and the server's config for it.

# pbx ROOT: lays out one, not started; sets `scratch` (its folder in the root) and `outside` (the same from here), `port` (of SIP),
# `manager` (of AMI), and `listener`, which is for the server.
pbx() {
    local root=$1 modules file
    scratch "$root"
    modules=$(cd "$root" && find usr/lib -type d -path '*/asterisk/modules')
    port=$(port) manager=$(port) listener=$(port)
    mkdir "$outside"/{etc,run,spool,log,lib}
    for file in "$here"/source/asterisk/*.conf; do
        sed "s|@PORT@|$port|; s|@MANAGER@|$manager|; s|@FOLDER@|$scratch|; s|@MODULES@|/$modules|" "$file" >"$outside/etc/${file##*/}"
    done
}

# configured PORT SCOPE: begins the server's config: the PBX at this port, what its calls belong to, XMS and iSymphony.
configured() {
    printf 'example-password\n' >"$folder/password"
    printf 'example-secret\n' >"$folder/secret"
    cat >"$folder/offhook.toml" <<TOML
[[source]]
name = "pbx"
type = "asterisk"
address = "127.0.0.1:$1"
user = "offhook"
password_file = "secret"
scope = [{ context = "from-trunk", $2 }]

[xms]
apps = ["app"]

[isymphony]
users = [{ name = "manager", password_file = "password" }]

TOML
}
