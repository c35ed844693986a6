#!/usr/bin/env bash
# Builds milvus-coord and its benchmark in release mode, fetches the real Milvus and
# Kafka into the cache unless they are there, and runs: see `bench/run.sh --help`.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
cargo build --release --quiet -p milvus-coord -p milvus-coord-bench
case " $* " in
*" --help "* | *" -h "* | *" --without-real "*) ;;
*) testbed/oracle/fetch.sh all ;;
esac
exec "${CARGO_TARGET_DIR:-target}/release/pair-bench" "$@"
