# Sourced: starts a program that says where it listens, and ends it again, by its own process id and no other.

folder=$(mktemp -d)
logs=0

# Whatever this shell started and has not waited for yet.
end_started() {
    local status=$? process
    for process in $(jobs -p); do
        kill "$process" 2>/dev/null || true
        wait "$process" 2>/dev/null || true
    done
    rm -rf "$folder"
    return "$status"
}
trap end_started EXIT

# until_true COMMAND...: waits for a condition, at most half a minute.
until_true() {
    local deadline=$((SECONDS + 30))
    until "$@"; do
        if ((SECONDS >= deadline)); then
            echo "waited in vain for: $*" >&2
            return 1
        fi
        sleep 0.05
    done
}

# start PROGRAM ARGUMENTS...: sets `process`, `url` and, of a listener with TLS that comes before that one, `secure_url`.
start() {
    local log="$folder/$((logs += 1)).log"
    : >"$log"
    "$@" >>"$log" 2>&1 </dev/null &
    process=$!
    if ! until_true grep -q 'listening on http://' "$log"; then
        cat "$log" >&2
        return 1
    fi
    url=$(sed -n 's|.*listening on \(http://[^ ]*\).*|\1|p' "$log" | head -n 1)
    secure_url=$(sed -n 's|.*listening on \(https://[^ ]*\).*|\1|p' "$log" | head -n 1)
}

# stop PROCESS: asks it to stop; it must drain and exit with 0.
stop() {
    local status=0
    kill -TERM "$1"
    wait "$1" || status=$?
    if ((status != 0)); then
        echo "exit code $status after SIGTERM" >&2
        return 1
    fi
}
