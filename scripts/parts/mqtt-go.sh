#!/bin/sh
# Builds .venv/mqtt-go/bin/mqtt-go with the Eclipse clients for Go, paho.mqtt.golang and paho.golang (test/support/mqtt-clients/go). Needs
# Go 1.24 or newer, and takes half a minute. A second run does nothing.
set -eu
cd "$(dirname "$0")/../.."
folder=$(readlink -f .venv)/mqtt-go
source=test/support/mqtt-clients/go
stamp="$(cat "$source"/* | cksum) $(go version 2>/dev/null || true)"
if [ -x "$folder/bin/mqtt-go" ] && [ "$(cat "$folder/.stamp" 2>/dev/null)" = "$stamp" ]; then
  echo "$folder is ready"
  exit 0
fi
if ! command -v go >/dev/null; then
  echo "no Go here to build $source with: install Go 1.24 or newer" >&2
  exit 1
fi
rm -rf "$folder"
mkdir -p "$folder/bin"
(cd "$source" && CGO_ENABLED=0 go build -p 2 -mod=readonly -trimpath -ldflags '-s -w' -o "$folder/bin/mqtt-go" .)
echo "$stamp" >"$folder/.stamp"
echo "$folder is made"
