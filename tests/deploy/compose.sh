#!/usr/bin/env bash
# Runs docker/compose.yaml as a user would, on the Docker daemon that is there, without a
# registry: the image is built on Debian packages, and stand-ins for the images of etcd
# and Kafka or Pulsar are made from a Debian package and Maven's jars. Kills and stops the ACTIVE
# one under load, and removes everything again.
#
#   cargo build --release -p milvus-coord -p milvus-coord-testbed --bin milvus-coord --example load_client
#   tests/deploy/compose.sh target/release/milvus-coord target/release/examples/load_client
#   COMPOSE_PROFILES=pulsar tests/deploy/compose.sh ...     with Pulsar instead of Kafka
#
# Needs root, docker, docker-compose or docker compose (if both are there, COMPOSE="docker compose"
# takes that one) and mmdebstrap. Not part of tests/run.sh: it leaves images behind, and a daemon
# changes the machine's firewall.
set -euo pipefail

binary=$(realpath "${1:?names milvus-coord}")
client=$(realpath "${2:?names load_client}")
cd "$(dirname "$0")/../.."
# shellcheck source=scripts/setup.sh
. scripts/setup.sh

say() { printf '\n---- %s\n' "$*"; }
fail() {
    printf 'compose: %s\n' "$*" >&2
    exit 1
}
# Version 1 or 2: the one that is named, or the one that is there.
if [ -z "${COMPOSE:-}" ]; then
    COMPOSE="docker compose"
    ! command -v docker-compose >/dev/null || COMPOSE=docker-compose
fi
read -ra COMPOSE <<<"$COMPOSE"
queue=${COMPOSE_PROFILES:-kafka}
case $queue in
kafka | pulsar) ;;
*) fail "no such queue: $queue" ;;
esac
compose() { "${COMPOSE[@]}" -f docker/compose.yaml "$@"; }

scratch=$(mktemp -d)
load=
finish() {
    local code=$?
    trap - EXIT INT TERM
    [ "$code" -eq 0 ] || compose logs --tail 20 rootcoord rootcoord-1 || true
    [ -z "$load" ] || kill "$load" 2>/dev/null || true
    compose down -v --timeout 10 >/dev/null 2>&1 || true
    rm -rf "$scratch"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM

# ---- images --------------------------------------------------------------------------------

say "images"
docker/image.sh --binary "$binary" --from-packages
base=milvus-coord-base:bookworm
setup_etcd
"$PWD/testbed/oracle/fetch.sh" "$queue"
jars=$(ls -d "${MILVUS_COORD_CACHE:-$HOME/.cache/milvus-coord}/$queue"-*/lib)

is_built() { docker image inspect "$1" >/dev/null 2>&1; }
# stand_in NAME FOLDER: builds the image of that name, unless it is there.
stand_in() { docker build -q -t "milvus-coord-stand-in/$1" "$2"; }

export ETCD_IMAGE=milvus-coord-stand-in/etcd KAFKA_IMAGE=milvus-coord-stand-in/kafka \
    PULSAR_IMAGE=milvus-coord-stand-in/pulsar COMPOSE_PROFILES=$queue
if ! is_built "$ETCD_IMAGE"; then
    mkdir "$scratch/etcd"
    cp "$(command -v etcd)" "$(command -v etcdctl)" "$scratch/etcd/"
    printf 'FROM %s\nCOPY etcd etcdctl /usr/local/bin/\n' "$base" >"$scratch/etcd/Dockerfile"
    stand_in etcd "$scratch/etcd"
fi
if ! is_built milvus-coord-stand-in/java; then
    mmdebstrap --quiet --variant=minbase --include=default-jre-headless \
        --dpkgopt='path-exclude=/usr/share/doc/*' bookworm "$scratch/java.tar"
    docker import "$scratch/java.tar" milvus-coord-stand-in/java >/dev/null
fi
if ! is_built "milvus-coord-stand-in/$queue"; then
    cp -r "tests/deploy/stand-ins/$queue" "$scratch/queue"
    cp -r "$jars" "$scratch/queue/lib"
    stand_in "$queue" "$scratch/queue"
fi

# ---- in the wrong order ----------------------------------------------------------------------

# wait_for SECONDS COMMAND...
wait_for() {
    local until=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $until ] || fail "waited too long: $*"
        sleep 0.2
    done
}
status() { docker exec milvus-rootcoord milvus status 2>/dev/null || docker exec milvus-rootcoord-1 milvus status 2>/dev/null; }
is_pair() {
    local said
    said=$(status) && grep -q ACTIVE <<<"$said" && grep -q STANDBY <<<"$said"
}
waits() {
    [ "$(docker inspect -f '{{.State.Health.Status}}' "$1")" = healthy ] &&
        docker logs "$1" 2>&1 | grep -q 'waiting for etcd'
}
active() {
    local name
    for name in milvus-rootcoord milvus-rootcoord-1; do
        if docker exec "$name" milvus health rootcoord >/dev/null 2>&1; then
            printf '%s' "$name"
            return 0
        fi
    done
    return 1
}

address_of() { docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$1"; }
# The ACTIVE one has made the topics of collections.
has_topics() {
    case $queue in
    kafka) docker exec milvus-kafka ls /var/lib/kafka/data | grep -q '^by-dev-rootcoord-dml_0-0$' ;;
    pulsar)
        curl -fsS "http://$(address_of milvus-pulsar):8080/admin/v2/persistent/public/default" 2>/dev/null |
            grep -q '/by-dev-rootcoord-dml_0"'
        ;;
    esac
}

say "the pair without etcd and queue: it waits"
compose up -d --no-deps rootcoord rootcoord-1
wait_for 30 waits milvus-rootcoord
wait_for 30 waits milvus-rootcoord-1

say "then the rest"
compose up -d
wait_for 60 is_pair
status
for name in milvus-rootcoord milvus-rootcoord-1; do
    [ "$(docker inspect -f '{{.RestartCount}}' "$name")" = 0 ] || fail "$name was restarted"
done
wait_for 30 docker exec milvus-etcd etcdctl --endpoints 127.0.0.1:2379 get by-dev/meta/session/rootcoord >/dev/null
[ "$(docker exec milvus-rootcoord id -u)" != 0 ] || fail "it runs as root"
wait_for 120 has_topics

# ---- under load --------------------------------------------------------------------------------

mkfifo "$scratch/end"
"$client" --etcd "$(address_of milvus-etcd):2379" <"$scratch/end" >"$scratch/seen" &
load=$!
exec 3>"$scratch/end"
wait_for 60 grep -q READY "$scratch/seen"

victim=$(active)
say "docker kill $victim"
docker kill "$victim" >/dev/null
wait_for 10 active >/dev/null
docker start "$victim" >/dev/null
wait_for 30 is_pair
status

victim=$(active)
say "docker stop $victim"
docker stop --time 30 "$victim" >/dev/null
wait_for 10 active >/dev/null
docker start "$victim" >/dev/null
wait_for 30 is_pair
status

say "etcd is gone for a moment, and comes back"
docker restart milvus-etcd >/dev/null
wait_for 60 is_pair

say "what clients saw"
exec 3>&-
code=0
wait "$load" || code=$?
load=
cat "$scratch/seen"
[ "$code" -eq 0 ]
