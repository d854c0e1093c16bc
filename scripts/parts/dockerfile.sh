#!/bin/sh
# Makes .venv/dockerfile/bin/dockerfile-check of BuildKit's Go modules (scripts/dockerfile): what `docker build --check` says, without Docker. Needs
# Go 1.25 or newer; a minute. Run again, it does nothing. Where it was built elsewhere already: DOCKERFILE_CHECK_BUILT=FILE takes that program.
set -eu
cd "$(dirname "$0")/../.."
folder=$PWD/.venv/dockerfile
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
