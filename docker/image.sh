#!/usr/bin/env bash
# Builds the image milvus-coord:VERSION, also tagged milvus-coord:latest.
#
#   docker/image.sh                   compiles it within debian:bookworm-slim
#   docker/image.sh --binary FILE     takes a milvus-coord that was built on such a system
#   docker/image.sh --base IMAGE      on another image of Debian 12
#   docker/image.sh --from-packages   without a registry: makes the base, Debian 12, from
#                                     packages first (needs root and mmdebstrap)
set -euo pipefail

cd "$(dirname "$0")/.."

usage() { sed -n '2,9s/^# \{0,1\}//p' "$0"; }
refuse() {
    printf 'image: %s\n' "$*" >&2
    exit 2
}

base=debian:bookworm-slim binary='' packages=''
while [ $# -gt 0 ]; do
    case $1 in
    --binary)
        binary=${2:?names a file}
        [ -x "$binary" ] || refuse "$binary is no program"
        shift
        ;;
    --base)
        base=${2:?names an image}
        shift
        ;;
    --from-packages) packages=yes ;;
    --help | -h)
        usage
        exit 0
        ;;
    *)
        usage >&2
        exit 2
        ;;
    esac
    shift
done
command -v docker >/dev/null || refuse "there is no docker"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

if [ -n "$packages" ]; then
    base=milvus-coord-base:bookworm
    command -v mmdebstrap >/dev/null || refuse "there is no mmdebstrap"
    if ! docker image inspect "$base" >/dev/null 2>&1; then
        # What a slim image leaves out, too.
        mmdebstrap --quiet --variant=minbase --include=ca-certificates,libssl3,tini \
            --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
            --dpkgopt='path-exclude=/usr/share/locale/*' bookworm "$scratch/root.tar"
        docker import "$scratch/root.tar" "$base" >/dev/null
    fi
fi

context=.
if [ -n "$binary" ]; then
    # Only what the image is made of.
    context=$scratch/context
    mkdir -p "$context/docker" "$context/config"
    cp docker/Dockerfile docker/run-helm.sh "$context/docker/"
    cp config/milvus.yaml "$context/config/"
    cp "$binary" "$context/milvus-coord"
    ! command -v strip >/dev/null || strip "$context/milvus-coord"
fi

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
docker build --build-arg "BASE=$base" -f "$context/docker/Dockerfile" \
    -t "milvus-coord:$version" -t milvus-coord:latest "$context"
docker image inspect --format '{{index .RepoTags 0}}: {{.Size}} bytes' "milvus-coord:$version"
