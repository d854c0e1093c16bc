#!/bin/sh
# Builds .venv/tfjs-node: npm's @tensorflow/tfjs-node from its sources, with the shared libraries of the TensorFlow in .venv/tensorflow
# (`npm run parts -- tensorflow` installs it). The package's own install script would download the same libraries from elsewhere.
# Needs a C++ compiler, make, Python and Node's headers. Works on Node 20 and 22: tfjs-node 4.22 uses functions that Node 23 removed.
# A second run does nothing. TFJS_NODE_SECONDS limits the total time (default 600).
set -eu
cd "$(dirname "$0")/../.."
if [ "$(node -p 'process.versions.node.split(".")[0]')" -ge 23 ]; then
  echo "skipped: tfjs-node 4.22 does not load on Node $(node --version)"
  exit 0
fi
folder=$(readlink -f .venv)/tfjs-node
version=4.22.0
wanted="tfjs-node $version, Node $(node --version)"
if [ -f "$folder/.stamp" ] && [ "$(cat "$folder/.stamp")" = "$wanted" ]; then
  echo "$folder is ready"
  exit 0
fi
if [ "${1:-}" != bounded ]; then
  exec timeout "${TFJS_NODE_SECONDS:-600}" sh "$0" bounded
fi

tensorflow=$(.venv/tensorflow/bin/python -c 'import importlib.util as u; print(u.find_spec("tensorflow").submodule_search_locations[0])')
rm -rf "$folder"
mkdir -p "$folder"
echo '{ "private": true }' >"$folder/package.json"
npm install --prefix "$folder" --ignore-scripts --no-audit --no-fund --loglevel error "@tensorflow/tfjs-node@$version"

package=$folder/node_modules/@tensorflow/tfjs-node
mkdir -p "$package/deps/lib"
ln -s "$tensorflow/include" "$package/deps/include"
# The wheel's library contains all functions of libtensorflow that tfjs-node needs.
for name in libtensorflow.so libtensorflow.so.2 libtensorflow_cc.so.2; do
  ln -s "$tensorflow/libtensorflow_cc.so.2" "$package/deps/lib/$name"
done
for name in libtensorflow_framework.so libtensorflow_framework.so.2; do
  ln -s "$tensorflow/libtensorflow_framework.so.2" "$package/deps/lib/$name"
done
# If Node is from a distribution or from nodejs.org's archive, its headers are in the same installation; otherwise, node-gyp downloads them.
headers=$(node -p 'require("path").resolve(process.execPath, "../..")')
if [ -f "$headers/include/node/node_api.h" ]; then
  export npm_config_nodedir="$headers"
fi
(cd "$package" && npm_config_loglevel=error PYTHON="${PYTHON:-python3}" \
  ../../.bin/node-pre-gyp install --build-from-source)
(cd "$folder" && node -e 'const tf = require("@tensorflow/tfjs-node"); if (tf.getBackend() !== "tensorflow") throw new Error(tf.getBackend())')
echo "$wanted" >"$folder/.stamp"
echo "$folder is made"
