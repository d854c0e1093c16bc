# Sourced by .ci/run and .ci/nightly: defines `step`, `tests`, `pack` and `finish`, and `work`, a folder for temporary files that is
# removed at the end.
export CI=true npm_config_update_notifier=false
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
source scripts/ci/step.sh
results=()
deaths=()

# Sets `cpu` to the CPU time of all processes that this shell has waited for, with their children, in seconds. Not printed, because `times`
# in a subshell would not include them. Compared with the duration of tests, it shows if they compute or wait.
measure_cpu() {
  local children
  times >"$work/times"
  children=$(tail -n 1 "$work/times")
  cpu=$(sed 's/[ms]/ /g' <<<"$children" | awk '{ printf "%d", ($1 + $3) * 60 + $2 + $4 }')
}

# tests NAME FILE COMMAND…: runs Vitest. Its tests are counted individually from its report, so the run is not counted as a step. Vitest
# that ends without a report was killed or has crashed, which says nothing about the tests. It is then run once more, and `finish` prints
# how the first run ended.
tests() {
  local name=$1 report=$work/$2.json log=$work/$2.log start=$SECONDS cpu before result try
  measure_cpu
  before=$cpu
  results+=("$report")
  for try in 1 2; do
    echo "── $name"
    result=0
    "${@:3}" --reporter=default --reporter=json --outputFile.json="$report" > >(exec tee "$log") 2>&1 || result=$?
    [[ $result == 0 ]] || echo "── $name: FAILED with exit code $result"
    [[ ! -f $report ]] || break
    deaths+=("$name, run $try, ended without a report, exit code $result:" "$(tail -n 20 "$log")")
  done
  measure_cpu
  echo "── $name: $((SECONDS - start)) s, CPU time $((cpu - before)) s"
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
