#!/bin/sh
# Starts Mosquitto with the passwords of a folder ($PASSWORDS: a file a user), and has it read certificates and the list of revoked ones
# anew when they change. Connections of devices that were revoked meanwhile end with it: they are cut by a restart.
set -eu
umask 077
for file in "$PASSWORDS"/*; do
  printf '%s:%s\n' "$(basename "$file")" "$(cat "$file")"
done >/tmp/passwords.plain
mosquitto_passwd -U /tmp/passwords.plain
mv /tmp/passwords.plain /tmp/passwords

mosquitto -c /mosquitto/aiot/mosquitto.conf &
broker=$!
trap 'kill -TERM $broker; wait $broker; exit 0' TERM INT
seen=$(cat /pki/devices.crl /pki/server.crt | sha256sum)
while kill -0 $broker 2>/dev/null; do
  sleep 2 &
  wait $!
  now=$(cat /pki/devices.crl /pki/server.crt | sha256sum)
  if [ "$now" != "$seen" ]; then
    seen=$now
    kill -HUP $broker
  fi
done
wait $broker
