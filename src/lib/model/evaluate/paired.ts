/** Two models' answers to the same rows. */
export interface PairedDifference {
  rows: number;
  /** Accuracy of B minus accuracy of A. */
  difference: number;
  /** 95 % interval of the difference. */
  interval: [number, number];
  bothRight: number;
  onlyARight: number;
  onlyBRight: number;
  bothWrong: number;
  /** McNemar's exact test: how probable a split of the disagreements at least this uneven is, were both equally good. */
  p: number;
}

/**
 * Whether two models differ, judged on the rows where exactly one of them is right. Interval: Agresti and Min, "Simple
 * improved confidence intervals for comparing matched proportions" (Statistics in Medicine 24, 2005): Wald's with half a
 * row added to each cell. Test: McNemar, exact (binomial, two-sided).
 */
export function pairedDifference(
  rows: number,
  aRight: (row: number) => boolean,
  bRight: (row: number) => boolean,
): PairedDifference {
  let [bothRight, onlyARight, onlyBRight, bothWrong] = [0, 0, 0, 0];
  for (let row = 0; row < rows; row++) {
    const [a, b] = [aRight(row), bRight(row)];
    if (a && b) bothRight += 1;
    else if (a) onlyARight += 1;
    else if (b) onlyBRight += 1;
    else bothWrong += 1;
  }
  const z = 1.959964;
  const [n, gained, lost] = [rows + 2, onlyBRight + 0.5, onlyARight + 0.5];
  const middle = (gained - lost) / n;
  const half = (z / n) * Math.sqrt(gained + lost - (gained - lost) ** 2 / n);
  return {
    rows,
    difference: rows === 0 ? 0 : (onlyBRight - onlyARight) / rows,
    interval: [Math.max(-1, middle - half), Math.min(1, middle + half)],
    bothRight,
    onlyARight,
    onlyBRight,
    bothWrong,
    p: signTest(onlyARight, onlyBRight),
  };
}

/** Two-sided binomial test of `a` against `b` with even chances. */
function signTest(a: number, b: number): number {
  const n = a + b;
  let logChoose = 0;
  let tail = 0;
  for (let k = 0; k <= Math.min(a, b); k++) {
    if (k > 0) logChoose += Math.log(n - k + 1) - Math.log(k);
    tail += Math.exp(logChoose - n * Math.LN2);
  }
  return Math.min(1, 2 * tail);
}
