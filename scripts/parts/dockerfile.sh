#!/bin/sh
# Builds .venv/dockerfile/bin/dockerfile-check from BuildKit's Go modules (scripts/dockerfile). It runs the checks of `docker build
# --check` without Docker. Needs Go 1.25 or newer, and takes a minute; a second run does nothing. DOCKERFILE_CHECK_BUILT=FILE installs that
# program instead of building it.
set -eu
cd "$(dirname "$0")/../.."
folder=$(readlink -f .venv)/dockerfile
stamp="dockerfile-check $(cat scripts/dockerfile/go.mod scripts/dockerfile/main.go | cksum)"
if [ -x "$folder/bin/dockerfile-check" ] && [ "$(cat "$folder/.stamp" 2>/dev/null)" = "$stamp" ]; then
  echo "$folder is ready"
  exit 0
fi
rm -rf "$folder"
mkdir -p "$folder/bin"
if [ -n "${DOCKERFILE_CHECK_BUILT:-}" ]; then
  cp "$DOCKERFILE_CHECK_BUILT" "$folder/bin/dockerfile-check"
else
  if ! command -v go >/dev/null; then
    echo "no Go here to build scripts/dockerfile with" >&2
    exit 1
  fi
  (cd scripts/dockerfile && CGO_ENABLED=0 go build -p 2 -mod=readonly -trimpath -ldflags '-s -w' -o "$folder/bin/dockerfile-check" .)
fi
echo "$stamp" >"$folder/.stamp"
echo "$folder is made"
