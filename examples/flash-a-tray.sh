#!/bin/sh
# Flashes four simulated boards at once, then updates one of them over its cable. This needs no hardware.
#
#   examples/flash-a-tray.sh [FOLDER]
#
# AIOT is the program; if it is not set, the script uses this clone's program (built with npm run build).
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
aiot=${AIOT:-"$here/bin/run.js"}
folder=${1:-$(mktemp -d)}
mkdir -p "$folder"
cd "$folder"

# A partition table with two app slots, and placeholder data.
cat >table.csv <<CSV
nvs,     data, nvs,   0x9000,  0x5000,
otadata, data, ota,   0xe000,  0x2000,
ota_0,   app,  ota_0, 0x10000, 1M,
ota_1,   app,  ota_1, ,        1M,
CSV
"$aiot" firmware partitions create table.csv table.bin --quiet
head -c 300000 /dev/urandom >data.bin

# A tray of boards: each board is a simulated chip on a TCP port.
boards=""
ports=""
trap 'for pid in $boards; do kill "$pid" 2>/dev/null || true; done' EXIT
for n in 1 2 3 4; do
  "$aiot" board simulate --chip esp32 --listen "socket://127.0.0.1:$((7100 + n))" --mac "24:0a:c4:00:01:0$n" --quiet >/dev/null 2>&1 &
  boards="$boards $!"
  ports="$ports --port socket://127.0.0.1:$((7100 + n))"
done
for n in 1 2 3 4; do
  tries=0
  until "$aiot" board info --port "socket://127.0.0.1:$((7100 + n))" --quiet >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 20 ] || exit 1
    sleep 0.5
  done
done

# shellcheck disable=SC2086 # one word per flag
"$aiot" flash table.bin@0x8000 data.bin@0x210000 $ports --jobs 4 --record boards.csv
# Nothing has changed, so nothing is written.
# shellcheck disable=SC2086
"$aiot" flash table.bin@0x8000 data.bin@0x210000 $ports --quiet
cat boards.csv
echo "Everything is in $folder"
