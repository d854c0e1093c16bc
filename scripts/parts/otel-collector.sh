#!/bin/sh
# Builds .venv/otel-collector/bin/collector from the OpenTelemetry collector's Go modules (scripts/otel-collector). Needs Go 1.25 or newer, and
# takes several minutes; a second run does nothing. OTEL_COLLECTOR_BUILT=FILE installs that program instead of building it.
set -eu
cd "$(dirname "$0")/../.."
folder=$(readlink -f .venv)/otel-collector
stamp="otel-collector $(cat scripts/otel-collector/go.mod scripts/otel-collector/main.go | cksum)"
if [ -x "$folder/bin/collector" ] && [ "$(cat "$folder/.stamp" 2>/dev/null)" = "$stamp" ]; then
  echo "$folder is ready"
  exit 0
fi
rm -rf "$folder"
mkdir -p "$folder/bin"
if [ -n "${OTEL_COLLECTOR_BUILT:-}" ]; then
  cp "$OTEL_COLLECTOR_BUILT" "$folder/bin/collector"
else
  if ! command -v go >/dev/null; then
    echo "no Go here to build scripts/otel-collector with" >&2
    exit 1
  fi
  (cd scripts/otel-collector && CGO_ENABLED=0 go build -p 2 -mod=readonly -trimpath -ldflags '-s -w' -o "$folder/bin/collector" .)
fi
echo "$stamp" >"$folder/.stamp"
echo "$folder is made"
