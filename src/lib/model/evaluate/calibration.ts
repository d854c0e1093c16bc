/** Rows whose answer was given with a confidence in (low, high]. */
export interface CalibrationBin {
  low: number;
  high: number;
  rows: number;
  /** Mean confidence of these rows, and the share of them that was right. */
  confidence: number;
  accuracy: number;
}

/**
 * Expected calibration error: how far confidence and the share of right answers lie apart, averaged over equally wide
 * bins by their rows (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, equation 3: 15 bins).
 * @param confidence of a row: the probability that its answer was given, 0..1
 */
export function calibrationOf(
  rows: number,
  confidence: (row: number) => number,
  right: (row: number) => boolean,
  bins = 15,
): { error: number | null; bins: CalibrationBin[] } {
  const sums = Array.from({ length: bins }, () => ({ rows: 0, confidence: 0, right: 0 }));
  for (let row = 0; row < rows; row++) {
    const share = Math.min(1, Math.max(0, confidence(row)));
    // Bins are open below and closed above: a share of exactly 1/15 belongs to the first.
    const bin = sums[Math.max(0, Math.ceil(share * bins) - 1)]!;
    bin.rows += 1;
    bin.confidence += share;
    if (right(row)) bin.right += 1;
  }
  const filled = sums.map((sum, i) => ({
    low: i / bins,
    high: (i + 1) / bins,
    rows: sum.rows,
    confidence: sum.rows === 0 ? 0 : sum.confidence / sum.rows,
    accuracy: sum.rows === 0 ? 0 : sum.right / sum.rows,
  }));
  if (rows === 0) return { error: null, bins: filled };
  const error = filled.reduce((sum, bin) => sum + bin.rows * Math.abs(bin.accuracy - bin.confidence), 0);
  return { error: error / rows, bins: filled };
}

/**
 * Scores as shares that sum to 1: as they are where they do (a softmax), else their softmax (logits).
 * @param scores [rows × classes], row-major
 */
export function sharesOf(scores: ArrayLike<number>, classes: number): Float64Array {
  const share = shareOf(scores, classes);
  const shares = new Float64Array(scores.length);
  for (let i = 0; i < shares.length; i++) shares[i] = share(Math.floor(i / classes), i % classes);
  return shares;
}

/** The same for one class of one row at a time, without a copy of them all. */
export function shareOf(scores: ArrayLike<number>, classes: number): (row: number, c: number) => number {
  if (isDistribution(scores, classes)) return (row, c) => scores[row * classes + c]!;
  return (row, c) => {
    const start = row * classes;
    let most = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < classes; i++) most = Math.max(most, scores[start + i]!);
    let sum = 0;
    for (let i = 0; i < classes; i++) sum += Math.exp(scores[start + i]! - most);
    return Math.exp(scores[start + c]! - most) / sum;
  };
}

/** int8 outputs have steps of 1/256 and need not sum to 1 exactly. */
function isDistribution(values: ArrayLike<number>, classes: number): boolean {
  for (let start = 0; start < values.length; start += classes) {
    let sum = 0;
    for (let c = 0; c < classes; c++) {
      const value = values[start + c]!;
      if (value < -1e-6 || value > 1 + 1e-6) return false;
      sum += value;
    }
    if (Math.abs(sum - 1) > 0.01 + classes / 512) return false;
  }
  return true;
}
