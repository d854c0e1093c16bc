#!/bin/sh
# Makes the Python environments that the real-part tests and benches compare with: .venv/litert (Google's LiteRT),
# .venv/tflm (TFLite Micro), .venv/tensorflow (TensorFlow with Keras and its own converter; 1.4 GB), .venv/esptool
# (Espressif's esptool and NVS generator) and .venv/streams (other people's Parquet, Avro, CBOR, MessagePack and Protobuf, the
# signatures of Standard Webhooks, moto's S3, and the NATS client and tables of the motion system's original), .venv/prometheus
# (its client), .venv/har (what its extractor computes with), .venv/delta (detools, the format of our patches), .venv/ci (junitparser, check-jsonschema), .venv/sbom (CycloneDX's own schemas and their judge) and .venv/guide (what the
# guide's steps speak with). Apart, because the wheels of the first three want different numpy versions; numpy itself only carries arrays, so pip chooses it for the Python at hand. Run
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
environment streams pyarrow==26.0.1 fastavro==1.13.1 cbor2==6.2.1 msgpack==1.2.4 protobuf==7.36.2 standardwebhooks==1.1.0 \
  moto==5.2.5 flask==3.1.3 flask-cors==6.0.5 pandas==3.1.1 --no-binary=nats-py nats-py==2.3.1
# The reader of Prometheus' text format, for what a loop tells on /metrics.
environment prometheus prometheus_client==0.26.0
# The libraries of the motion system's extractor, and signal processing to judge ours.
environment har numpy==2.4.6 scipy==1.17.1 pandas==3.1.1 PyWavelets==1.9.0 statsmodels==0.15.0
# What the platform is attacked with and spoken to by: a fuzzer of OpenAPI, the Eclipse MQTT client, and uploads that are resumed.
environment platform schemathesis==4.32.5 paho-mqtt==2.1.0 tuspy==1.1.0
# Patches of delta updates: their format's own tools, which apply ours and make some that we apply.
# It comes as source alone, with a C compiler for its extension.
environment delta --no-binary=detools detools==0.53.0
# The client libraries that the guide's steps in Python have, in the versions of its time.
environment guide --no-binary=paho-mqtt kafka-python==2.0.2 paho-mqtt==1.6.1 requests==2.34.2
# Readers of what CI systems read: JUnit's XML, and the schemas of GitHub's and GitLab's files.
environment ci junitparser==5.0.3 check-jsonschema==0.39.0
# Who holds a bill of materials to CycloneDX's schema.
environment sbom 'cyclonedx-python-lib[json-validation]==11.12.0'
