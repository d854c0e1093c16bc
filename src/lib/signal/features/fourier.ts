import { createChirp } from './chirp.js';
import { createStages, factorsOf } from './fourier-stages.js';

/** A prime factor above this costs more than two transforms of more than twice the length. */
const largestFactor = 60;

export interface Fourier {
  /** Bins 0..n−1 of the last transform. */
  re: Float64Array;
  im: Float64Array;
  /** X[k] = Σ x[t]·exp(−2πi·kt/n), no scaling. `input` has n samples and is left unchanged. */
  transform(input: Float64Array): void;
  /**
   * Two real signals in one transform: `first` and `second` get the real parts, then the imaginary parts of bins 0..n/2
   * (2 · (⌊n/2⌋ + 1) values each).
   */
  transformPair(a: Float64Array, b: Float64Array, first: Float64Array, second: Float64Array): void;
}

/**
 * Discrete Fourier transform of real signals of any length: mixed radix in Stockham's order (Cooley and Tukey 1965;
 * Stockham 1966), tables made once, nothing allocated by a transform; lengths with a large prime factor as a
 * convolution with a chirp (Bluestein 1970).
 */
export function createFourier(n: number): Fourier {
  const run = Math.max(1, ...factorsOf(n)) > largestFactor ? createChirp(n) : createStages(n);
  const re = new Float64Array(n);
  const im = new Float64Array(n);
  const bins = Math.floor(n / 2) + 1;
  return {
    re,
    im,
    transform(input) {
      re.set(input);
      im.fill(0);
      run(re, im);
    },
    transformPair(a, b, first, second) {
      re.set(a);
      im.set(b);
      run(re, im);
      for (let k = 0; k < bins; k++) {
        const m = k === 0 ? 0 : n - k;
        first[k] = (re[k]! + re[m]!) / 2;
        first[bins + k] = (im[k]! - im[m]!) / 2;
        second[k] = (im[k]! + im[m]!) / 2;
        second[bins + k] = (re[m]! - re[k]!) / 2;
      }
    },
  };
}
