#!/bin/sh
# Tests an installation on three machines: creates a K3s cluster in Docker (k3d), applies what `aiot deploy render` renders, runs 50 devices,
# deletes the primary database, a node of Garage and a replica of the platform, and restarts all replicas one after another. Fails unless
# everything recovers with all devices.
#
# Needs docker, k3d 5, kubectl, openssl, npm and 8 GB of memory, downloads images, and takes about 15 minutes. KEEP=1 keeps the cluster.
# BROKER=nats connects the devices to three NATS servers instead of Mosquitto, and deletes one of them, too.
set -eu
cd "$(dirname "$0")/../.."
for program in docker k3d kubectl openssl npm; do
  command -v "$program" >/dev/null || { echo "no $program here" >&2; exit 1; }
done
certificates=https://github.com/cert-manager/cert-manager/releases/download/v1.21.2/cert-manager.yaml
databases=https://raw.githubusercontent.com/cloudnative-pg/cloudnative-pg/release-1.28/releases/cnpg-1.28.0.yaml
cluster=aiot-check-$$
work=$(mktemp -d)
KUBECONFIG=$work/kubeconfig
AIOT_CONFIG_DIR=$work/config
export KUBECONFIG AIOT_CONFIG_DIR

end() {
  status=$?
  [ -z "${first:-}" ] || kill "$first" 2>/dev/null || true
  [ -z "${devices:-}" ] || kill "$devices" 2>/dev/null || true
  if [ "$status" != 0 ]; then kubectl -n aiot get pods,events 2>/dev/null | tail -60 || true; fi
  if [ "${KEEP:-}" = 1 ]; then
    echo "kept: export KUBECONFIG=$KUBECONFIG; to delete: k3d cluster delete $cluster"
  else
    k3d cluster delete "$cluster" >/dev/null 2>&1 || true
    rm -rf "$work"
  fi
  exit "$status"
}
trap end EXIT
aiot() { node bin/run.js "$@"; }
step() { printf '\n== %s\n' "$1"; }
in_pods() { kubectl -n aiot "$@"; }
ready() {
  in_pods wait --for=condition=Ready cluster/database --timeout=600s
  in_pods rollout status statefulset/objects --timeout=600s
  in_pods rollout status statefulset/broker --timeout=600s
  in_pods rollout status deployment/platform --timeout=600s
}

case "${BROKER:-mosquitto}" in
  mosquitto) broker='{}' ;;
  nats) broker='{ engine: nats, servers: 3 }' ;;
  *) echo 'expected BROKER=mosquitto or BROKER=nats' >&2; exit 2 ;;
esac

step 'image'
npm run build >/dev/null
version=$(node -p "require('./package.json').version")
image=registry.internal:5000/aiot:$version
docker build --tag "$image" .

step 'cluster'
k3d cluster create "$cluster" --servers 1 --agents 3 --wait -p '8443:8443@loadbalancer' -p '8883:8883@loadbalancer' --kubeconfig-update-default=false
k3d kubeconfig get "$cluster" >"$KUBECONFIG"
chmod 600 "$KUBECONFIG"
k3d image import "$image" --cluster "$cluster"
kubectl apply --server-side -f "$certificates" -f "$databases"
kubectl -n cert-manager wait --for=condition=Available deployment --all --timeout=300s
kubectl -n cnpg-system wait --for=condition=Available deployment --all --timeout=300s

step 'installation'
cat >"$work/deploy.yaml" <<YAML
name: aiot
hosts: [localhost, 127.0.0.1]
platform: { replicas: 3 }
database: { instances: 3, size: 2Gi }
objects: { servers: 3, size: 2Gi }
broker: $broker
kafka: false
argo: false
YAML
aiot deploy render --target k3s --values "$work/deploy.yaml" --out "$work/k3s"
(cd "$work/k3s" && sh secrets.sh)
aiot deploy check "$work/k3s"
kubectl apply -f "$work/k3s/base/namespace.yaml"
kubectl apply -k "$work/k3s/secrets"
kubectl apply --server-side -k "$work/k3s"
ready

step 'first token'
in_pods exec deploy/platform -- /nodejs/bin/node /app/bin/run.js up --new-token --data /tmp/first --http-port 0 --mqtt-port 0 --json >"$work/first.json" &
first=$!
for try in $(seq 120); do
  grep -q '"token":"' "$work/first.json" && break
  [ "$try" = 120 ] && { echo 'no token within two minutes' >&2; exit 1; }
  sleep 1
done
sed -n 's/.*"token":"\([^"]*\)".*/\1/p' "$work/first.json" | head -1 >"$work/token"
kill "$first"
first=
in_pods get secret platform-tls -o jsonpath='{.data.ca\.crt}' | base64 -d >"$work/ca.crt"
aiot context add check --url https://localhost:8443 --mqtt mqtts://localhost:8883 --ca "$work/ca.crt" --token-file - <"$work/token"
aiot status

step 'fifty devices'
aiot fleet simulate --count 50 --for 20m >"$work/devices.log" 2>&1 &
devices=$!
online() { aiot status --json | sed -n 's/.*"online":\([0-9]*\).*/\1/p'; }
all_online() {
  for try in $(seq 120); do
    [ "$(online 2>/dev/null || echo 0)" = 50 ] && return
    sleep 2
  done
  echo "not all devices are online again: $(online)" >&2
  exit 1
}
all_online

primary=$(in_pods get cluster database -o jsonpath='{.status.currentPrimary}')
replica=$(in_pods get pods -l app.kubernetes.io/name=platform -o name | head -1)
case "${BROKER:-mosquitto}" in
  nats) server=pod/broker-0 ;;
  *) server= ;;
esac
for lost in "pod/$primary" pod/objects-0 "$replica" $server; do
  step "without $lost"
  in_pods delete "$lost" --grace-period=0 --force --wait=false
  sleep 20
  all_online
  ready
done
[ "$(in_pods get cluster database -o jsonpath='{.status.currentPrimary}')" != "$primary" ] || { echo 'the primary did not change' >&2; exit 1; }
step 'rolling restart, as in an upgrade'
in_pods rollout restart deployment/platform
in_pods rollout status deployment/platform --timeout=600s
all_online
aiot status
step 'done: everything recovered'
