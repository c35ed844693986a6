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
root=$PWD
# shellcheck source=scripts/setup.sh
. scripts/setup.sh

layers=(scripts fmt clippy deploy unit wire simulation etcd processes cluster)
describe() {
    case $1 in
    scripts) echo "shellcheck of the scripts" ;;
    fmt) echo "formatting" ;;
    clippy) echo "lints, warnings as errors" ;;
    deploy) echo "the files of compose, Swarm, Helm, systemd and keepalived" ;;
    unit) echo "decisions, codecs, configuration: examples and properties" ;;
    wire) echo "the compiled interface against the facts of Milvus 2.3.5" ;;
    simulation) echo "faults under a simulated network, clock and etcd" ;;
    etcd) echo "the same code against real etcd servers" ;;
    processes) echo "real processes on a real etcd: killed, frozen, cut off" ;;
    cluster) echo "beside the real Milvus 2.3.5" ;;
    esac
}

# layer_of FILE: where a test program belongs, by its source in the workspace.
layer_of() {
    case $1 in
    proto/*) echo wire ;;
    tests/etcd* | sim/tests/conformance*) echo etcd ;;
    sim/*) echo simulation ;;
    src/* | bench/*) echo unit ;;
    tests/deploy/*) echo deploy ;;
    */real_*) echo cluster ;;
    *) echo processes ;;
    esac
}

usage() { sed -n '2,9s/^# \{0,1\}//p' "$0"; }
wanted=()
while [ $# -gt 0 ]; do
    case $1 in
    --layer)
        case " ${layers[*]} " in
        *" ${2:-?} "*) wanted+=("$2") ;;
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
wants() {
    local layer
    for layer in "$@"; do
        case " ${wanted[*]} " in *" $layer "*) return 0 ;; esac
    done
    return 1
}

scratch=$(mktemp -d) || exit 1
# shellcheck source=scripts/supervise.sh
. scripts/supervise.sh
finish() {
    trap - EXIT INT TERM HUP
    end_session
    rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

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
    note "$1" 0 0 "${3:-1}" 0 "SKIPPED: $2"
}

# Sums what test programs report of themselves: "passed failed ignored".
count_results() {
    sed -nE 's/^test result: (ok|FAILED)\. ([0-9]+) passed; ([0-9]+) failed; ([0-9]+) ignored; .*/\2 \3 \4/p' "$1" |
        awk '{p += $1; f += $2; i += $3} END {print p + 0, f + 0, i + 0}'
}

# ---- one layer -----------------------------------------------------------------------------

# A hanging test must not hang what waits for this script.
limit=1500
build_limit=3600

# check NAME COMMAND...: passes or fails as a whole.
check() {
    local name=$1 since=$SECONDS
    shift
    if supervise "$limit" "$@"; then
        note "$name" 1 0 0 $((SECONDS - since))
    else
        note "$name" 0 1 0 $((SECONDS - since)) FAILED
    fi
}

# The tests that were still running when their program was stopped.
unfinished() {
    awk '/^test .* has been running for over / {sub(/ has been .*/, ""); slow[$0] = 1}
        /^test .* \.\.\. / {sub(/ \.\.\. .*/, ""); delete slow[$0]}
        END {for (name in slow) {sub(/^test /, "", name); print name " (did not end)"}}' "$scratch/log"
}

# run_tests COMMAND...: a program whose tests report themselves. Adds to layer_*.
run_tests() {
    local code=0 ok bad ignored absent
    : >"$scratch/skips"
    MILVUS_COORD_SKIPPED=$scratch/skips supervise "$limit" "$@" || code=$?
    read -r ok bad ignored <<<"$(count_results "$scratch/log")"
    # What can't run here has returned without a failure, and said why.
    absent=$(wc -l <"$scratch/skips")
    sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$scratch/log" >>"$scratch/failures"
    [ "$code" -ne 124 ] || unfinished >>"$scratch/failures"
    sed 's/^/    /' "$scratch/skips"
    if [ "$code" -ne 0 ] && [ "$bad" -eq 0 ]; then
        bad=1
        layer_remark="ended with code $code before its report"
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

# The test programs of a layer: package folder, source, program, parted by tabs.
programs() { sed -n "s/^$1\t//p" "$scratch/programs"; }

# test_layer NAME: runs the programs of that layer. Not by `cargo test` with a choice of
# targets, which resolves features for that choice and compiles again.
test_layer() {
    local name=$1 since=$SECONDS folder source program
    layer_passed=0 layer_failed=0 layer_skipped=0 layer_remark=''
    while IFS=$'\t' read -r folder source program <&3; do
        printf '\n    %s\n' "$source"
        run_tests env -C "$folder" CARGO_MANIFEST_DIR="$folder" "$program"
    done 3< <(programs "$name")
    [ "$name" != unit ] || run_tests cargo test --workspace --locked --doc
    [ "$layer_failed" -eq 0 ] || layer_remark="FAILED${layer_remark:+: $layer_remark}"
    note "$name" "$layer_passed" "$layer_failed" "$layer_skipped" $((SECONDS - since)) "$layer_remark"
}

# How many tests a layer has that can't be run.
count_tests() {
    local folder program
    while IFS=$'\t' read -r folder _ program <&3; do
        env -C "$folder" "$program" --list --format terse 2>/dev/null
    done 3< <(programs "$1") | grep -c ': test$'
}

run_layer() {
    case $1 in
    scripts)
        if command -v shellcheck >/dev/null || setup_packages shellcheck; then
            mapfile -t files < <(find . -path ./target -prune -o -path ./.git -prune -o \
                \( -name '*.sh' -o -path ./.ci/run \) -print)
            check scripts shellcheck -x "${files[@]}"
        else
            skip scripts "there is no shellcheck"
        fi
        ;;
    fmt)
        if cargo fmt --version >/dev/null 2>&1; then
            check fmt cargo fmt --all --check
        else
            skip fmt "this Rust has no rustfmt"
        fi
        ;;
    clippy)
        if cargo clippy --version >/dev/null 2>&1; then
            limit=$build_limit check clippy cargo clippy --workspace --locked --all-targets -- -D warnings
        else
            skip clippy "this Rust has no clippy"
        fi
        ;;
    etcd | processes | cluster)
        if [ -n "$etcd" ]; then
            test_layer "$1"
        else
            skip "$1" "there is no etcd $SETUP_ETCD_LEAST or later" "$(count_tests "$1")"
        fi
        ;;
    deploy)
        if [ -z "$etcd" ]; then
            skip deploy "there is no etcd $SETUP_ETCD_LEAST or later: keepalived and systemd are not tried"
            sed -i '/^deploy\t.*\.rs\t/d' "$scratch/programs"
        fi
        test_layer deploy
        ;;
    *) test_layer "$1" ;;
    esac
}

# Nobody builds there a second time.
[ -z "${CI:-}" ] || export CARGO_INCREMENTAL=0

# ---- set-up --------------------------------------------------------------------------------

printf '==== set-up\n'
printf '    network: system packages for what is missing, Rust crates at the first build\n'
etcd=yes
if ! setup_check 2000 6000 || ! setup_build; then
    note set-up 0 1 0 "$SECONDS" "FAILED: nothing can be built here"
    wanted=()
fi
if wants deploy etcd processes cluster; then
    setup_etcd || etcd=
fi
if wants deploy processes; then
    setup_faults || setup_say "without some tools for faults: tests that need them are skipped"
fi
if wants deploy; then
    setup_packages keepalived || setup_say "without keepalived: tests that need it are skipped"
fi
if wants cluster; then
    setup_oracle || setup_say "without the real Milvus: tests that need it are skipped"
    setup_pymilvus || setup_say "without pymilvus: tests that need it are skipped"
fi

# Not compiled.
printf 'deploy\t%s\ttests/deploy\t%s\n' "$root" "$root/tests/deploy/run.sh" >"$scratch/programs"

# Everything is compiled once, before the first test is timed.
if wants deploy unit wire simulation etcd processes cluster; then
    printf '\n==== build: all test programs (some minutes the first time)\n'
    since=$SECONDS
    # Progress goes to the terminal, what was built to the file, one JSON object per line.
    # shellcheck disable=SC2016
    if supervise "$build_limit" bash -c 'exec cargo test --workspace --locked --no-run \
        --message-format=json-render-diagnostics >"$0"' "$scratch/built"; then
        sed -nE 's/.*"manifest_path":"([^"]*)\/Cargo\.toml".*"src_path":"([^"]*)".*"test":true\},"features".*"executable":"([^"]+)".*/\1\t\2\t\3/p' \
            "$scratch/built" | while IFS=$'\t' read -r folder source program; do
            source=${source#"$root"/}
            printf '%s\t%s\t%s\t%s\n' "$(layer_of "$source")" "$folder" "$source" "$program"
        done >"$scratch/compiled"
        printf '    %s test programs in %s s\n' "$(wc -l <"$scratch/compiled")" $((SECONDS - since))
        cat "$scratch/compiled" >>"$scratch/programs"
    else
        note build 0 1 0 $((SECONDS - since)) "FAILED: the tests do not compile"
        # Formatting and lints still have something to say.
        remaining=()
        for layer in "${wanted[@]}"; do
            case $layer in scripts | fmt | clippy | deploy) remaining+=("$layer") ;; esac
        done
        wanted=("${remaining[@]}")
    fi
fi

# ---- run -----------------------------------------------------------------------------------

for layer in "${wanted[@]}"; do
    printf '\n==== %s: %s\n' "$layer" "$(describe "$layer")"
    run_layer "$layer"
done

if [ -s "$scratch/failures" ]; then
    printf '\nfailed tests:\n'
    sed 's/^/    /' "$scratch/failures"
fi
printf '\n%-11s %6s %7s %8s %8s\n' layer passed failed skipped time
printf '%s\n' "${rows[@]}"
printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ]
