/** Σ sign(|step| − 0.05): the original's "Wilson amplitude", which counts small steps as −1. */
export function wilsonAmplitude(signal: Float64Array): number {
  let sum = 0;
  for (let i = 1; i < signal.length; i++) sum += Math.sign(Math.abs(signal[i]! - signal[i - 1]!) - 0.05);
  return sum;
}

/** Steps at which the sign changes; 0 is a sign of its own. */
export function signChanges(signal: Float64Array): number {
  let count = 0;
  for (let i = 1; i < signal.length; i++) if (Math.sign(signal[i]!) !== Math.sign(signal[i - 1]!)) count++;
  return count;
}

/** Σ |step| */
export function waveformLength(signal: Float64Array): number {
  let sum = 0;
  for (let i = 1; i < signal.length; i++) sum += Math.abs(signal[i]! - signal[i - 1]!);
  return sum;
}

export function absoluteSum(signal: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < signal.length; i++) sum += Math.abs(signal[i]!);
  return sum;
}

export function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

export function peakToPeak(signal: Float64Array): number {
  let low = signal[0]!;
  let high = low;
  for (let i = 1; i < signal.length; i++) {
    if (signal[i]! < low) low = signal[i]!;
    if (signal[i]! > high) high = signal[i]!;
  }
  return high - low;
}

/** Pearson's correlation; 0 when one of the two is constant. */
export function correlation(a: Float64Array, b: Float64Array, meanA: number, meanB: number): number {
  let ab = 0;
  let aa = 0;
  let bb = 0;
  for (let i = 0; i < a.length; i++) {
    ab += (a[i]! - meanA) * (b[i]! - meanB);
    aa += (a[i]! - meanA) * (a[i]! - meanA);
    bb += (b[i]! - meanB) * (b[i]! - meanB);
  }
  return aa > 0 && bb > 0 ? ab / Math.sqrt(aa * bb) : 0;
}

/** Median of |x − median|. @param work of the signal's length, overwritten */
export function medianDeviation(signal: Float64Array, work: Float64Array): number {
  work.set(signal);
  const middle = medianOfSorted(work.sort());
  for (let i = 0; i < signal.length; i++) work[i] = Math.abs(signal[i]! - middle);
  return medianOfSorted(work.sort());
}

function medianOfSorted(sorted: Float64Array): number {
  const n = sorted.length;
  return n % 2 === 1 ? sorted[(n - 1) / 2]! : (sorted[n / 2 - 1]! + sorted[n / 2]!) / 2;
}
