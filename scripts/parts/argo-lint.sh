#!/bin/sh
# Builds .venv/argo-lint/bin from Argo's Go modules (scripts/k8s): argo-lint runs the checks of `argo lint --offline`, and
# argo-events-lint those of `argo-events lint`. Needs Go 1.25 or newer, and takes several minutes. A second run does nothing.
# ARGO_LINT_BUILT=FOLDER installs programs from FOLDER instead of building them.
set -eu
cd "$(dirname "$0")/../.."
folder=$(readlink -f .venv)/argo-lint
wanted="argo-lint $(cat scripts/parts/argo-lint.sh scripts/k8s/argo-lint/* scripts/k8s/argo-events-lint/* | cksum)"
if [ "$(cat "$folder/.stamp" 2>/dev/null)" = "$wanted" ]; then
  echo "$folder is ready"
  exit 0
fi
rm -rf "$folder"
mkdir -p "$folder/bin"

# unpack MODULE@VERSION: makes a writable copy in $folder/source, because Go's module cache is read-only.
unpack() {
  cp -r "$(go mod download -json "$1" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')" "$folder/source"
  chmod -R u+w "$folder/source"
  mkdir -p "$folder/source/cmd/only-lint"
}
# build NAME: builds $folder/source and removes it.
build() {
  (cd "$folder/source" && CGO_ENABLED=0 GOFLAGS=-mod=mod go build -p 2 -trimpath -ldflags '-s -w' -o "$folder/bin/$1" ./cmd/only-lint)
  rm -rf "$folder/source"
}

if [ -n "${ARGO_LINT_BUILT:-}" ]; then
  cp "$ARGO_LINT_BUILT/argo-lint" "$ARGO_LINT_BUILT/argo-events-lint" "$folder/bin"
else
  if ! command -v go >/dev/null; then
    echo "no Go here to build argo-lint with" >&2
    exit 1
  fi
  unpack github.com/argoproj/argo-workflows/v3@v3.7.14
  cp scripts/k8s/argo-lint/main.go "$folder/source/cmd/only-lint/"
  build argo-lint

  unpack github.com/argoproj/argo-events@v1.9.11
  mkdir "$folder/source/cmd/only-lint/commands"
  cp "$folder/source/cmd/commands/lint.go" "$folder/source/cmd/only-lint/commands/"
  cp scripts/k8s/argo-events-lint/main.go "$folder/source/cmd/only-lint/"
  cp scripts/k8s/argo-events-lint/eventing.go "$folder/source/pkg/eventsources/"
  build argo-events-lint
fi
echo "$wanted" >"$folder/.stamp"
echo "$folder is made"
