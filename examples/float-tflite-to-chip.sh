#!/bin/sh
# Runs every command of docs/how-to/quantize-your-own-model.md, in order, in a separate folder.
#
#   examples/float-tflite-to-chip.sh [FOLDER]
#
# AIOT is the program (default: this clone's). PYTHON is a Python with TensorFlow (default: the one installed by `npm run parts --
# tensorflow`).
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
page=$here/docs/how-to/quantize-your-own-model.md
folder=${1:-$(mktemp -d)}
mkdir -p "$folder/bin"
cd "$folder"

# The page calls `aiot` and `python`, so a folder with programs of these names comes first on the PATH.
ln -sf "${AIOT:-$here/bin/run.js}" bin/aiot
printf '#!/bin/sh\nexec "%s" "$@"\n' "${PYTHON:-$here/.venv/tensorflow/bin/python}" >bin/python
chmod +x bin/python
PATH=$folder/bin:$PATH
export PATH TF_CPP_MIN_LOG_LEVEL=3

# The language of a code block shows its use: sh for commands, python for the program to save.
awk '/^```sh$/ { to = "commands.sh"; next } /^```python$/ { to = "train_float.py"; next } /^```/ { to = ""; next } to { print > to }' "$page"
sh -eux commands.sh
echo "Everything is in $folder"
