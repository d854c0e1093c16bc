/**
 * Analysis low-pass of the Symlet with four vanishing moments (Daubechies, Ten Lectures on Wavelets, table 6.3), in the
 * order of PyWavelets' `sym4`. The high-pass is its mirror with alternating signs.
 */
const low = Float64Array.of(
  -0.07576571478927333,
  -0.02963552764599851,
  0.49761866763201545,
  0.8037387518059161,
  0.29785779560527736,
  -0.09921954357684722,
  -0.012603967262037833,
  0.0322231006040427,
);
const high = low.map((_, i) => (i % 2 === 0 ? -1 : 1) * low[low.length - 1 - i]!);

/** Levels that a signal of n samples allows: floor(log2(n / (taps − 1))). */
export function waveletLevels(n: number): number {
  return Math.max(0, Math.floor(Math.log2(n / (low.length - 1))));
}

/**
 * Discrete wavelet decomposition, the signal continued by its mirror image at both ends (half-sample symmetric): one
 * coefficient a band, as far from its end as there are bands.
 * @param levels 0 = the signal itself is the only band
 * @returns writes levels + 1 values: of the approximation of the last level, then of the details from the last level to the
 *   first, each |coefficient| / length of the approximation
 */
export function createWavelet(
  n: number,
  levels: number,
): (signal: Float64Array, out: Float64Array, at: number) => void {
  const approximations: Float64Array[] = [];
  for (let level = 0, length = n; level < levels; level++) {
    length = Math.floor((length + low.length - 1) / 2);
    approximations.push(new Float64Array(length));
  }
  return (signal, out, at) => {
    const fromEnd = levels + 1;
    const last = approximations[levels - 1]?.length ?? n;
    let from = signal;
    for (let level = 0; level < levels; level++) {
      const to = approximations[level]!;
      convolve(from, to);
      out[at + levels - level] = Math.abs(coefficient(from, to.length - fromEnd, high)) / last;
      from = to;
    }
    out[at] = Math.abs(from[from.length - fromEnd]!) / last;
  };
}

const [l0, l1, l2, l3, l4, l5, l6, l7] = [...low] as [
  ...[number, number, number, number],
  ...[number, number, number, number],
];

/** The low-passed half of a signal. Written out: as a loop over the taps it was most of what the wavelets took. */
function convolve(from: Float64Array, to: Float64Array): void {
  for (let k = 0; k < to.length; k++) {
    const newest = 2 * k + 1;
    if (newest < 7 || newest >= from.length) {
      to[k] = coefficient(from, k, low);
      continue;
    }
    to[k] =
      l0 * from[newest]! +
      l1 * from[newest - 1]! +
      l2 * from[newest - 2]! +
      l3 * from[newest - 3]! +
      l4 * from[newest - 4]! +
      l5 * from[newest - 5]! +
      l6 * from[newest - 6]! +
      l7 * from[newest - 7]!;
  }
}

function coefficient(from: Float64Array, k: number, filter: Float64Array): number {
  const n = from.length;
  let sum = 0;
  for (let tap = 0; tap < filter.length; tap++) {
    let i = 2 * k + 1 - tap;
    while (i < 0 || i >= n) i = i < 0 ? -1 - i : 2 * n - 1 - i;
    sum += filter[tap]! * from[i]!;
  }
  return sum;
}
