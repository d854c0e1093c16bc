# Sourced by .ci/run and .ci/nightly: defines `step`, `tests`, `pack` and `finish`, and `work`, a folder for temporary files that is
# removed at the end.
export CI=true npm_config_update_notifier=false
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
source scripts/ci/step.sh
results=()

# tests NAME FILE COMMAND…: runs Vitest. Its tests are counted individually from its report, so the run is not counted as a step.
tests() {
  local name=$1 start=$SECONDS
  results+=("$work/$2.json")
  echo "── $name"
  "${@:3}" --reporter=default --reporter=json --outputFile.json="$work/$2.json" || echo "── $name: FAILED"
  echo "── $name: $((SECONDS - start)) s"
}

pack() {
  npm pack --pack-destination "$work" >"$work/pack.log" 2>&1 || { cat "$work/pack.log"; return 1; }
  tarball=$(echo "$work"/aiot-*.tgz)
  [[ -f $tarball ]]
}

finish() {
  echo "── all: $((SECONDS / 60)) minutes"
  failed_steps
  node scripts/ci/total.js "$passed" "$failed" "${results[@]}"
}
