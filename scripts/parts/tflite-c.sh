#!/bin/sh
# Installs TensorFlow Lite's C library and its headers to .venv/tflite-c, for comparison in bench/firmware. They are extracted from the npm
# package tfjs-tflite-node 0.0.2 (TensorFlow Lite 2.9.0, x86-64), which is not used for anything else. A second run does nothing.
set -eu
cd "$(dirname "$0")/../.."
folder=$(readlink -f .venv)/tflite-c
wanted='tfjs-tflite-node@0.0.2'
if [ -f "$folder/.stamp" ] && [ "$(cat "$folder/.stamp")" = "$wanted" ]; then
  echo "$folder is ready"
  exit 0
fi
rm -rf "$folder"
mkdir -p "$folder"
npm pack --silent --pack-destination "$folder" "$wanted" >/dev/null
tar -xzf "$folder"/tfjs-tflite-node-*.tgz -C "$folder" --strip-components=2 package/cc_deps/include package/cc_deps/linux_amd64
rm "$folder"/tfjs-tflite-node-*.tgz
echo "$wanted" >"$folder/.stamp"
echo "$folder is made"
