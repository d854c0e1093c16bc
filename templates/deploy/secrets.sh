#!/bin/sh
# Generates secrets in secrets/, readable only by their owner. Existing values are not changed; to get a new one, delete it from
# secrets/values.env.<told>
set -eu
umask 077
cd "$(dirname "$0")"
mkdir -p secrets
touch secrets/values.env

# value NAME: generated once. It starts with a letter, because some programs read digits as a number.
value() {
  grep -q "^$1=" secrets/values.env || echo "$1=s$(openssl rand -hex 24)" >>secrets/values.env
  sed -n "s/^$1=//p" secrets/values.env
}
# key NAME: 32 bytes as hexadecimal digits, generated once.
key() {
  grep -q "^$1=" secrets/values.env || echo "$1=$(openssl rand -hex 32)" >>secrets/values.env
  sed -n "s/^$1=//p" secrets/values.env
}
# asked NAME: taken from the environment, or from an earlier run.
asked() {
  eval "given=\${$1-}"
  if [ -n "$given" ]; then
    grep -v "^$1=" secrets/values.env >secrets/values.part || true
    printf '%s=%s\n' "$1" "$given" >>secrets/values.part
    mv secrets/values.part secrets/values.env
  fi
  grep -q "^$1=" secrets/values.env || { echo "expected $1 in the environment" >&2; exit 2; }
  sed -n "s/^$1=//p" secrets/values.env
}
# put FILE MODE: writes stdin if it differs from the file. Containers read files as their own user; other users of this machine
# cannot enter the folder.
put() {
  cat >"secrets/$1.part"
  chmod "$2" "secrets/$1.part"
  if cmp -s "secrets/$1.part" "secrets/$1"; then rm "secrets/$1.part"; else
    mv "secrets/$1.part" "secrets/$1"
    echo "made secrets/$1"
  fi
}
<each asked>
asked <item> >/dev/null
<end>

