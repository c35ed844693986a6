#!/usr/bin/env bash
# Installs docker/chart on a Kubernetes of one node, which is made for this from its own
# programs in a network namespace, and updates and deletes instances under load.
#
#   tests/deploy/kubernetes.sh PROGRAMS LOAD_CLIENT
#
# PROGRAMS is a folder with kube-apiserver, kube-controller-manager, kube-scheduler, kubelet
# and helm. Also needed: containerd, runc, CNI's plugins in /usr/lib/cni, kubectl, openssl,
# docker with the images milvus-coord:VERSION and milvus-coord-base:bookworm (docker/image.sh
# --from-packages), and root. Not part of tests/run.sh: these programs take ten minutes to build.
set -euo pipefail

programs=$(realpath "${1:?names the folder with the programs of Kubernetes}")
client=$(realpath "${2:?names load_client}")
cd "$(dirname "$0")/../.."
# shellcheck source=scripts/setup.sh
. scripts/setup.sh
setup_etcd

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
chart=$PWD/docker/chart
# Documentation's addresses: nobody else's.
net=milvus-coord-k8s node=192.0.2.10
kubectl_program=$(command -v kubectl)
scratch=$(mktemp -d)
processes=()

say() { printf '\n---- %s\n' "$*"; }
fail() {
    printf 'kubernetes: %s\n' "$*" >&2
    exit 1
}
# Not `ip netns exec`, which hides the cgroups.
inside() { nsenter --net="/var/run/netns/$net" "$@"; }
containers() { ctr -a "$scratch/containerd.sock" -n k8s.io "$@"; }
kubectl() { inside "$kubectl_program" --kubeconfig "$scratch/kubeconfig" "$@"; }
helm() { inside "$programs/helm" --kubeconfig "$scratch/kubeconfig" "$@"; }

# start NAME COMMAND...: in the background, in the namespace.
start() {
    local name=$1
    shift
    setsid nsenter --net="/var/run/netns/$net" "$@" >"$scratch/$name.log" 2>&1 </dev/null &
    processes+=($!)
}

finish() {
    local code=$? task pid i
    trap - EXIT INT TERM
    if [ "$code" -ne 0 ]; then
        tail -n 12 "$scratch"/*.log || true
        kubectl describe pods 2>/dev/null | tail -n 40 || true
    fi
    # The kubelet and what is above it first, or it starts again what is ended here.
    for ((i = ${#processes[@]} - 1; i > 0; i--)); do kill "${processes[$i]}" 2>/dev/null || true; done
    if [ -S "$scratch/containerd.sock" ]; then
        for task in $(containers tasks ls -q); do containers tasks kill -s KILL "$task" || true; done
        sleep 1
        for task in $(containers containers ls -q); do
            containers tasks rm "$task" 2>/dev/null || true
            containers containers rm "$task" 2>/dev/null || true
        done
    fi
    for pid in "${processes[@]}"; do kill "$pid" 2>/dev/null || true; done
    sleep 1
    for pid in "${processes[@]}" $(ip netns pids "$net" 2>/dev/null); do kill -9 "$pid" 2>/dev/null || true; done
    awk -v folder="$scratch/" 'index($2, folder) == 1 {print $2}' /proc/mounts | sort -r | xargs -r umount -l
    for i in /var/run/netns/cni-*; do
        [ ! -e "$i" ] || ! grep -q "$(basename "$i")" "$scratch/namespaces" 2>/dev/null || ip netns del "$(basename "$i")"
    done
    ip netns del "$net" 2>/dev/null || true
    rm -rf "$scratch"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM

# wait_for SECONDS COMMAND...
wait_for() {
    local until=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $until ] || fail "waited too long: $*"
        sleep 0.5
    done
}

# ---- a node ------------------------------------------------------------------------------------

say "a node"
ip netns add "$net"
inside ip link set lo up
inside ip link add node0 type veth peer name node1
inside ip addr add "$node/24" dev node0
inside ip link set node0 up
inside ip link set node1 up
inside ip route add default via 192.0.2.1 dev node0
inside sysctl -qw net.ipv4.ip_forward=1

mkdir -p "$scratch/cni" "$scratch/pods"
cat >"$scratch/cni/10-pods.conflist" <<END
{"cniVersion": "0.4.0", "name": "pods", "plugins": [{"type": "bridge", "bridge": "cni0", "isGateway": true,
 "ipam": {"type": "host-local", "dataDir": "$scratch/addresses", "ranges": [[{"subnet": "198.18.0.0/24"}]]}}]}
END
cat >"$scratch/containerd.toml" <<END
version = 2
root = "$scratch/containerd"
state = "$scratch/containerd-state"
[grpc]
  address = "$scratch/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/library/milvus-coord-pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$scratch/cni"
END
cat >"$scratch/kubelet.yaml" <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix://$scratch/containerd.sock
cgroupDriver: cgroupfs
cgroupsPerQOS: false
enforceNodeAllocatable: []
failSwapOn: false
evictionHard: {}
localStorageCapacityIsolation: false
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
resolvConf: ""
END
cat >"$scratch/kubeconfig" <<'END'
apiVersion: v1
kind: Config
clusters: [{name: lab, cluster: {server: "https://127.0.0.1:26443", insecure-skip-tls-verify: true}}]
users: [{name: admin, user: {token: tok}}]
contexts: [{name: lab, context: {cluster: lab, user: admin}}]
current-context: lab
END
openssl genrsa -out "$scratch/sa.key" 2048 2>/dev/null
echo 'tok,admin,admin,system:masters' >"$scratch/tokens.csv"

start containerd containerd --config "$scratch/containerd.toml"
start etcd etcd --data-dir "$scratch/etcd" --listen-client-urls "http://127.0.0.1:2379,http://$node:2379" \
    --advertise-client-urls "http://$node:2379" --listen-peer-urls http://127.0.0.1:2380
# Kubernetes' data and Milvus's in one etcd: their keys have different prefixes.
start apiserver "$programs/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 --cert-dir="$scratch/certs" \
    --bind-address=127.0.0.1 --secure-port=26443 --advertise-address="$node" \
    --service-cluster-ip-range=198.51.100.0/24 --service-account-issuer=https://lab \
    --service-account-key-file="$scratch/sa.key" --service-account-signing-key-file="$scratch/sa.key" \
    --token-auth-file="$scratch/tokens.csv" --authorization-mode=AlwaysAllow \
    --disable-admission-plugins=ServiceAccount --endpoint-reconciler-type=none --allow-privileged
ready() { kubectl get --raw /readyz >/dev/null 2>&1; }
wait_for 60 ready
start manager "$programs/kube-controller-manager" --kubeconfig="$scratch/kubeconfig" \
    --service-account-private-key-file="$scratch/sa.key" --bind-address=127.0.0.1 --leader-elect=false \
    --controllers=deployment,replicaset,endpoint,endpointslice,serviceaccount,namespace,garbagecollector,disruption
start scheduler "$programs/kube-scheduler" --kubeconfig="$scratch/kubeconfig" --bind-address=127.0.0.1 --leader-elect=false

say "images"
base=milvus-coord-base:bookworm
printf 'FROM %s\nCMD ["sleep", "infinity"]\n' "$base" | docker build -q -t milvus-coord-pause:1 - >/dev/null
docker save "milvus-coord:$version" milvus-coord-pause:1 | containers images import - >/dev/null

start kubelet "$programs/kubelet" --kubeconfig="$scratch/kubeconfig" --config="$scratch/kubelet.yaml" \
    --root-dir="$scratch/pods" --cert-dir="$scratch/certs" --node-ip="$node" --hostname-override=node
node_ready() { kubectl get nodes 2>/dev/null | grep -q ' Ready'; }
wait_for 60 node_ready
kubectl version | tail -n 1

# ---- the chart -----------------------------------------------------------------------------------

name=deployment/coord-milvus-coord-rootcoord
values=(--set "externalEtcd.endpoints={$node:2379}" --set image.pullPolicy=Never)
pods() { kubectl get pods -l component=rootcoord -o wide; }
who() { kubectl exec "$name" -- milvus status; }
remember_namespaces() { find /var/run/netns -name 'cni-*' -newer "$scratch/sa.key" -printf '%f\n' >>"$scratch/namespaces" || true; }

say "helm install"
helm install coord "$chart" "${values[@]}" --wait --timeout 90s
remember_namespaces
pods
who

mkfifo "$scratch/end"
inside "$client" --etcd "$node:2379" <"$scratch/end" >"$scratch/seen" 2>"$scratch/load.log" &
load=$!
processes+=("$load")
exec 3>"$scratch/end"
wait_for 60 grep -q READY "$scratch/seen"

for round in 1 2 3; do
    say "rolling update $round"
    began=$SECONDS
    kubectl rollout restart "$name"
    kubectl rollout status "$name" --timeout 120s
    printf 'took %s s\n' $((SECONDS - began))
    remember_namespaces
done
pods
who

say "an update that can't reach etcd stops before the first one that works"
helm upgrade coord "$chart" "${values[@]}" --set "externalEtcd.endpoints={$node:1}"
if kubectl rollout status "$name" --timeout 25s; then fail "it went through"; fi
pods
[ "$(pods | grep -c ' 1/1 ')" = 2 ] || fail "an instance that works was stopped"
remember_namespaces
helm rollback coord
kubectl rollout status "$name" --timeout 60s

say "the pod of the ACTIVE one is deleted"
active=$(ETCDCTL_API=3 inside etcdctl --endpoints "$node:2379" get by-dev/meta/session/rootcoord --print-value-only |
    sed 's/.*"Address":"\([^:]*\):.*/\1/')
kubectl delete pod "$(pods | awk -v ip="$active" '$6 == ip {print $1}')"
kubectl rollout status "$name" --timeout 60s
remember_namespaces
who

say "what clients saw"
exec 3>&-
code=0
wait "$load" || code=$?
cat "$scratch/seen"
[ "$code" -eq 0 ] || cat "$scratch/load.log"
[ "$code" -eq 0 ]
