#!/bin/sh
# Creates, trains, quantizes and evaluates an int8 model, from an empty folder.
#
#   examples/train-quantize-evaluate.sh [FOLDER]
#
# AIOT is the program; if it is not set, the script uses this clone's program (built with npm run build).
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
aiot=${AIOT:-"$here/bin/run.js"}
folder=${1:-$(mktemp -d)/my-watch}

"$aiot" init "$folder" --template har-imu
"$aiot" data check --project "$folder"
"$aiot" model train --project "$folder"
"$aiot" model quantize --project "$folder"
"$aiot" model evaluate --project "$folder"
echo "The project is in $folder"
