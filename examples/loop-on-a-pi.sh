#!/bin/sh
# Runs the templates as on a Raspberry Pi, with simulated sensors and real servers: activity predictions go to NATS and Redis, the motor's
# predictions to a file, and the camera's faces to another file. Needs nats-server and redis-server. Missing models are trained and cached.
#
#   examples/loop-on-a-pi.sh [FOLDER]
#
# AIOT is the program; if it is not set, the script uses this clone's program (built with npm run build).
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
aiot=${AIOT:-"$here/bin/run.js"}
folder=${1:-$(mktemp -d)}
mkdir -p "$folder"
cd "$folder"
PATH=$PATH:/usr/sbin
nats=${NATS_PORT:-7222}
redis=${REDIS_PORT:-7379}

servers=""
trap 'for pid in $servers; do kill "$pid" 2>/dev/null || true; done' EXIT
nats-server -a 127.0.0.1 -p "$nats" -js -sd "$folder/jetstream" >nats.log 2>&1 &
servers="$servers $!"
redis-server --bind 127.0.0.1 --port "$redis" --save '' --dir "$folder" >redis.log 2>&1 &
servers="$servers $!"
tries=0
until "$aiot" stream check "nats://127.0.0.1:$nats" --quiet >/dev/null 2>&1 && "$aiot" stream check "redis://127.0.0.1:$redis/x" --quiet >/dev/null 2>&1; do
  tries=$((tries + 1))
  [ "$tries" -lt 20 ] || { cat nats.log redis.log >&2; exit 1; }
  sleep 0.5
done

# The end-to-end result: the first label arrives on NATS, and the last one is in Redis.
"$aiot" stream tail "nats://127.0.0.1:$nats/activity" --expect 'label = voted and $count(scores) = 3' --within 120s --json >heard.ndjson &
heard=$!
"$aiot" loop run --project "$here/templates/har-imu" --simulate --for 12s --send always \
  --out "nats://127.0.0.1:$nats/activity" --out "redis://127.0.0.1:$redis/activity?body=label" --json
wait "$heard"
label=$(redis-cli -h 127.0.0.1 -p "$redis" get activity)
case $label in
  resting | walking | stairs) echo "Redis says $label" ;;
  *) echo "Redis says '$label'" >&2; exit 1 ;;
esac

# Predictions of the motor's health.
"$aiot" loop run --project "$here/templates/motor-watch" --simulate --for 10s --send always --out "file://$folder/motor.ndjson" --json
grep -q '"voted":"normal"\|"voted":"anomaly"' motor.ndjson

# Faces, as gray PNG files.
"$aiot" loop run --project "$here/templates/face-camera" --simulate --for 6s --out "file://$folder/faces.ndjson" --json
test -s faces.ndjson
echo "Everything is in $folder"
