#!/usr/bin/env bash
# Runs docker/compose.yaml as a user would, on the Docker daemon that is there, without a
# registry: the image is built on Debian packages, and stand-ins for the images of etcd
# and Kafka are made from a Debian package and Maven's jars. Kills and stops the ACTIVE
# one under load, and removes everything again.
#
#   cargo build --release -p milvus-coord -p milvus-coord-testbed --bin milvus-coord --example load_client
#   tests/deploy/compose.sh target/release/milvus-coord target/release/examples/load_client
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
"$PWD/testbed/oracle/fetch.sh" kafka
kafka=${MILVUS_COORD_CACHE:-$HOME/.cache/milvus-coord}/kafka-3.7.2/lib

export ETCD_IMAGE=milvus-coord-stand-in/etcd KAFKA_IMAGE=milvus-coord-stand-in/kafka COMPOSE_PROFILES=kafka
if ! docker image inspect "$ETCD_IMAGE" >/dev/null 2>&1; then
    mkdir "$scratch/etcd"
    cp "$(command -v etcd)" "$(command -v etcdctl)" "$scratch/etcd/"
    printf 'FROM %s\nCOPY etcd etcdctl /usr/local/bin/\n' "$base" >"$scratch/etcd/Dockerfile"
    docker build -q -t "$ETCD_IMAGE" "$scratch/etcd"
fi
if ! docker image inspect "$KAFKA_IMAGE" >/dev/null 2>&1; then
    mkdir "$scratch/kafka"
    cp -r "$kafka" "$scratch/kafka/lib"
    mmdebstrap --quiet --variant=minbase --include=default-jre-headless \
        --dpkgopt='path-exclude=/usr/share/doc/*' bookworm "$scratch/java.tar"
    docker import "$scratch/java.tar" milvus-coord-stand-in/java >/dev/null
    cat >"$scratch/kafka/start" <<'END'
#!/bin/bash
# As Kafka's own image: KAFKA_A_B=c is the property a.b=c.
set -eu
env | sed -n 's/^KAFKA_\([A-Z_]*\)=/\1 /p' | while read -r name value; do
    printf '%s=%s\n' "$(printf '%s' "$name" | tr 'A-Z_' 'a-z.')" "$value"
done >/tmp/server.properties
java -cp '/opt/kafka/lib/*' kafka.tools.StorageTool format --ignore-formatted \
    -t MkU3OEVBNTcwNTJENDM2Qk -c /tmp/server.properties
exec java -Xmx512m -cp '/opt/kafka/lib/*' kafka.Kafka /tmp/server.properties
END
    chmod +x "$scratch/kafka/start"
    printf 'FROM milvus-coord-stand-in/java\nCOPY lib /opt/kafka/lib\nCOPY start /\nCMD ["/start"]\n' >"$scratch/kafka/Dockerfile"
    docker build -q -t "$KAFKA_IMAGE" "$scratch/kafka"
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

# ---- under load --------------------------------------------------------------------------------

address=$(docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' milvus-etcd):2379
mkfifo "$scratch/end"
"$client" --etcd "$address" <"$scratch/end" >"$scratch/seen" &
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
