# Functions for the steps of a long run, sourced by .ci/run. `work` is the folder for their output; `passed` and `failed` count them.
# CI systems often keep only the end of a long log, so `failed_steps` repeats the last lines of each failed step.
passed=0
failed=0
failures=()

# step NAME COMMAND…: runs the command, prints its duration and counts it. A failure does not end the run, so that one run finds all
# failures.
step() {
  local name=$1 start=$SECONDS log="$work/step-$((passed + failed)).log" printer result=0
  shift
  echo "── $name"
  # Not a pipe, so that the command runs in this shell, which keeps its variables. Processes that the command leaves behind do not
  # delay the end.
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

# in_background FUNCTION: runs a function's steps beside the following ones, with a lower priority. `join_background` waits for them,
# prints their output and counts them.
in_background() {
  mkdir "$work/background"
  (
    renice -n 10 "$BASHPID" >/dev/null 2>&1 || true
    work="$work/background" passed=0 failed=0 failures=()
    "$1"
    printf '%s\n' "$passed" "$failed" "${failures[@]}" >"$work/counts"
  ) >"$work/background.log" 2>&1 </dev/null &
  background=$!
}

join_background() {
  local counts=(0 1 'the steps beside npm test' "$work/background.log")
  wait "$background" || true
  cat "$work/background.log"
  # Without this file, the shell of these steps was killed.
  [[ ! -f $work/background/counts ]] || mapfile -t counts <"$work/background/counts"
  passed=$((passed + counts[0]))
  failed=$((failed + counts[1]))
  failures+=("${counts[@]:2}")
}

# Prints each failed step with the last lines of its output.
failed_steps() {
  local at
  for ((at = 0; at < ${#failures[@]}; at += 2)); do
    echo "FAILED ${failures[at]}"
    tail -n 12 "${failures[at + 1]}" | sed 's/^/  /'
  done
}
