#!/usr/bin/env bash
# Installs what is missing, builds milvus-coord and its benchmark in release mode,
# fetches the real Milvus and Kafka into the cache unless they are there, and runs:
# see `bench/run.sh --help`.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/setup.sh
. scripts/setup.sh
setup_check 2000 6000
setup_build
case " $* " in
*" --help "* | *" -h "*) ;;
*) setup_etcd ;;
esac
cargo build --release --quiet -p milvus-coord -p milvus-coord-bench
case " $* " in
*" --help "* | *" -h "* | *" --without-real "*) ;;
*) testbed/oracle/fetch.sh all ;;
esac
exec "${CARGO_TARGET_DIR:-target}/release/pair-bench" "$@"
