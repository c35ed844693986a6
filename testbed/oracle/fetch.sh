#!/usr/bin/env bash
# Brings the oracle to this machine: the real Milvus 2.3.5, and the Kafka or Pulsar that
# it needs to become Healthy. What is there already is left alone; what is fetched
# appears at its place only when it is whole.
#
#   fetch.sh [milvus|kafka|pulsar|all|where]
#
# Network: PyPI (58 MB) for Milvus, Maven Central for Kafka (about 60 MB) and Pulsar (about
#          200 MB, one minute).
# Place:   ${MILVUS_COORD_CACHE:-${XDG_CACHE_HOME:-~/.cache}/milvus-coord}
# Needs:   python3 with pip and lzma, mvn (fetching only), java (running the queues).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${MILVUS_COORD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/milvus-coord}
milvus=$cache/milvus-2.3.5
kafka=$cache/kafka-3.7.2
pulsar=$cache/pulsar-3.1.0

# The place in which something is built before it is moved to its own. One trap
# for the whole script: it is gone also when a step fails.
scratch=
trap '[[ -z $scratch ]] || rm -rf "$scratch"' EXIT

say() { printf '%s\n' "$*" >&2; }

need() {
    local tool
    for tool in "$@"; do
        command -v "$tool" >/dev/null || {
            say "the oracle needs $tool, which is not installed"
            exit 69
        }
    done
}

new_scratch() {
    mkdir -p "$cache"
    scratch=$(mktemp -d "$cache/.fetch.XXXXXX")
}

# Two of these may run at once: the first one to finish wins, the other one's
# work is thrown away.
settle() {
    local target=$1
    if ! mv -T "$scratch/done" "$target" 2>/dev/null && [[ ! -d $target ]]; then
        say "could not move what was fetched to $target"
        exit 74
    fi
    rm -rf "$scratch"
    scratch=
    say "there: $target"
}

fetch_milvus() {
    [[ -d $milvus ]] && return
    need python3
    [[ $(uname -m) == x86_64 ]] || {
        say "the wheel of Milvus 2.3.5 that runs here exists for x86_64 only"
        exit 69
    }
    say "fetching Milvus 2.3.5 (58 MB) from PyPI"
    new_scratch
    printf 'milvus==2.3.5 --hash=sha256:%s\n' \
        69515a0630ce29fd10e101fa442afea8ca1387b93a456cd9bd41fdf3deb93d04 >"$scratch/requirements.txt"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps \
        --require-hashes -r "$scratch/requirements.txt" -d "$scratch/wheel"
    python3 "$here/unpack.py" "$scratch"/wheel/*.whl "$scratch/done"
    settle "$milvus"
}

# fetch_jars NAME POM TARGET: all that the program of that pom runs with. Maven holds each
# file against its checksum (-C).
fetch_jars() {
    local name=$1 pom=$2 target=$3
    [[ -d $target ]] && return
    need mvn java
    say "fetching $name from Maven Central"
    new_scratch
    cp "$here/$pom" "$scratch/pom.xml"
    (cd "$scratch" && mvn -B -q -C -Dmaven.artifact.threads=12 \
        dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=done/lib)
    settle "$target"
}

fetch_kafka() { fetch_jars "Kafka 3.7.2 (60 MB)" kafka.xml "$kafka"; }

fetch_pulsar() { fetch_jars "Pulsar 3.1.0 (200 MB)" pulsar.xml "$pulsar"; }

case ${1:-all} in
milvus) fetch_milvus ;;
kafka) fetch_kafka ;;
pulsar) fetch_pulsar ;;
all)
    fetch_milvus
    fetch_kafka
    fetch_pulsar
    ;;
where) printf '%s\n' "$cache" ;;
*)
    say "usage: fetch.sh [milvus|kafka|pulsar|all|where]"
    exit 64
    ;;
esac
