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
 * @param confidence probability that each row's answer was given, 0..1
 */
export function calibrationOf(
  confidence: ArrayLike<number>,
  right: (row: number) => boolean,
  bins = 15,
): { error: number | null; bins: CalibrationBin[] } {
  const sums = Array.from({ length: bins }, () => ({ rows: 0, confidence: 0, right: 0 }));
  for (let row = 0; row < confidence.length; row++) {
    const share = Math.min(1, Math.max(0, confidence[row]!));
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
  if (confidence.length === 0) return { error: null, bins: filled };
  const error = filled.reduce((sum, bin) => sum + bin.rows * Math.abs(bin.accuracy - bin.confidence), 0);
  return { error: error / confidence.length, bins: filled };
}

/**
 * Scores as shares that sum to 1: as they are where they do (a softmax), else their softmax (logits).
 * @param scores [rows × classes], row-major
 */
export function sharesOf(scores: ArrayLike<number>, classes: number): Float64Array {
  const shares = Float64Array.from(scores);
  if (isDistribution(shares, classes)) return shares;
  for (let start = 0; start < shares.length; start += classes) {
    const row = shares.subarray(start, start + classes);
    const most = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    let sum = 0;
    for (let c = 0; c < classes; c++) {
      row[c] = Math.exp(row[c]! - most);
      sum += row[c]!;
    }
    for (let c = 0; c < classes; c++) row[c]! /= sum;
  }
  return shares;
}

/** int8 outputs have steps of 1/256 and need not sum to 1 exactly. */
function isDistribution(values: Float64Array, classes: number): boolean {
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
