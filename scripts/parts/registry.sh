#!/bin/sh
# Builds .venv/registry/bin with two programs: the distribution project's OCI registry, and crane, which lists a registry's contents.
# Needs Go 1.25 or newer, and takes one to three minutes. A second run does nothing. REGISTRY_BUILT=FOLDER installs both programs from
# FOLDER instead.
set -eu
cd "$(dirname "$0")/../.."
folder=$(readlink -f .venv)/registry
registry=3.1.2
crane=0.22.1
stamp="registry $registry crane $crane"
if [ -x "$folder/bin/registry" ] && [ "$(cat "$folder/.stamp" 2>/dev/null)" = "$stamp" ]; then
  echo "$folder is ready"
  exit 0
fi
rm -rf "$folder"
mkdir -p "$folder/bin"
if [ -n "${REGISTRY_BUILT:-}" ]; then
  cp "$REGISTRY_BUILT/registry" "$REGISTRY_BUILT/crane" "$folder/bin/"
else
  if ! command -v go >/dev/null; then
    echo "no Go here to build the registry with" >&2
    exit 1
  fi
  export GOBIN="$folder/bin" CGO_ENABLED=0
  go install -p 2 -trimpath -ldflags '-s -w' "github.com/distribution/distribution/v3/cmd/registry@v$registry"
  go install -p 2 -trimpath -ldflags '-s -w' "github.com/google/go-containerregistry/cmd/crane@v$crane"
fi
"$folder/bin/registry" --version >/dev/null
"$folder/bin/crane" version >/dev/null
echo "$stamp" >"$folder/.stamp"
echo "$folder is made"
