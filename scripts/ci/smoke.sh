#!/usr/bin/env bash
# Installs a packed tarball in an empty folder, as a user would, and runs it with the Node on the PATH:
#   scripts/ci/smoke.sh TARBALL
set -euo pipefail
tarball=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset "${!AIOT_@}"
cache=$(npm config get cache)
cd "$work"
# Nothing of the user's own is touched; npm's cache alone is shared, to be quick.
export HOME="$work/home" XDG_CONFIG_HOME="$work/home/c" XDG_DATA_HOME="$work/home/d" XDG_CACHE_HOME="$work/home/x"
export npm_config_cache="$cache"
mkdir "$HOME" program
cd program
echo "smoke: $(node --version), npm $(npm --version)"
npm init --yes >"$work/log"
npm install --no-audit --no-fund "$tarball" >>"$work/log" 2>&1 || { cat "$work/log"; exit 1; }

aiot() { node node_modules/aiot/bin/run.js "$@"; }

version=$(npx aiot --version)
[[ $version == aiot/* ]] || { echo "unexpected version: $version"; exit 1; }
aiot explain AIOT_USAGE --json | node -e 'JSON.parse(require("fs").readFileSync(0, "utf8")).exit === 2 || process.exit(1)'
aiot --help >/dev/null
aiot doctor
aiot init watch --template motor-watch
aiot context list
if aiot demo --help >/dev/null 2>&1; then
  aiot demo --json >"$work/demo.json" || { cat "$work/demo.json"; exit 1; }
  # One line, and no other thing on stdout.
  [[ $(wc -l <"$work/demo.json") == 1 ]] || { echo 'the demo printed more than its result'; exit 1; }
  node -e '
    const r = JSON.parse(require("fs").readFileSync(process.argv[1], "utf8"));
    console.log(`demo: ${r.rollout.committed} of ${r.rollout.devices} committed, live macro-F1 ${r.live.macroF1}, ${r.seconds} s`);
    if (r.rollout.committed !== r.rollout.devices) process.exit(1);' "$work/demo.json"
fi
left=$(find "$work/program" -mindepth 1 -maxdepth 1 ! -name node_modules ! -name 'package*.json' ! -name watch)
[[ -z $left ]] || { echo "left behind: $left"; exit 1; }
echo 'smoke: all well'
