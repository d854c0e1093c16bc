#!/bin/sh
# Builds .venv/nats-server/bin/nats-server, a NATS server with an MQTT listener, and its cluster. Debian's version is older than
# the fixes of that listener. Needs Go 1.25 or newer, and takes one to three minutes. A second run does nothing.
# NATS_SERVER_BUILT=FILE installs that program instead.
set -eu
cd "$(dirname "$0")/../.."
folder=$(readlink -f .venv)/nats-server
version=2.15.3
stamp="nats-server $version"
if [ -x "$folder/bin/nats-server" ] && [ "$(cat "$folder/.stamp" 2>/dev/null)" = "$stamp" ]; then
  echo "$folder is ready"
  exit 0
fi
rm -rf "$folder"
mkdir -p "$folder/bin"
if [ -n "${NATS_SERVER_BUILT:-}" ]; then
  cp "$NATS_SERVER_BUILT" "$folder/bin/nats-server"
else
  if ! command -v go >/dev/null; then
    echo "no Go here to build the NATS server with" >&2
    exit 1
  fi
  export GOBIN="$folder/bin" CGO_ENABLED=0
  go install -p 2 -trimpath -ldflags '-s -w' "github.com/nats-io/nats-server/v2@v$version"
fi
"$folder/bin/nats-server" --version >/dev/null
echo "$stamp" >"$folder/.stamp"
echo "$folder is made"
