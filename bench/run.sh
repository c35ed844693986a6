#!/usr/bin/env bash
# Installs what is missing, builds milvus-coord as it is shipped and its benchmarks, fetches
# what they need into the cache unless it is there (the real Milvus and Kafka; for a cluster
# pymilvus, too), and runs:
#
#   bench/run.sh [pair] ...     rootcoords alone: takeover, timestamps, memory
#   bench/run.sh cluster ...    a whole cluster with users: how long they are not served
#
# `--help` after either tells more.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/setup.sh
. scripts/setup.sh
program=pair-bench
case "${1:-}" in
pair | cluster)
    program=$1-bench
    shift
    ;;
esac
setup_check 2000 6000
setup_build
cargo build --locked --profile dist --quiet -p milvus-coord -p milvus-coord-bench
case "$program $* " in
*" --help "* | *" -h "*) ;;
cluster-bench*)
    setup_etcd
    setup_oracle
    setup_pymilvus
    ;;
*" --without-real "*)
    setup_etcd
    setup_load
    ;;
*)
    setup_etcd
    setup_load
    testbed/oracle/fetch.sh all
    ;;
esac
exec "${CARGO_TARGET_DIR:-target}/dist/$program" "$@"
