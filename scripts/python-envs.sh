#!/bin/sh
# Makes the Python environments that the real-part tests and benches compare with: .venv/litert (Google's LiteRT),
# .venv/tflm (TFLite Micro), .venv/tensorflow (TensorFlow with Keras and its own converter; 1.4 GB) and .venv/esptool
# (Espressif's esptool and NVS generator). Apart, because the wheels of the first three want different numpy versions; numpy itself only carries arrays, so pip chooses it for the Python at hand. Run
# again, it does nothing.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

# environment NAME REQUIREMENT… : a virtual environment with exactly these; its stamp is written only when all went well.
environment() {
  name=$1
  shift
  folder=.venv/$name
  wanted="$("$python" --version) $*"
  if [ -f "$folder/.stamp" ] && [ "$(cat "$folder/.stamp")" = "$wanted" ]; then
    echo "$folder is ready"
    return
  fi
  rm -rf "$folder"
  "$python" -m venv "$folder"
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: "$@"
  echo "$wanted" >"$folder/.stamp"
  echo "$folder is made"
}

environment litert ai-edge-litert==2.3.0
environment tflm tflite-micro==0.dev20261023182759
environment tensorflow tensorflow-cpu==2.18.1 keras==3.15.1
# esptool comes as source alone (pure Python).
environment esptool --no-binary=esptool,reedsolo,intelhex esptool==5.6.0 esp-idf-nvs-partition-gen==0.3.0
