import { median } from './median.js';

/** What one pass over an axis gives. */
export interface AxisSums {
  mean: number;
  absolute: number;
  low: number;
  high: number;
  /** Σ |step| */
  waveform: number;
  /** Σ sign(|step| − 0.05): the original's "Wilson amplitude", which counts small steps as −1. */
  wilson: number;
  /** Steps at which the sign changes; 0 is a sign of its own. */
  signChanges: number;
}

export function emptySums(): AxisSums {
  return {
    mean: 0,
    absolute: 0,
    low: 0,
    high: 0,
    waveform: 0,
    wilson: 0,
    signChanges: 0,
  };
}

/** @param centred gets the signal without its mean */
export function axisSums(signal: Float64Array, centred: Float64Array, out: AxisSums): void {
  const n = signal.length;
  let before = signal[0]!;
  let sum = before;
  let absolute = Math.abs(before);
  let low = before;
  let high = before;
  let waveform = 0;
  let wilson = 0;
  let signChanges = 0;
  for (let i = 1; i < n; i++) {
    const x = signal[i]!;
    sum += x;
    absolute += x < 0 ? -x : x;
    if (x < low) low = x;
    if (x > high) high = x;
    const step = Math.abs(x - before);
    waveform += step;
    if (step > 0.05) wilson++;
    else if (step < 0.05) wilson--;
    if (x > 0 !== before > 0 || x < 0 !== before < 0) signChanges++;
    before = x;
  }
  const mean = sum / n;
  for (let i = 0; i < n; i++) {
    centred[i] = signal[i]! - mean;
  }
  out.mean = mean;
  out.absolute = absolute;
  out.low = low;
  out.high = high;
  out.waveform = waveform;
  out.wilson = wilson;
  out.signChanges = signChanges;
}

export function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

/** Pearson's correlation of two signals without their means; 0 when one of the two is constant. */
export function correlation(a: Float64Array, b: Float64Array, squaresA: number, squaresB: number): number {
  return squaresA > 0 && squaresB > 0 ? dot(a, b) / Math.sqrt(squaresA * squaresB) : 0;
}

/** Median of |x − median|. @param work of the signal's length, overwritten */
export function medianDeviation(signal: Float64Array, work: Float64Array): number {
  work.set(signal);
  const middle = median(work);
  for (let i = 0; i < signal.length; i++) work[i] = Math.abs(signal[i]! - middle);
  return median(work);
}
