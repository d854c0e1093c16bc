#!/bin/sh
# Starts the NATS server, and ends it after a certificate changes, so that its container restarts with the new one. A reload would delete
# retained messages. Servers restart ten minutes apart, by the number in the pod's name.
set -eu
watched() { cat /pki/server.crt /pki/nats-auth.conf /routes/tls.crt 2>/dev/null | sha256sum; }
seen=$(watched)
late=$((${POD_NAME##*-} * 600))

nats-server -c /etc/nats/nats.conf &
server=$!
trap 'kill -TERM $server; wait $server; exit 0' TERM INT
while kill -0 $server 2>/dev/null; do
  sleep 10 &
  wait $!
  [ "$(watched)" != "$seen" ] || continue
  if [ $late -le 0 ]; then kill -TERM $server || true; fi
  late=$((late - 10))
done
wait $server
