#!/bin/sh
# Makes .venv/argo-lint/bin/argo-lint: what `argo lint --offline` checks, built of Argo Workflows' own Go module without its server and pages
# (scripts/k8s/argo-lint). Needs Go 1.25 or newer; some minutes the first time. Run again, it does nothing. Where it was built
# elsewhere already: ARGO_LINT_BUILT=FILE takes that program.
set -eu
cd "$(dirname "$0")/.."
folder=$PWD/.venv/argo-lint
version=3.7.14
wanted="argo-lint $version $(cksum <scripts/k8s/argo-lint/main.go)"
if [ -x "$folder/bin/argo-lint" ] && [ "$(cat "$folder/.stamp" 2>/dev/null)" = "$wanted" ]; then
  echo "$folder is ready"
  exit 0
fi
rm -rf "$folder"
mkdir -p "$folder/bin"
if [ -n "${ARGO_LINT_BUILT:-}" ]; then
  cp "$ARGO_LINT_BUILT" "$folder/bin/argo-lint"
else
  if ! command -v go >/dev/null; then
    echo "no Go here to build argo-lint with" >&2
    exit 1
  fi
  module=$(go mod download -json "github.com/argoproj/argo-workflows/v3@v$version" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  # The cache of modules is read-only.
  cp -r "$module" "$folder/source"
  chmod -R u+w "$folder/source"
  mkdir "$folder/source/cmd/only-lint"
  cp scripts/k8s/argo-lint/main.go "$folder/source/cmd/only-lint/"
  (cd "$folder/source" && CGO_ENABLED=0 GOFLAGS=-mod=mod go build -p 2 -trimpath -ldflags '-s -w' -o "$folder/bin/argo-lint" ./cmd/only-lint)
  rm -rf "$folder/source"
fi
echo "$wanted" >"$folder/.stamp"
echo "$folder is made"
