# The steps of a long run, sourced by .ci/run: `work` is a folder for what they print, `passed` and `failed` count them.
# CI systems often keep only the end of a long log, so `failed_steps` repeats the last lines of each failed step.
passed=0
failed=0
failures=()

# step NAME COMMAND…: runs it, says how long it took, and counts it. A failure does not end the run: one run tells all.
step() {
  local name=$1 start=$SECONDS log="$work/step-$((passed + failed)).log" printer result=0
  shift
  echo "── $name"
  # No pipe: the command is run by this shell, which keeps its variables. What it leaves running is not waited for either.
  exec 3> >(exec tee "$log")
  printer=$!
  "$@" >&3 2>&1 3>&- || result=$?
  exec 3>&-
  timeout 2 tail -s 0.1 --pid="$printer" -f /dev/null || true
  if [[ $result == 0 ]]; then
    passed=$((passed + 1))
    rm -f "$log"
    echo "── $name: passed, $((SECONDS - start)) s"
  else
    failed=$((failed + 1))
    failures+=("$name" "$log")
    echo "── $name: FAILED, $((SECONDS - start)) s"
  fi
}

# Each failed step with the last lines of what it printed.
failed_steps() {
  local at
  for ((at = 0; at < ${#failures[@]}; at += 2)); do
    echo "FAILED ${failures[at]}"
    tail -n 12 "${failures[at + 1]}" | sed 's/^/  /'
  done
}
