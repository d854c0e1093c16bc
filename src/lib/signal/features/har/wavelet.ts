/**
 * Analysis low-pass of the Symlet with four vanishing moments (Daubechies, Ten Lectures on Wavelets, table 6.3), in the
 * order of PyWavelets' `sym4`. The high-pass is its mirror with alternating signs.
 */
const low = [
  -0.07576571478927333, -0.02963552764599851, 0.49761866763201545, 0.8037387518059161, 0.29785779560527736,
  -0.09921954357684722, -0.012603967262037833, 0.0322231006040427,
];
const high = low.map((_, i) => (i % 2 === 0 ? -1 : 1) * low[low.length - 1 - i]!);

/** Levels that a signal of n samples allows: floor(log2(n / (taps − 1))). */
export function waveletLevels(n: number): number {
  return Math.floor(Math.log2(n / (low.length - 1)));
}

export interface WaveletBands {
  /** Approximation of the last level, then the details from the last level to the first. */
  bands: Float64Array[];
  compute(signal: Float64Array): void;
}

/** Discrete wavelet decomposition, the signal continued by its mirror image at both ends (half-sample symmetric). */
export function createWavelet(n: number, levels: number): WaveletBands {
  const approximations: Float64Array[] = [];
  const details: Float64Array[] = [];
  for (let level = 0, length = n; level < levels; level++) {
    length = Math.floor((length + low.length - 1) / 2);
    approximations.push(new Float64Array(length));
    details.push(new Float64Array(length));
  }
  return {
    bands: [approximations[levels - 1]!, ...[...details].reverse()],
    compute(signal) {
      let from = signal;
      for (let level = 0; level < levels; level++) {
        const approximation = approximations[level]!;
        const detail = details[level]!;
        for (let k = 0; k < approximation.length; k++) {
          let a = 0;
          let d = 0;
          for (let tap = 0; tap < low.length; tap++) {
            const x = mirrored(from, 2 * k + 1 - tap);
            a += low[tap]! * x;
            d += high[tap]! * x;
          }
          approximation[k] = a;
          detail[k] = d;
        }
        from = approximation;
      }
    },
  };
}

function mirrored(signal: Float64Array, index: number): number {
  const n = signal.length;
  let i = index;
  while (i < 0 || i >= n) i = i < 0 ? -1 - i : 2 * n - 1 - i;
  return signal[i]!;
}
