#!/bin/sh
# Starts Mosquitto with the passwords of a folder ($PASSWORDS: a file a user), and has it read its certificate anew when it changes.
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
seen=$(sha256sum </certs/tls.crt)
while kill -0 $broker 2>/dev/null; do
  sleep 5 &
  wait $!
  now=$(sha256sum </certs/tls.crt)
  if [ "$now" != "$seen" ]; then
    seen=$now
    kill -HUP $broker
  fi
done
wait $broker
