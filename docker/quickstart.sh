#!/usr/bin/env bash
# From nothing to a takeover: builds milvus-coord, starts etcd and a rootcoord pair in a
# temporary folder, kills the active one and shows what a client notices.
#
#   docker/quickstart.sh          runs, reports and removes everything again
#   docker/quickstart.sh --keep   leaves the pair running and says how to use and stop it
#
# No message queue, no other part of Milvus and no container is needed. Listens on
# loopback only, at ports that were free.
set -euo pipefail

keep=
case "${1:-}" in
--keep) keep=yes ;;
"") ;;
*)
    sed -n '2,9s/^# \{0,1\}//p' "$0"
    [ "$1" = --help ] || [ "$1" = -h ] || exit 2
    exit 0
    ;;
esac

cd "$(dirname "$0")/.."
# shellcheck source=scripts/setup.sh
. scripts/setup.sh

step=0
begin() {
    step=$((step + 1))
    printf '\n[%d/7] %s\n' "$step" "$*"
}
say() { printf '    %s\n' "$*"; }
fail() {
    printf '\nquickstart: %s\n' "$*" >&2
    exit 1
}

# ---- what is cleaned up, however this ends -----------------------------------------------

folder=
processes=()

stop_all() {
    local pid tries
    for pid in "${processes[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${processes[@]}"; do
        tries=0
        while kill -0 "$pid" 2>/dev/null && [ $tries -lt 100 ]; do
            tries=$((tries + 1))
            sleep 0.1
        done
        kill -9 "$pid" 2>/dev/null || true
    done
    processes=()
}

finish() {
    local code=$?
    trap - EXIT INT TERM HUP
    if [ $code -ne 0 ] && [ -n "$folder" ]; then
        for log in "$folder"/*.log; do
            [ ! -s "$log" ] || { printf '\n--- the end of %s\n' "${log##*/}" && tail -n 15 "$log"; } >&2
        done
    fi
    if [ $code -ne 0 ] || [ -z "$keep" ]; then
        stop_all
        [ -z "$folder" ] || rm -rf "$folder"
    fi
    exit $code
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# start NAME COMMAND...: in the background, apart from this terminal; its id in $started.
started=
start() {
    local name=$1
    shift
    setsid "$@" >>"$folder/$name.log" 2>&1 </dev/null &
    started=$!
    # Or bash would announce its death.
    disown "$started"
    processes+=("$started")
}

# ---- 1, 2: set up and build --------------------------------------------------------------

begin "Set-up: a C compiler, protoc, Rust $(setup_rust_least) or later, etcd $SETUP_ETCD_LEAST or later; only what is missing"
say "needs the network for system packages and, at the first build, for Rust crates"
setup_check 1500 3000 || fail "this machine is too small"
setup_build || fail "the tools to build with are not there"
setup_etcd || fail "there is no etcd"

begin "Build (some minutes the first time)"
cargo build --locked --release -p milvus-coord -p milvus-coord-testbed --bin milvus-coord --example quickstart_client
binary=$SETUP_TARGET/release/milvus-coord
client=$SETUP_TARGET/release/examples/quickstart_client

# ---- 3, 4: etcd and the pair -------------------------------------------------------------

folder=$(mktemp -d "${TMPDIR:-/tmp}/milvus-coord-quickstart.XXXXXX")
mapfile -t port < <("$client" free-ports 6)
etcd_address=127.0.0.1:${port[0]}
export ETCD_ENDPOINTS=$etcd_address

mkdir "$folder/run"

begin "Start etcd at $etcd_address"
start etcd etcd --name quickstart --data-dir "$folder/etcd" \
    --listen-client-urls "http://$etcd_address" --advertise-client-urls "http://$etcd_address" \
    --listen-peer-urls "http://127.0.0.1:${port[1]}" --initial-advertise-peer-urls "http://127.0.0.1:${port[1]}" \
    --initial-cluster "quickstart=http://127.0.0.1:${port[1]}"
etcd_process=$started
tries=0
until ETCDCTL_API=3 etcdctl --endpoints "$etcd_address" --dial-timeout 1s endpoint health >/dev/null 2>&1; do
    kill -0 "$etcd_process" 2>/dev/null || fail "etcd ended"
    tries=$((tries + 1))
    [ $tries -lt 100 ] || fail "etcd does not answer"
    sleep 0.1
done

ask() { "$client" --etcd "$etcd_address" "$@"; }

# start_rootcoord NAME PORT HTTP-PORT: the settings are those of Milvus, by its environment variables.
start_rootcoord() {
    start "$1" env ROOT_COORD_ENABLE_ACTIVE_STANDBY=true ROOTCOORD_IP=127.0.0.1 \
        ROOTCOORD_PORT="$2" METRICS_PORT="$3" ROOTCOORD_ACTIVESTANDBY_RUNDIRECTORY="$folder/run" \
        "$binary" run rootcoord -alias "quickstart-$1"
}

begin "Start two rootcoords: one becomes ACTIVE, the other STANDBY"
start_rootcoord one "${port[2]}" "${port[3]}"
one=$started
start_rootcoord two "${port[4]}" "${port[5]}"
two=$started
ask instances --at-least 2 | sed 's/^/    /' || fail "the pair did not come up"

# ---- 5: work -------------------------------------------------------------------------------

begin "Create a database and take 1000 timestamps over gRPC"
ask create-database quickstart
ask timestamps --count 1000 >"$folder/stamps"
say "databases: $(ask databases | paste -sd ' ')"
sed 's/^/    timestamp /' "$folder/stamps"

# ---- 6: the takeover -----------------------------------------------------------------------

if ask instances | grep -q "^ACTIVE .*:${port[2]}\$"; then
    victim=one victim_process=$one victim_ports=("${port[2]}" "${port[3]}")
else
    victim=two victim_process=$two victim_ports=("${port[4]}" "${port[5]}")
fi
begin "kill -9 the ACTIVE one (rootcoord $victim, process $victim_process)"
ask takeover --kill "$victim_process" >"$folder/takeover"
# Its id is not ours to kill any more.
for i in "${!processes[@]}"; do [ "${processes[$i]}" != "$victim_process" ] || unset "processes[$i]"; done
result() { awk -v word="$1" '$1 == word {print $2}' "$2"; }
say "$(result SERVED "$folder/takeover") ms after the kill the other one gave out its first timestamp"
say "$(result CLIENT "$folder/takeover") ms after the kill a client had its next one that retries as Milvus's own do: it learns of"
say "the new one by a failing call and then pauses, 200 ms or, if it looked before the new one was there, 600 ms"
ask instances | sed 's/^/    /'

# ---- 7: nothing is lost --------------------------------------------------------------------

begin "Is everything still there?"
ask databases | grep -qx quickstart || fail "the database is gone"
say "the database is there: $(ask databases | paste -sd ' ')"
last=$(result LAST "$folder/takeover")
ask timestamps --count 1000 --after "$last" >"$folder/stamps-after"
say "timestamps went on rising: $last before, $(result FIRST "$folder/stamps-after") to $(result LAST "$folder/stamps-after") now"

# The dead one comes back as standby.
start_rootcoord "$victim" "${victim_ports[@]}"
ask instances --at-least 2 >"$folder/pair" || fail "the killed one did not come back"
say "rootcoord $victim was started again: $(grep STANDBY "$folder/pair")"

if [ -z "$keep" ]; then
    printf '\nDone; everything is stopped and removed. With --keep it goes on running.\n'
    exit 0
fi
cat <<END

The pair is running. Logs are in $folder. To use it:

    export ETCD_ENDPOINTS=$etcd_address
    $binary status
    $binary switchover rootcoord
    curl http://127.0.0.1:${port[3]}/role; curl http://127.0.0.1:${port[5]}/role

To stop it and remove what it left:

    kill ${processes[*]}
    rm -rf $folder
END
