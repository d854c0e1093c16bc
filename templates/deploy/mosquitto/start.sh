#!/bin/sh
# Starts Mosquitto with the passwords in a folder ($PASSWORDS: one file for each user), and reloads certificates and the revocation list
# when they change. Only a restart closes open connections of revoked devices.
set -eu
umask 077
for file in "$PASSWORDS"/*; do
  printf '%s:%s\n' "$(basename "$file")" "$(cat "$file")"
done >/tmp/passwords.plain
mosquitto_passwd -U /tmp/passwords.plain
mv /tmp/passwords.plain /tmp/passwords

# The files are in /pki with a platform, otherwise in /certs.
watched() { cat /pki/devices.crl /pki/server.crt /certs/tls.crt 2>/dev/null | sha256sum; }

mosquitto -c /mosquitto/aiot/mosquitto.conf &
broker=$!
trap 'kill -TERM $broker; wait $broker; exit 0' TERM INT
seen=$(watched)
while kill -0 $broker 2>/dev/null; do
  sleep 2 &
  wait $!
  now=$(watched)
  if [ "$now" != "$seen" ]; then
    seen=$now
    kill -HUP $broker
  fi
done
wait $broker
