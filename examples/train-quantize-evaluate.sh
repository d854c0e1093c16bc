#!/bin/sh
# From an empty folder to an evaluated int8 model.
#
#   examples/train-quantize-evaluate.sh [FOLDER]
#
# AIOT is the program; if unset, this clone's is used (npm run build builds it).
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
