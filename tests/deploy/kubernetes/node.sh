# shellcheck shell=bash
# A Kubernetes of one node, made of its own programs in a network namespace of its own. To be
# sourced after programs.sh; the caller has $scratch and calls node_end on its way out.
#
# Root is needed, and containerd, runc, CNI's plugins, docker's daemon, iptables, openssl and
# nsenter: Debian's packages docker.io, containernetworking-plugins, iptables, openssl, util-linux.

: "${scratch:?names the folder for what is kept}"

NODE_NAMESPACE=milvus-coord-kubernetes
# Addresses that are meant for documentation and measuring: nobody else's.
NODE_ADDRESS=192.0.2.10
NODE_PODS=198.18.0.0/24
NODE_SERVICES=198.51.100.0/24
node_processes=()

# Not `ip netns exec`, which hides the cgroups.
inside() { nsenter --net="/var/run/netns/$NODE_NAMESPACE" "$@"; }
containers() { ctr -a "$scratch/containerd.sock" -n k8s.io "$@"; }
kubectl() { inside "$KUBERNETES_KUBECTL" --kubeconfig "$scratch/kubeconfig" "$@"; }

# node_start NAME COMMAND...: in the background, in the namespace; its id in $node_started.
node_started=
node_start() {
    local name=$1
    shift
    setsid nsenter --net="/var/run/netns/$NODE_NAMESPACE" "$@" >"$scratch/$name.log" 2>&1 </dev/null &
    node_started=$!
    # Or bash would announce its death.
    disown "$node_started"
    node_processes+=("$node_started")
}

# node_stop PROCESS: and waits for its end.
node_stop() {
    local tries=0
    kill "$1" 2>/dev/null || return 0
    while kill -0 "$1" 2>/dev/null && [ $tries -lt 50 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
    ! kill -9 "$1" 2>/dev/null || sleep 0.1
}

# wait_for SECONDS COMMAND...
wait_for() {
    local until=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $until ] || fail "waited too long: $*"
        sleep 0.3
    done
}

node_network() {
    ip netns add "$NODE_NAMESPACE"
    inside ip link set lo up
    # A kubelet wants an address of a real interface and a way out.
    inside ip link add node0 type veth peer name node1
    inside ip addr add "$NODE_ADDRESS/24" dev node0
    inside ip link set node0 up
    inside ip link set node1 up
    inside ip route add default via 192.0.2.1 dev node0
    inside sysctl -qw net.ipv4.ip_forward=1
}

node_files() {
    mkdir -p "$scratch/cni" "$scratch/pods" "$scratch/addresses"
    cat >"$scratch/cni/10-pods.conflist" <<END
{"cniVersion": "0.4.0", "name": "pods", "plugins": [{"type": "bridge", "bridge": "cni0", "isDefaultGateway": true,
 "hairpinMode": true, "ipam": {"type": "host-local", "dataDir": "$scratch/addresses", "ranges": [[{"subnet": "$NODE_PODS"}]]}}]}
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
    cat >"$scratch/proxy.yaml" <<END
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
hostnameOverride: node
clientConnection: {kubeconfig: "$scratch/kubeconfig"}
clusterCIDR: "$NODE_PODS"
# What a namespace may not set.
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
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
}

node_answers() { kubectl get --raw /readyz >/dev/null 2>&1; }
node_is_ready() { kubectl get nodes 2>/dev/null | grep -q ' Ready'; }

# Kubernetes' data and Milvus's are in one etcd, at $NODE_ADDRESS:2379: their keys differ.
node_control() {
    node_start etcd etcd --data-dir "$scratch/etcd" \
        --listen-client-urls "http://127.0.0.1:2379,http://$NODE_ADDRESS:2379" \
        --advertise-client-urls "http://$NODE_ADDRESS:2379" --listen-peer-urls http://127.0.0.1:2380
    node_start apiserver "$KUBERNETES_PROGRAMS/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 \
        --cert-dir="$scratch/certs" --bind-address=127.0.0.1 --secure-port=26443 --advertise-address="$NODE_ADDRESS" \
        --service-cluster-ip-range="$NODE_SERVICES" --service-account-issuer=https://lab \
        --service-account-key-file="$scratch/sa.key" --service-account-signing-key-file="$scratch/sa.key" \
        --token-auth-file="$scratch/tokens.csv" --authorization-mode=AlwaysAllow \
        --disable-admission-plugins=ServiceAccount --endpoint-reconciler-type=none --allow-privileged \
        --kubelet-preferred-address-types=InternalIP
    wait_for 90 node_answers
    node_start manager "$KUBERNETES_PROGRAMS/kube-controller-manager" --kubeconfig="$scratch/kubeconfig" \
        --service-account-private-key-file="$scratch/sa.key" --bind-address=127.0.0.1 --leader-elect=false \
        --controllers=deployment-controller,replicaset-controller,endpointslice-controller,serviceaccount-controller,namespace-controller,garbage-collector-controller,disruption-controller,node-lifecycle-controller
    node_start scheduler "$KUBERNETES_PROGRAMS/kube-scheduler" --kubeconfig="$scratch/kubeconfig" \
        --bind-address=127.0.0.1 --leader-elect=false
    node_start proxy "$KUBERNETES_PROGRAMS/kube-proxy" --config="$scratch/proxy.yaml"
}

docker_answers() { docker version >/dev/null 2>&1; }

# node_images IMAGE...: by a Docker daemon of its own, which keeps the base image for the
# next time; then loads what `build` has made. The daemon ends.
node_images() {
    local daemon
    mkdir -p "$KUBERNETES_PROGRAMS/docker"
    node_start dockerd dockerd --data-root "$KUBERNETES_PROGRAMS/docker" --exec-root "$scratch/docker" \
        -p "$scratch/dockerd.pid" -H "unix://$scratch/docker.sock" --iptables=false --ip6tables=false --ip-masq=false
    daemon=$node_started
    export DOCKER_HOST=unix://$scratch/docker.sock DOCKER_BUILDKIT=0
    wait_for 60 docker_answers
    build
    docker save "$@" | containers images import - >/dev/null
    node_stop "$daemon"
}

node_kubelet() {
    node_start kubelet "$KUBERNETES_PROGRAMS/kubelet" --kubeconfig="$scratch/kubeconfig" --config="$scratch/kubelet.yaml" \
        --root-dir="$scratch/pods" --cert-dir="$scratch/certs" --node-ip="$NODE_ADDRESS" --hostname-override=node
    wait_for 90 node_is_ready
}

# Everything that node_network and the others have made; also what was made by half.
node_end() {
    local i task name
    node_remember 2>/dev/null || true
    # The kubelet and what is above it first, or it starts again what is ended here.
    for ((i = ${#node_processes[@]} - 1; i > 0; i--)); do node_stop "${node_processes[$i]}"; done
    if [ -S "$scratch/containerd.sock" ]; then
        for task in $(containers tasks ls -q); do containers tasks kill -a -s KILL "$task" || true; done
        sleep 1
        for task in $(containers containers ls -q); do
            containers tasks rm -f "$task" >/dev/null 2>&1 || true
            containers containers rm "$task" >/dev/null 2>&1 || true
        done
    fi
    [ ${#node_processes[@]} -eq 0 ] || node_stop "${node_processes[0]}"
    for task in $(ip netns pids "$NODE_NAMESPACE" 2>/dev/null); do kill -9 "$task" 2>/dev/null || true; done
    awk -v folder="$scratch/" 'index($2, folder) == 1 {print $2}' /proc/mounts | sort -r | xargs -r umount -l
    # Of the pods; named by containerd, so known by the bridge they were joined to.
    while read -r name; do ip netns del "$name" 2>/dev/null || true; done \
        < <(sort -u "$scratch/namespaces" 2>/dev/null)
    ip netns del "$NODE_NAMESPACE" 2>/dev/null || true
}

# To be called while pods run: their namespaces are removed by node_end.
node_remember() { find /var/run/netns -name 'cni-*' -newer "$scratch/sa.key" -printf '%f\n' >>"$scratch/namespaces"; }
