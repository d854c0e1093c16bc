#!/bin/sh
# Builds .venv/espflash/bin/espflash, the flashing tool from crates.io, for tests of the simulated chip, which is also tested with PyPI's
# esptool. Needs Rust's cargo (1.88 or newer) and a C compiler. Optimized for a short build time, because the program mostly waits for a
# serial port. A second run does nothing. ESPFLASH_BUILT=FILE installs that program instead, if it has the same version.
set -eu
cd "$(dirname "$0")/../.."
folder=$(readlink -f .venv)/espflash
version=4.4.0
if [ -x "$folder/bin/espflash" ] && [ "$(cat "$folder/.stamp" 2>/dev/null)" = "espflash $version" ]; then
  echo "$folder is ready"
  exit 0
fi
rm -rf "$folder"
mkdir -p "$folder/bin"
if [ -n "${ESPFLASH_BUILT:-}" ] && [ "$("$ESPFLASH_BUILT" --version)" = "espflash $version" ]; then
  cp "$ESPFLASH_BUILT" "$folder/bin/espflash"
else
  if ! command -v cargo >/dev/null; then
    echo "no cargo here to build espflash $version with: install Rust 1.88 or newer" >&2
    exit 1
  fi
  target=$(mktemp -d)
  trap 'rm -rf "$target"' EXIT
  CARGO_TARGET_DIR="$target" CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off \
    CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_DEBUG=0 \
    cargo install espflash --version "$version" --locked --quiet --no-track --root "$folder"
fi
[ "$("$folder/bin/espflash" --version)" = "espflash $version" ]
echo "espflash $version" >"$folder/.stamp"
echo "$folder is made"
