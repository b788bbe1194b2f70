# Sourced after started.bash and hooked.bash: the SIP peers, out of the roots that unpacked.sh made, and the server for them.

sip="$here/sip"

# scratch ROOT: a new folder in a root; sets `scratch` (its name in there) and `outside` (its name here).
scratch() {
    outside=$(mktemp -d "$1/tmp/XXXXXX")
    scratch="/tmp/${outside##*/}"
}

# port: one that nobody has.
port() {
    python3 "$sip/ports.py"
}

# kamailio ROOT PORT [DEFINITION...]: starts one, with empty tables; sets `kamailio_process`; its folder in the root is
# `scratch`.
kamailio() {
    local root=$1 port=$2 definition modules
    shift 2
    scratch "$root"
    mkdir "$outside/tables" "$outside/run"
    cp "$root"/usr/share/kamailio/dbtext/kamailio/* "$outside/tables/"
    cat "$sip/kamailio-lists" >>"$outside/tables/xcap"
    cp "$sip/kamailio.cfg" "$outside/"
    modules=$(cd "$root" && find usr/lib -type d -path '*/kamailio/modules')
    local defined=(-A "CONTROL=\"unix:$scratch/control\"" -A "TABLES=\"text://$scratch/tables\"")
    defined+=(-A "OWN=\"sip:127.0.0.1:$port;transport=tcp\"")
    for definition; do defined+=(-A "$definition"); done
    LD_LIBRARY_PATH="/${modules%/modules}" chroot "$root" /usr/sbin/kamailio -DD -E -f "$scratch/kamailio.cfg" \
        -L "/$modules/" -Y "$scratch/run" -w "$scratch" -P "$scratch/run/pid" -m 32 -M 4 \
        -l "udp:127.0.0.1:$port" -l "tcp:127.0.0.1:$port" "${defined[@]}" >"$outside/log" 2>&1 &
    kamailio_process=$!
    if ! until_true answers_options "$port"; then
        cat "$outside/log" >&2
        return 1
    fi
}

# answers_options PORT: somebody there speaks SIP over UDP.
answers_options() {
    python3 "$sip/agent.py" options "$1"
}

# killed PROCESS: ends it without a chance to say goodbye.
killed() {
    {
        kill -9 "$1"
        wait "$1" || true
    } 2>/dev/null
}

# fail_with_logs: ends the script; shows what the server and the peers said last.
fail_with_logs() {
    tail -n 40 "$folder/$logs.log" "${outside:-}"/{log,said} 2>/dev/null >&2 || true
    fail "see above"
}

# asterisk ROOT PORT PHONE: starts one, whose phone 100 is at the port PHONE; sets `asterisk_process`; its folder
# in the root is `scratch`.
asterisk() {
    local root=$1 port=$2 phone=$3 file modules
    scratch "$root"
    modules=$(cd "$root" && find usr/lib -type d -path '*/asterisk/modules')
    mkdir "$outside"/{etc,run,spool,log,lib}
    for file in "$sip"/asterisk/*.conf; do
        sed "s|@PORT@|$port|; s|@PHONE@|$phone|; s|@FOLDER@|$scratch|; s|@MODULES@|/$modules|" "$file" >"$outside/etc/${file##*/}"
    done
    chroot "$root" /usr/sbin/asterisk -f -n -C "$scratch/etc/asterisk.conf" >"$outside/said" 2>&1 &
    asterisk_process=$!
    if ! until_true answers_options "$port"; then
        cat "$outside/said" >&2
        return 1
    fi
}
