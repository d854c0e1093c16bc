#!/bin/sh
# Builds .venv/mqtt-rust/bin/mqtt-rust with rumqttc, a client for Rust (test/support/mqtt-clients/rust). Needs Rust's cargo (1.85 or newer)
# and a C compiler, and takes a minute. A second run does nothing.
set -eu
cd "$(dirname "$0")/../.."
folder=$(readlink -f .venv)/mqtt-rust
source=test/support/mqtt-clients/rust
stamp="$(cat "$source"/Cargo.* "$source"/src/* | cksum)"
if [ -x "$folder/bin/mqtt-rust" ] && [ "$(cat "$folder/.stamp" 2>/dev/null)" = "$stamp" ]; then
  echo "$folder is ready"
  exit 0
fi
if ! command -v cargo >/dev/null; then
  echo "no cargo here to build $source with: install Rust 1.85 or newer" >&2
  exit 1
fi
rm -rf "$folder"
mkdir -p "$folder/bin"
target=$(mktemp -d)
trap 'rm -rf "$target"' EXIT
CARGO_TARGET_DIR="$target" cargo build --manifest-path "$source/Cargo.toml" --locked --quiet
cp "$target/debug/mqtt-rust" "$folder/bin/mqtt-rust"
echo "$stamp" >"$folder/.stamp"
echo "$folder is made"
