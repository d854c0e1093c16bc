#!/bin/sh
# Installs the Improv project's client library for browsers in .venv/improv. Its install scripts do not run. A second run does nothing.
set -eu
cd "$(dirname "$0")/../.."
folder=$(readlink -f .venv)/improv
version=2.8.1
if [ -f "$folder/.stamp" ] && [ "$(cat "$folder/.stamp")" = "$version" ]; then
  echo "$folder is ready"
  exit 0
fi
rm -rf "$folder"
mkdir -p "$folder"
echo '{ "private": true }' >"$folder/package.json"
npm install --prefix "$folder" --ignore-scripts --no-audit --no-fund --loglevel error "improv-wifi-serial-sdk@$version"
echo "$version" >"$folder/.stamp"
echo "$folder is made"
