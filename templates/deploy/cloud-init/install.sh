#!/bin/sh
# aiot-install URL [SHA256]: fetches aiot's npm tarball, verifies it, and installs it globally.
set -eu
umask 022
url=$1
digest=${2-}
node -e 'const [a,b]=process.versions.node.split(".").map(Number); process.exit(a>20||(a===20&&b>=19)?0:1)' || {
  echo "expected Node 20.19 or newer, got $(node --version): Debian 13 and Ubuntu 25.10 have it" >&2
  exit 1
}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
curl --proto '=https' --tlsv1.2 -fsSL --retry 5 --retry-delay 5 -o "$folder/aiot.tgz" "$url"
if [ -n "$digest" ]; then
  echo "$digest  $folder/aiot.tgz" | sha256sum --check --status || {
    echo "$url: expected the digest $digest, got $(sha256sum "$folder/aiot.tgz")" >&2
    exit 1
  }
fi
npm install --global --prefix /usr --omit=dev --no-fund --no-audit "$folder/aiot.tgz"
test -e /usr/lib/node_modules/aiot/bin/run.js
install -d -m 755 /etc/aiot
# Root adds AIOT_DATABASE=… and other addresses with passwords here by hand.
[ -e /etc/aiot/platform.env ] || install -m 600 /dev/null /etc/aiot/platform.env
# The key that seals the CA is generated on this machine and stored only here.
if ! grep -q '^AIOT_CA_PASSPHRASE=' /etc/aiot/platform.env; then
  echo "AIOT_CA_PASSPHRASE=$(openssl rand -hex 24)" >>/etc/aiot/platform.env
fi
