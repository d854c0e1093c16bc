import { turn } from '../turn.js';
import { createStages } from './fourier-stages.js';

/**
 * Complex transform in place of any length n by two transforms of a length that is made of twos and fives (Bluestein 1970):
 * k·t = (k² + t² − (k − t)²)/2 makes the sum a convolution with a chirp. For lengths with a large prime factor.
 */
export function createChirp(n: number): (re: Float64Array, im: Float64Array) => void {
  const m = smoothFrom(2 * n - 1);
  const run = createStages(m);
  const cos = new Float64Array(n);
  const sin = new Float64Array(n);
  // The chirp turned the other way, transformed once.
  const filterRe = new Float64Array(m);
  const filterIm = new Float64Array(m);
  for (let k = 0; k < n; k++) {
    // k² modulo a whole turn keeps the angle exact.
    const angle = turn((k * k) % (2 * n), 2 * n);
    cos[k] = angle.cos;
    sin[k] = angle.sin;
    filterRe[k] = cos[k]! / m;
    filterIm[k] = sin[k]! / m;
    if (k > 0) {
      filterRe[m - k] = filterRe[k]!;
      filterIm[m - k] = filterIm[k]!;
    }
  }
  run(filterRe, filterIm);
  const workRe = new Float64Array(m);
  const workIm = new Float64Array(m);
  return (re, im) => {
    for (let k = 0; k < n; k++) {
      workRe[k] = re[k]! * cos[k]! + im[k]! * sin[k]!;
      workIm[k] = im[k]! * cos[k]! - re[k]! * sin[k]!;
    }
    workRe.fill(0, n);
    workIm.fill(0, n);
    run(workRe, workIm);
    for (let k = 0; k < m; k++) {
      const a = workRe[k]!;
      const b = workIm[k]!;
      workRe[k] = a * filterRe[k]! - b * filterIm[k]!;
      // Its sign turned: a transform of the conjugate is the inverse's conjugate.
      workIm[k] = -(a * filterIm[k]! + b * filterRe[k]!);
    }
    run(workRe, workIm);
    for (let k = 0; k < n; k++) {
      const a = workRe[k]!;
      const b = -workIm[k]!;
      re[k] = a * cos[k]! + b * sin[k]!;
      im[k] = b * cos[k]! - a * sin[k]!;
    }
  };
}

/** The smallest number of twos and fives alone that is no smaller. */
function smoothFrom(least: number): number {
  let best = Number.POSITIVE_INFINITY;
  for (let fives = 1; fives < 2 * least; fives *= 5) {
    let value = fives;
    while (value < least) value *= 2;
    best = Math.min(best, value);
  }
  return best;
}
