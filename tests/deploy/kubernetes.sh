#!/usr/bin/env bash
# Installs docker/chart on a real Kubernetes of one node and updates, evicts and kills
# instances under load, as operators and accidents do. No call may fail.
#
#   tests/deploy/kubernetes.sh target/release/milvus-coord
#
# A check by hand, not part of tests/run.sh: the first run builds Kubernetes from its Go
# module (ten minutes on two cores, kept in ~/.cache/milvus-coord), and the image on Debian
# packages. The node, its etcd, containerd and Docker daemon live in a network namespace and
# are removed at the end. Needs root; tests/deploy/kubernetes/node.sh names the packages.
set -euo pipefail

if [ $# != 1 ] || [ ! -x "$1" ]; then
    sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
binary=$(realpath "$1")
cd "$(dirname "$0")/../.."
# shellcheck source=scripts/setup.sh
. scripts/setup.sh
# shellcheck source=tests/deploy/tools.sh
. tests/deploy/tools.sh
# shellcheck source=tests/deploy/kubernetes/programs.sh
. tests/deploy/kubernetes/programs.sh

scratch=$(mktemp -d)
# shellcheck source=tests/deploy/kubernetes/node.sh
. tests/deploy/kubernetes/node.sh

say() { printf '\n---- %s\n' "$*"; }
fail() {
    printf 'kubernetes: %s\n' "$*" >&2
    exit 1
}
load=
finish() {
    local code=$?
    trap - EXIT INT TERM
    if [ "$code" -ne 0 ]; then
        tail -n 8 "$scratch"/*.log || true
        kubectl get events 2>/dev/null | tail -n 20 || true
        for pod in $(pods); do
            printf '\n%s:\n' "$pod"
            kubectl logs --tail 15 "$pod" || true
        done
    fi
    [ -z "$load" ] || kill "$load" 2>/dev/null || true
    node_end || true
    rm -rf "$scratch"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM

# ---- what is needed ------------------------------------------------------------------------

setup_packages iproute2 iptables openssl util-linux containernetworking-plugins mmdebstrap protobuf-compiler libprotobuf-dev
for program in dockerd containerd runc ctr; do
    command -v "$program" >/dev/null || fail "there is no $program (Debian: docker.io)"
done
setup_etcd
setup_pymilvus
deploy_python || fail "there is no Python"
helm_program=$(deploy_helm) || fail "there is no helm"
kubernetes_programs
helm() { inside "$helm_program" --kubeconfig "$scratch/kubeconfig" "$@"; }
export HELM_CACHE_HOME=$scratch/helm HELM_CONFIG_HOME=$scratch/helm HELM_DATA_HOME=$scratch/helm

mkdir "$scratch/wire"
protoc -I proto/milvus --python_out "$scratch/wire" proto/milvus/*.proto

say "a node of Kubernetes $KUBERNETES"
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
# The image; a second name for it, to update to; and what holds a pod's namespaces together.
build() {
    docker/image.sh --binary "$binary" --from-packages
    docker tag "milvus-coord:$version" milvus-coord:next
    printf 'FROM milvus-coord-base:bookworm\nCMD ["sleep", "infinity"]\n' | docker build -q -t milvus-coord-pause:1 -
}
node_network
node_files
node_start containerd containerd --config "$scratch/containerd.toml"
node_images "milvus-coord:$version" milvus-coord:next milvus-coord-pause:1 >"$scratch/images.log" 2>&1
node_control
node_kubelet
kubectl version

# ---- the chart -------------------------------------------------------------------------------

name=coord-milvus-coord-rootcoord
pods() { kubectl get pods -l component=rootcoord -o name; }
# Those that are not about to end.
living() { kubectl get pods -l component=rootcoord -o go-template='{{range .items}}{{if not .metadata.deletionTimestamp}}{{.metadata.name}}{{"\n"}}{{end}}{{end}}'; }
status() { kubectl exec "deployment/$name" -- milvus status; }
session() { ETCDCTL_API=3 inside etcdctl --endpoints "$NODE_ADDRESS:2379" get by-dev/meta/session/rootcoord --print-value-only; }
# pod_of ACTIVE or STANDBY
pod_of() {
    local address
    address=$(status | awk -v state="$1" '$2 == state {sub(/:.*/, "", $4); print $4}')
    kubectl get pods -l component=rootcoord -o jsonpath="{range .items[?(@.status.podIP=='$address')]}{.metadata.name}{end}"
}
is_pair() {
    local said
    said=$(status 2>/dev/null | awk 'NR > 1 {print $2}' | sort | paste -sd ' ') && [ "$said" = "ACTIVE STANDBY" ]
}
is_active() { kubectl exec "deployment/$name" -- milvus health rootcoord >/dev/null 2>&1; }
another_session() { [ "$(session)" != "$1" ]; }
no_session() { [ -z "$(session)" ]; }
rolled_out() {
    kubectl rollout status "deployment/$name" --timeout 180s | tail -n 1
    # Pods on their way out are still members.
    wait_for 60 is_pair
    node_remember
}

begin_load() {
    rm -f "$scratch/end"
    mkfifo "$scratch/end"
    : >"$scratch/seen"
    PYTHONPATH=$scratch/wire inside "$SETUP_VENV/bin/python" tests/deploy/kubernetes/calls.py \
        --service "$service" --etcd "$NODE_ADDRESS:2379" <"$scratch/end" >"$scratch/seen" 2>"$scratch/load.log" &
    load=$!
    exec 3>"$scratch/end"
    wait_for 60 grep -q READY "$scratch/seen"
}
failures=0
end_load() {
    exec 3>&-
    wait "$load" || failures=$((failures + 1))
    load=
    grep -v READY "$scratch/seen" || cat "$scratch/load.log"
}
# under_load WHAT COMMAND...
under_load() {
    local since
    say "under load: $1"
    shift
    begin_load
    since=$SECONDS
    "$@"
    printf 'took %s s\n' $((SECONDS - since))
    end_load
}

chart() { helm "$1" coord docker/chart --set "externalEtcd.endpoints={$NODE_ADDRESS:2379}" --set image.pullPolicy=Never "${@:2}"; }

say "helm install, with the two instances of the values"
chart install --set rootCoordinator.replicas=2,rootCoordinator.activeStandby.enabled=true --wait --timeout 120s
rolled_out
kubectl get pods,services,poddisruptionbudgets -o wide
status
service=$(kubectl get service "$name" -o jsonpath='{.spec.clusterIP}:{.spec.ports[0].port}')

under_load "nothing, for ten seconds, to compare with" sleep 10

restart() {
    kubectl rollout restart "deployment/$name"
    rolled_out
}
for round in 1 2 3; do under_load "rolling update $round of 3 (kubectl rollout restart)" restart; done

upgrade() {
    chart upgrade --set image.tag=next --set log.level=debug >/dev/null
    rolled_out
}
under_load "helm upgrade to another image and another setting" upgrade
rollback() {
    helm rollback coord 1
    rolled_out
}
under_load "helm rollback" rollback

# The PodDisruptionBudget is what `kubectl drain` asks.
evict() {
    printf '{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "%s", "namespace": "default"}}' "$1" |
        kubectl create --raw "/api/v1/namespaces/default/pods/$1/eviction" -f - 2>&1
}
is_evicted() { evict "$1" | grep -q Success; }
drain() {
    local active standby said
    active=$(pod_of ACTIVE) standby=$(pod_of STANDBY)
    evict "$active" | grep -q Success || fail "the first eviction was refused"
    said=$(evict "$standby") && fail "both could be evicted at once: $said"
    grep -q "disruption budget" <<<"$said" || fail "refused for another reason: $said"
    printf 'the ACTIVE one is evicted; the other one at once: %s\n' "$said"
    wait_for 60 is_evicted "$standby"
    printf 'and a moment later it may go, too\n'
    rolled_out
}
under_load "both are evicted, as far as the PodDisruptionBudget lets them be" drain

delete() {
    kubectl delete pod --wait=false "$(pod_of ACTIVE)"
    rolled_out
}
under_load "the pod of the ACTIVE one is deleted" delete

kill_active() {
    local pod container before
    pod=$(pod_of ACTIVE) before=$(session)
    container=$(kubectl get pod "$pod" -o jsonpath='{.status.containerStatuses[0].containerID}')
    containers tasks kill -a -s KILL "${container#containerd://}"
    wait_for 30 another_session "$before"
    wait_for 60 is_pair
    kubectl get pod "$pod"
}
under_load "kill -9 of the ACTIVE one's processes" kill_active

say "an update that can't reach etcd stops before the first one that works"
before=$(living)
chart upgrade --set "externalEtcd.endpoints={$NODE_ADDRESS:1}" >/dev/null
if kubectl rollout status "deployment/$name" --timeout 20s; then fail "it went through"; fi
for pod in $before; do
    living | grep -qx "$pod" || fail "$pod, which works, was ended"
done
helm rollback coord
rolled_out

say "one instance without active-standby"
chart upgrade --set rootCoordinator.replicas=1,rootCoordinator.activeStandby.enabled=false >/dev/null
kubectl rollout status "deployment/$name" --timeout 180s | tail -n 1
wait_for 60 is_active
status

say "helm uninstall"
helm uninstall coord --wait --timeout 60s
wait_for 30 no_session
[ "$failures" = 0 ] || fail "calls failed in $failures of the parts"
say "no call failed"
