#!/usr/bin/env bash
# Installs a packed tarball in an empty prefix, as a user would, and runs it with the Node on the PATH:
#   scripts/ci/smoke.sh TARBALL
# No install script is run, and nothing can be compiled: the PATH contains only Node, npm and a shell.
set -euo pipefail
tarball=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset "${!AIOT_@}"
cache=$(npm config get cache)
mkdir "$work"/{home,path,prefix,here}
for program in node npm sh env; do ln -s "$(readlink -f "$(command -v "$program")")" "$work/path/$program"; done
cd "$work/here"
fail() {
  echo "$1"
  exit 1
}

# The user's files are not used, except npm's registry settings and, to save time, npm's cache.
export HOME="$work/home" XDG_CONFIG_HOME="$work/home/c" XDG_DATA_HOME="$work/home/d" XDG_CACHE_HOME="$work/home/x"
export npm_config_cache="$cache" npm_config_update_notifier=false
bare() { PATH="$work/prefix/bin:$work/path" "$@"; }
echo "smoke: $(bare node --version), npm $(bare npm --version)"
bare npm install --global --prefix "$work/prefix" --ignore-scripts --no-audit --no-fund "$tarball" >"$work/log" 2>&1 ||
  { cat "$work/log"; exit 1; }

# Limit on the total file size, MB. It was 119 on x64 Linux when this was written. scripts/lock.js explains why there is no shrinkwrap.
limit=130
size=$(find "$work/prefix/lib" -type f -printf '%s\n' | awk '{ sum += $1 } END { printf "%d", sum / 1e6 }')
echo "smoke: $size MB installed"
((size <= limit)) || fail "more than $limit MB are installed: see 'Size' in docs/background/dependencies.md"
if tar -tzf "$tarball" | grep -q '/npm-shrinkwrap.json$'; then fail 'npm-shrinkwrap.json is packed'; fi

version=$(bare aiot --version)
[[ $version == aiot/* ]] || fail "unexpected version: $version"
bare aiot error AIOT_USAGE --json | node -e 'JSON.parse(require("fs").readFileSync(0, "utf8")).exit === 2 || process.exit(1)'
bare aiot docs quick-start --json | node -e 'JSON.parse(require("fs").readFileSync(0, "utf8")).page === "quick-start" || process.exit(1)'
bare aiot doctor
bare aiot init watch --template motor-watch
bare aiot context list
# TensorFlow.js is optional and not installed, so the error must name the package to install.
code=0
(cd watch && bare aiot model train --backend cpu --json) >"$work/said" 2>/dev/null || code=$?
if [[ $code != 1 ]] || ! grep -q 'npm install @tensorflow/tfjs-core' "$work/said"; then fail "training without TensorFlow.js: $code, $(cat "$work/said")"; fi
# LiteRT and the face detectors are part of the package, so they must work without peer dependencies.
bare node -e '
  const sharp = require(process.argv[1] + "/node_modules/sharp");
  sharp({ create: { width: 64, height: 48, channels: 3, background: "#678" } }).toFile("blue.png");
' "$work/prefix/lib/node_modules/aiot"
bare aiot vision faces blue.png --json | node -e 'JSON.parse(require("fs").readFileSync(0, "utf8")).pictures.length === 1 || process.exit(1)'
rm blue.png
if command -v man >/dev/null; then
  for page in aiot aiot-model-train; do
    PATH="$work/prefix/bin:$PATH" MANPATH='' man --where "$page" | grep -q "^$work/prefix/" || fail "man finds no $page"
  done
fi

# Without the native part for serial ports, all other commands must work, and those for serial ports must explain why they cannot.
rm -r "$work"/prefix/lib/node_modules/aiot/node_modules/@serialport/bindings-cpp/prebuilds
bare node --input-type=module -e '
  const { readdirSync } = await import("node:fs");
  const commands = process.argv[1] + "/dist/commands/";
  for (const name of readdirSync(commands, { recursive: true })) if (name.endsWith(".js")) await import(commands + name);
' "$work/prefix/lib/node_modules/aiot"
bare aiot board ports --json >"$work/ports"
code=0
bare aiot board monitor --port /dev/ptmx >"$work/said" 2>&1 || code=$?
if [[ $code != 1 ]] || ! grep -q AIOT_NATIVE_PART "$work/said"; then fail "a port without its native part: $code, $(cat "$work/said")"; fi
bare aiot demo --json >"$work/demo.json" || { cat "$work/demo.json"; exit 1; }
# stdout must contain exactly one line.
[[ $(wc -l <"$work/demo.json") == 1 ]] || fail 'the demo printed more than its result'
node -e '
  const r = JSON.parse(require("fs").readFileSync(process.argv[1], "utf8"));
  console.log(`demo: ${r.rollout.committed} of ${r.rollout.devices} committed, live macro-F1 ${r.live.macroF1}, ${r.seconds} s`);
  if (r.rollout.committed !== r.rollout.devices) process.exit(1);' "$work/demo.json"
left=$(find "$work/here" -mindepth 1 -maxdepth 1 ! -name watch)
[[ -z $left ]] || fail "left behind: $left"
echo 'smoke: all well'
