#!/bin/sh
# Generates nats.env (the token and the store's key), your own CA, and certificates for the server and a client. Existing files
# are not changed. sh prepare.sh [NAME|ADDRESS]… adds names to the server's certificate, in addition to "nats".
set -eu
umask 077
cd "$(dirname "$0")"

if [ ! -e nats.env ]; then
  # The values begin with a letter, because the server would read digits as a number.
  echo "NATS_TOKEN=t$(openssl rand -hex 24)" >nats.env.part
  echo "JS_KEY=k$(openssl rand -hex 24)" >>nats.env.part
  mv nats.env.part nats.env
  echo "made nats.env: keep a copy of it elsewhere, without the key the store cannot be read"
fi

names="DNS:nats,DNS:localhost,IP:127.0.0.1"
for name in "$@"; do
  case $name in
    *:* | *[0-9].[0-9]*.[0-9]*.[0-9]*) names="$names,IP:$name" ;;
    *) names="$names,DNS:$name" ;;
  esac
done

mkdir -p certs
key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "certs/$1.key" 2>/dev/null; }
if [ ! -e certs/ca.crt ]; then
  key ca
  openssl req -x509 -new -key certs/ca.key -subj "/CN=nats CA" -days 3650 -out certs/ca.crt
  echo "made certs/ca.crt"
fi
# signed NAME EXTENSIONS
signed() {
  [ -e "certs/$1.crt" ] && return
  key "$1"
  openssl req -new -key "certs/$1.key" -subj "/CN=$1" -out "certs/$1.csr"
  printf '%s\n' "$2" >"certs/$1.ext"
  openssl x509 -req -in "certs/$1.csr" -CA certs/ca.crt -CAkey certs/ca.key -CAcreateserial -days 825 \
    -extfile "certs/$1.ext" -out "certs/$1.crt" 2>/dev/null
  rm "certs/$1.csr" "certs/$1.ext"
  echo "made certs/$1.crt"
}
signed server "subjectAltName=$names
extendedKeyUsage=serverAuth"
signed client "extendedKeyUsage=clientAuth"
