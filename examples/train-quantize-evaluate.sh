#!/bin/sh
# From nothing to an evaluated int8 model, in a folder of its own.
#
#   examples/train-quantize-evaluate.sh [FOLDER]
#
# AIOT names the program; unset, it is this clone's (npm run build makes it).
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
