#!/usr/bin/env bash
# Checks the files of compose, Swarm, the chart, monitoring and systemd, without deploying
# anything: fetches the tools that are missing, then runs check.py. What has to run is in main.rs.
set -uo pipefail

cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=scripts/setup.sh
. scripts/setup.sh

# shellcheck source=tests/deploy/tools.sh
. tests/deploy/tools.sh

deploy_python || setup_say "without kubernetes-validate: what needs it is skipped"
deploy_compose || { setup_packages docker-compose && deploy_compose; } ||
    setup_say "without docker-compose: what needs it is skipped"
# What is not there stays unset, and check.py skips what needs it.
! found=$(deploy_helm) || export DEPLOY_HELM=$found
! found=$(deploy_prometheus promtool) || export DEPLOY_PROMTOOL=$found
! found=$(deploy_prometheus prometheus) || export DEPLOY_PROMETHEUS=$found
! setup_etcd || DEPLOY_ETCD=$(command -v etcd)
[ -z "${DEPLOY_ETCD:-}" ] || export DEPLOY_ETCD
for binary in "$SETUP_TARGET/debug/milvus-coord" "$SETUP_TARGET/release/milvus-coord"; do
    [ -z "${DEPLOY_BINARY:-}" ] && [ -x "$binary" ] && export DEPLOY_BINARY=$binary
done
DEPLOY_COMPOSE="[$(
    IFS=,
    printf '%s' "${deploy_compose[*]}"
)]" exec "$deploy_python" tests/deploy/check.py
