#!/bin/sh
# Makes .venv/registry/bin/registry: the distribution project's own, of its Go module, for tests with a real registry of images. Needs Go
# 1.24 or newer; a minute. Run again, it does nothing.
set -eu
cd "$(dirname "$0")/.."
folder=$PWD/.venv/registry
version=3.1.2
if [ -x "$folder/bin/registry" ] && [ "$(cat "$folder/.stamp" 2>/dev/null)" = "registry $version" ]; then
  echo "$folder is ready"
  exit 0
fi
if ! command -v go >/dev/null; then
  echo "no Go here to build the registry $version with" >&2
  exit 1
fi
rm -rf "$folder"
mkdir -p "$folder/bin"
GOBIN="$folder/bin" CGO_ENABLED=0 go install -p 2 -trimpath -ldflags '-s -w' "github.com/distribution/distribution/v3/cmd/registry@v$version"
"$folder/bin/registry" --version >/dev/null
echo "registry $version" >"$folder/.stamp"
echo "$folder is made"
