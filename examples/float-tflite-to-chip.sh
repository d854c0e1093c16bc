#!/bin/sh
# Runs every command of docs/how-to/quantize-your-own-model.md, in its order, in a folder of its own.
#
#   examples/float-tflite-to-chip.sh [FOLDER]
#
# AIOT names the program (unset: this clone's), PYTHON a Python with TensorFlow (unset: the one that `npm run parts -- tensorflow` made).
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
page=$here/docs/how-to/quantize-your-own-model.md
folder=${1:-$(mktemp -d)}
mkdir -p "$folder/bin"
cd "$folder"

# The page says `aiot` and `python`: links of these names, before all others.
ln -sf "${AIOT:-$here/bin/run.js}" bin/aiot
printf '#!/bin/sh\nexec "%s" "$@"\n' "${PYTHON:-$here/.venv/tensorflow/bin/python}" >bin/python
chmod +x bin/python
PATH=$folder/bin:$PATH
export PATH TF_CPP_MIN_LOG_LEVEL=3

# A fence's language says what its lines are: sh = commands, python = the program that the page tells to save.
awk '/^```sh$/ { to = "commands.sh"; next } /^```python$/ { to = "train_float.py"; next } /^```/ { to = ""; next } to { print > to }' "$page"
sh -eux commands.sh
echo "Everything is in $folder"
