# shellcheck shell=bash
# Builds Kubernetes' own programs from its Go module, once: ten minutes of two cores. To be
# sourced after scripts/setup.sh. Go 1.24 or later must be there.

KUBERNETES=1.34.4
KUBERNETES_PROGRAMS=${MILVUS_COORD_CACHE:-$HOME/.cache/milvus-coord}/kubernetes/$KUBERNETES
KUBERNETES_KUBECTL=$KUBERNETES_PROGRAMS/kubectl

kubernetes_programs() {
    local name missing=() folder module result=0
    for name in kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet; do
        [ -x "$KUBERNETES_PROGRAMS/$name" ] || missing+=("$name")
    done
    # One that is installed will do.
    if command -v kubectl >/dev/null; then
        KUBERNETES_KUBECTL=$(command -v kubectl)
    elif [ ! -x "$KUBERNETES_KUBECTL" ]; then
        missing+=(kubectl)
    fi
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v go >/dev/null || {
        setup_complain "Go is needed to build ${missing[*]}"
        return 1
    }
    setup_say "building ${missing[*]} $KUBERNETES (network: Go's module proxy); this takes minutes"
    folder=$(mktemp -d) || return 1
    mkdir -p "$KUBERNETES_PROGRAMS"
    (
        cd "$folder" || exit 1
        # `go install` refuses a module that replaces others. What it replaces are its own
        # parts, which are published with the same minor version.
        go mod init programs && go mod download "k8s.io/kubernetes@v$KUBERNETES" || exit 1
        sed -nE 's/^\s*(k8s\.io\/[a-z0-9-]+) => \.\/staging.*/\1/p' \
            "$(go env GOMODCACHE)/cache/download/k8s.io/kubernetes/@v/v$KUBERNETES.mod" >parts
        while read -r module; do go mod edit -replace "$module=$module@v0.${KUBERNETES#1.}"; done <parts
        go get "k8s.io/kubernetes@v$KUBERNETES" || exit 1
        # Without its version kubectl and helm can't tell whom they talk to.
        for name in "${missing[@]}"; do
            go build -mod=mod -trimpath -o "$KUBERNETES_PROGRAMS/" \
                -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=v$KUBERNETES" \
                "k8s.io/kubernetes/cmd/$name" || exit 1
        done
    ) >&2 </dev/null || result=1
    rm -rf "$folder"
    return $result
}
