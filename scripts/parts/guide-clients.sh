#!/bin/sh
# Builds .venv/guide-clients/bin/guide-clients: programs with the Go client libraries of the architects' guide, in the versions that the
# guide uses (test/support/guide-clients). Needs Go 1.19 or newer, and takes half a minute. A second run does nothing.
set -eu
cd "$(dirname "$0")/../.."
folder=$(readlink -f .venv)/guide-clients
stamp="$(cat test/support/guide-clients/* | cksum) $(go version 2>/dev/null || true)"
if [ -x "$folder/bin/guide-clients" ] && [ "$(cat "$folder/.stamp" 2>/dev/null)" = "$stamp" ]; then
  echo "$folder is ready"
  exit 0
fi
if ! command -v go >/dev/null; then
  echo "no Go here to build test/support/guide-clients with" >&2
  exit 1
fi
rm -rf "$folder"
mkdir -p "$folder/bin"
(cd test/support/guide-clients && CGO_ENABLED=0 go build -p 2 -mod=readonly -trimpath -ldflags '-s -w' -o "$folder/bin/guide-clients" .)
echo "$stamp" >"$folder/.stamp"
echo "$folder is made"
