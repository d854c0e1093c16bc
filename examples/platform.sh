#!/bin/sh
# Starts a platform, adds a user and a device, stores, labels and exports the device's data, and lists the events. Then restores the
# platform from a backup to another folder, where the same token and device still work.
#
#   examples/platform.sh [FOLDER]
#
# AIOT is the program; if it is not set, the script uses this clone's program (built with npm run build).
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
aiot=${AIOT:-"$here/bin/run.js"}
folder=${1:-$(mktemp -d)}
mkdir -p "$folder"
cd "$folder"
# Separate configuration and data folders, so that your own contexts are not changed.
export AIOT_CONFIG_DIR="$folder/config" AIOT_DATA_DIR="$folder/data"

running=""
trap '[ -z "$running" ] || "$aiot" down --data "$running" || true' EXIT
running="$folder/first"
"$aiot" up --data "$running" --http-port 0 --mqtt-port 0 --detach

"$aiot" user add alice --role viewer
"$aiot" token create laptop --user alice --role viewer --expires 30d --json >token.json
"$aiot" token list

"$aiot" device provision bench-1 --type virtual --out bench-1
"$aiot" device tag bench-1 site=lab
"$aiot" device simulate bench-1 --recording "$here/templates/har-imu/data/recordings/walking1.csv" --for 3s
"$aiot" device list --selector 'type=virtual and site=lab'

"$aiot" data list motion
"$aiot" data label motion/bench-1/walking1 walking
"$aiot" data export motion --out motion.csv --format csv
head -n 3 motion.csv
grep -q '^bench-1,walking1,0,.*,walking,' motion.csv

"$aiot" events tail --from 0 --count 5

printf 'a passphrase of some length\n' >passphrase.txt
"$aiot" backup create platform.tar --passphrase-file passphrase.txt
"$aiot" down --data "$running"
running="$folder/second"
"$aiot" backup restore platform.tar --data "$running" --passphrase-file passphrase.txt
"$aiot" up --data "$running" --http-port 0 --mqtt-port 0 --detach
"$aiot" device list --json >devices.json
grep -q '"name":"bench-1"' devices.json
"$aiot" device list
"$aiot" down --data "$running"
running=""
echo "Everything is in $folder"
