#!/bin/sh
# Installs Home Assistant and the packages that its MQTT integration imports into .venv/home-assistant. Requires Python 3.13, from PATH or pyenv.
# A second run does nothing.
set -eu
cd "$(dirname "$0")/../.."
folder=$(readlink -f .venv)/home-assistant
requirements=scripts/parts/home-assistant.txt
if [ -f "$folder/.stamp" ] && cmp -s "$folder/.stamp" "$requirements"; then
  echo "$folder is ready"
  exit 0
fi
python=""
for each in python3.13 "$HOME"/.pyenv/versions/3.13.*/bin/python3; do
  if "$each" -c 'import venv' 2>/dev/null; then python=$each; fi
done
if [ -z "$python" ]; then
  echo "Python 3.13 is missing" >&2
  exit 1
fi
rm -rf "$folder"
"$python" -m venv "$folder"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --requirement "$requirements"
cp "$requirements" "$folder/.stamp"
echo "$folder was created"
