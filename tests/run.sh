#!/usr/bin/env bash
# Installs what is missing, then runs every layer of tests.
#
#   tests/run.sh                  all of them
#   tests/run.sh --layer unit     one of them (may be repeated)
#   tests/run.sh --list           their names
#
# A layer that cannot run here is reported as skipped, with the reason. The last line is
# "N passed, N failed, N skipped"; the exit code is 0 if nothing failed.
set -uo pipefail

cd "$(dirname "$0")/.." || exit 1
# shellcheck source=scripts/setup.sh
. scripts/setup.sh

layers=(scripts fmt clippy unit wire simulation etcd processes)
describe() {
    case $1 in
    scripts) echo "shellcheck of the scripts" ;;
    fmt) echo "formatting" ;;
    clippy) echo "lints, warnings as errors" ;;
    unit) echo "decisions, codecs, configuration: examples and properties" ;;
    wire) echo "the compiled interface against the facts of Milvus 2.3.5" ;;
    simulation) echo "faults under a simulated network, clock and etcd" ;;
    etcd) echo "the same code against real etcd servers" ;;
    processes) echo "real processes on a real etcd, killed, frozen and cut off" ;;
    esac
}

usage() { sed -n '2,9s/^# \{0,1\}//p' "$0"; }
wanted=()
while [ $# -gt 0 ]; do
    case $1 in
    --layer)
        case " ${layers[*]} " in
        *" ${2:-} "*) wanted+=("$2") ;;
        *)
            echo "no such layer: ${2:-}; there are: ${layers[*]}" >&2
            exit 2
            ;;
        esac
        shift
        ;;
    --list)
        for layer in "${layers[@]}"; do printf '%-11s %s\n' "$layer" "$(describe "$layer")"; done
        exit 0
        ;;
    --help | -h)
        usage
        exit 0
        ;;
    *)
        usage >&2
        exit 2
        ;;
    esac
    shift
done
[ ${#wanted[@]} -gt 0 ] || wanted=("${layers[@]}")
wants() { case " ${wanted[*]} " in *" $1 "*) ;; *) false ;; esac }

# ---- counting ------------------------------------------------------------------------------

passed=0 failed=0 skipped=0
rows=()
# note NAME PASSED FAILED SKIPPED SECONDS [REMARK]
note() {
    passed=$((passed + $2)) failed=$((failed + $3)) skipped=$((skipped + $4))
    rows+=("$(printf '%-11s %6d %7d %8d %6d s  %s' "$1" "$2" "$3" "$4" "$5" "${6:-}")")
}
skip() { # NAME REASON [COUNT]
    printf '    SKIPPED: %s\n' "$2"
    note "$1" 0 0 "${3:-1}" 0 "skipped: $2"
}
title() { printf '\n==== %s: %s\n' "$1" "$(describe "$1")"; }

# Sums what the test programs report of themselves: "passed failed ignored".
count_results() {
    sed -nE 's/^test result: (ok|FAILED)\. ([0-9]+) passed; ([0-9]+) failed; ([0-9]+) ignored; .*/\2 \3 \4/p' "$1" |
        awk '{p += $1; f += $2; i += $3} END {print p + 0, f + 0, i + 0}'
}

# ---- running, with an end --------------------------------------------------------------------

# A hanging test must not hang what waits for this script.
limit=1500
scratch=$(mktemp -d) || exit 1
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
    [ -n "$session" ] || return 0
    local pid
    for pid in $(members "$session"); do kill -9 "$pid" 2>/dev/null; done
    session=
}

finish() {
    trap - EXIT INT TERM HUP
    end_session
    rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# supervise COMMAND...: runs it in a session of its own, shows its output and keeps it in
# $scratch/log. What it leaves running is ended and named in $scratch/left.
supervise() {
    local code pid printer
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

# ---- the layers --------------------------------------------------------------------------------

# check NAME COMMAND...: passes or fails as a whole.
check() {
    local name=$1 since=$SECONDS
    shift
    if supervise "$@"; then
        note "$name" 1 0 0 $((SECONDS - since))
    else
        note "$name" 0 1 0 $((SECONDS - since)) FAILED
    fi
}

# Always the whole workspace: a part of it alone would be compiled again, with other features.
cargo_test=(cargo test --workspace --locked --no-fail-fast)

# One layer is a begin_layer, any number of run_tests, and an end_layer.
begin_layer() {
    layer_since=$SECONDS layer_passed=0 layer_failed=0 layer_skipped=0 layer_remark=''
}

# run_tests ARGUMENTS...: of `cargo test`; the tests report themselves.
run_tests() {
    local code=0 ok bad ignored absent
    : >"$scratch/skips"
    MILVUS_COORD_SKIPS=$scratch/skips supervise "${cargo_test[@]}" "$@" || code=$?
    read -r ok bad ignored <<<"$(count_results "$scratch/log")"
    # What can't run here has returned without a failure, and said why.
    absent=$(wc -l <"$scratch/skips")
    sed 's/^/    SKIPPED: /' "$scratch/skips"
    if [ "$code" -ne 0 ] && [ "$bad" -eq 0 ]; then
        # It did not compile, or a test program ended before its report.
        bad=1
        layer_remark="cargo test ended with code $code"
    fi
    if [ -s "$scratch/left" ]; then
        printf '    left running, and ended now:\n'
        sed 's/^/      /' "$scratch/left"
        bad=$((bad + 1))
        layer_remark="processes were left running"
    fi
    layer_passed=$((layer_passed + ok - absent))
    layer_failed=$((layer_failed + bad))
    layer_skipped=$((layer_skipped + ignored + absent))
}

end_layer() {
    [ "$layer_failed" -eq 0 ] || layer_remark="FAILED${layer_remark:+: $layer_remark}"
    note "$1" "$layer_passed" "$layer_failed" "$layer_skipped" $((SECONDS - layer_since)) "$layer_remark"
}

# The names of test programs in a folder, as arguments for cargo.
targets() {
    local file name
    for file in "$1"/*.rs "$1"/*/main.rs; do
        [ -e "$file" ] || continue
        name=${file#"$1"/}
        name=${name%/main.rs}
        printf -- '--test\n%s\n' "${name%.rs}"
    done
}

run_scripts() {
    if ! command -v shellcheck >/dev/null && ! setup_packages shellcheck; then
        skip "$1" "there is no shellcheck"
        return
    fi
    mapfile -t files < <(find .ci/run ./*/ -path ./target -prune -o -name '*.sh' -print -o -path .ci/run -print)
    check "$1" shellcheck -x "${files[@]}"
}

run_fmt() {
    if cargo fmt --version >/dev/null 2>&1; then
        check "$1" cargo fmt --all --check
    else
        skip "$1" "this Rust has no rustfmt"
    fi
}

run_clippy() {
    if cargo clippy --version >/dev/null 2>&1; then
        check "$1" cargo clippy --workspace --locked --all-targets -- -D warnings
    else
        skip "$1" "this Rust has no clippy"
    fi
}

run_unit() {
    begin_layer
    run_tests --lib --bins
    # Cargo does not take these together with others.
    run_tests --doc
    end_layer "$1"
}

run_targets() { # NAME TARGETS...
    local name=$1
    shift
    if [ $# -eq 0 ]; then
        printf '    there are none yet\n'
        return
    fi
    begin_layer
    run_tests "$@"
    end_layer "$name"
}

run_wire() {
    mapfile -t names < <(targets proto/tests)
    run_targets "$1" "${names[@]}"
}

run_simulation() {
    mapfile -t names < <(targets sim/tests)
    run_targets "$1" "${names[@]}"
}

# Tests against etcd itself are the ones whose name says so; all others start processes.
run_etcd() {
    mapfile -t names < <(targets tests | paste - - | awk '$2 ~ /^etcd/ {print $1; print $2}')
    run_targets "$1" "${names[@]}"
}

run_processes() {
    mapfile -t names < <(targets tests | paste - - | awk '$2 !~ /^etcd/ {print $1; print $2}')
    run_targets "$1" "${names[@]}"
}

# ---- set-up --------------------------------------------------------------------------------------

printf '==== set-up\n'
printf '    network: system packages for what is missing, Rust crates at the first build\n'
ready=yes etcd=yes
setup_check 2000 6000 && setup_build || ready=
if [ -z "$ready" ]; then
    note set-up 0 1 0 "$SECONDS" "FAILED: nothing can be built here"
    wanted=()
fi
if wants etcd || wants processes; then
    setup_etcd || etcd=
fi
if wants processes; then
    setup_faults || setup_say "without some tools for faults; tests that need them skip themselves"
fi

# Everything is compiled once, before the first test is timed.
if wants unit || wants wire || wants simulation || wants etcd || wants processes; then
    printf '\n==== build: all test programs (some minutes the first time)\n'
    since=$SECONDS
    if supervise cargo test --workspace --locked --no-run; then
        printf '    built in %s s\n' $((SECONDS - since))
    else
        note build 0 1 0 $((SECONDS - since)) "FAILED: the tests do not compile"
        # Formatting and lints still have something to say.
        remaining=()
        for layer in "${wanted[@]}"; do
            case $layer in scripts | fmt | clippy) remaining+=("$layer") ;; esac
        done
        wanted=("${remaining[@]}")
    fi
fi

for layer in "${wanted[@]}"; do
    title "$layer"
    case $layer in
    etcd | processes)
        if [ -z "$etcd" ]; then
            skip "$layer" "there is no etcd $SETUP_ETCD_LEAST or later"
            continue
        fi
        ;;
    esac
    "run_$layer" "$layer"
done

printf '\n%-11s %6s %7s %8s %8s\n' layer passed failed skipped time
printf '%s\n' "${rows[@]}"
printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ]
