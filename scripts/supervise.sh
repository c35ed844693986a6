# shellcheck shell=bash
# Runs a command that must end, leave no process behind, and show what it prints. To be
# sourced by bash after $scratch names a folder; the caller calls end_session on its way out.

: "${scratch:?names the folder for what is kept}"

# The session of the command that runs now; empty between two.
session=

# The living processes of a session. Read from the kernel: a bare system has no pgrep.
members() {
    local stat line sid state
    for stat in /proc/[0-9]*/stat; do
        { read -r line <"$stat"; } 2>/dev/null || continue
        # A program's name may hold blanks and brackets; what follows the last bracket does not.
        read -r state _ _ sid _ <<<"${line##*) }"
        if [ "$sid" = "$1" ] && [ "$state" != Z ]; then
            stat=${stat#/proc/}
            printf '%s\n' "${stat%/stat}"
        fi
    done
}

end_session() {
    local pid
    [ -n "$session" ] || return 0
    for pid in $(members "$session"); do kill -9 "$pid" 2>/dev/null; done
    # Collected here, or bash would announce its death.
    wait "$session" 2>/dev/null
    session=
}

# supervise SECONDS COMMAND...: runs it in a session of its own without a terminal, shows
# its output and keeps it in $scratch/log. What it leaves running is ended, and named in
# $scratch/left. Returns its code; 124 when the seconds were over.
supervise() {
    local limit=$1 code pid printer
    shift
    rm -f "$scratch/out" "$scratch/left"
    mkfifo "$scratch/out"
    tee "$scratch/log" <"$scratch/out" &
    printer=$!
    setsid timeout -k 10 "$limit" "$@" >"$scratch/out" 2>&1 </dev/null &
    session=$!
    wait "$session"
    code=$?
    for pid in $(members "$session"); do
        printf '%s %s\n' "$pid" "$(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null)" >>"$scratch/left"
    done
    end_session
    wait "$printer"
    [ $code -ne 124 ] || printf '    stopped after %s s\n' "$limit"
    return $code
}
