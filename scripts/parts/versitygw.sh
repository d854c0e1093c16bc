#!/bin/sh
# Builds .venv/versitygw/bin/versitygw, an S3 server that checks signatures, for the tests of s3:. Needs Go 1.24 or newer, and takes two
# minutes. A second run does nothing. VERSITYGW_BUILT=FILE installs that program instead of building it.
set -eu
cd "$(dirname "$0")/../.."
folder=$(readlink -f .venv)/versitygw
version=1.8.0
if [ -x "$folder/bin/versitygw" ] && [ "$(cat "$folder/.stamp" 2>/dev/null)" = "versitygw $version" ]; then
  echo "$folder is ready"
  exit 0
fi
rm -rf "$folder"
mkdir -p "$folder/bin"
if [ -n "${VERSITYGW_BUILT:-}" ]; then
  cp "$VERSITYGW_BUILT" "$folder/bin/versitygw"
else
  if ! command -v go >/dev/null; then
    echo "no Go here to build versitygw $version with" >&2
    exit 1
  fi
  GOBIN="$folder/bin" CGO_ENABLED=0 go install "github.com/versity/versitygw/cmd/versitygw@v$version"
fi
"$folder/bin/versitygw" --version >/dev/null
echo "versitygw $version" >"$folder/.stamp"
echo "$folder is made"
