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

# With a platform /pki has them, without one /certs.
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
