# Sourced by .ci/run and .ci/nightly: defines `step`, `tests`, `pack` and `finish`, and `work`, a folder for temporary files that is
# removed at the end.
export CI=true npm_config_update_notifier=false
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
source scripts/ci/step.sh
results=()
deaths=()

# tests NAME FILE COMMAND…: runs Vitest. Its tests are counted individually from its report, so the run is not counted as a step. Vitest
# that ends without a report was killed or has crashed, which says nothing about the tests. It is then run once more, and `finish` prints
# how the first run ended.
tests() {
  local name=$1 report=$work/$2.json log=$work/$2.log start=$SECONDS result try
  results+=("$report")
  for try in 1 2; do
    echo "── $name"
    result=0
    "${@:3}" --reporter=default --reporter=json --outputFile.json="$report" > >(exec tee "$log") 2>&1 || result=$?
    [[ $result == 0 ]] || echo "── $name: FAILED with exit code $result"
    [[ ! -f $report ]] || break
    deaths+=("$name, run $try, ended without a report, exit code $result:" "$(tail -n 20 "$log")")
  done
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
  [[ ${#deaths[@]} == 0 ]] || printf '%s\n' "${deaths[@]}"
  node scripts/ci/total.js "$passed" "$failed" "${results[@]}"
}
