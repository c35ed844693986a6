#!/usr/bin/env bash
# Stands at /milvus/tools/run-helm.sh of the image, where Milvus's chart starts from. The
# chart's own script of that name, if mounted over this one, first merges default.yaml and
# user.yaml into milvus.yaml; milvus-coord reads all three in that order by itself.
set -eu
exec "$@"
