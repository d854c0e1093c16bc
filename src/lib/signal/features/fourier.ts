/** Prime factors of n, smallest first. */
function factorsOf(n: number): number[] {
  const factors: number[] = [];
  for (let p = 2, rest = n; rest > 1; p++) {
    for (; rest % p === 0; rest /= p) factors.push(p);
  }
  return factors.length > 0 ? factors : [1];
}

export interface Fourier {
  /** Bins 0..n−1 of the last transform. */
  re: Float64Array;
  im: Float64Array;
  /** X[k] = Σ x[t]·exp(−2πi·kt/n), no scaling. `input` has n samples and is left unchanged. */
  transform(input: Float64Array): void;
}

/**
 * Discrete Fourier transform of real signals of any length, decimation in time over the length's prime factors
 * (Cooley and Tukey 1965): plain loops and two tables, so that C computes the same. A large prime factor p costs n·p.
 */
export function createFourier(n: number): Fourier {
  const factors = factorsOf(n);
  const cos = new Float64Array(n);
  const sin = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    cos[i] = Math.cos((2 * Math.PI * i) / n);
    sin[i] = -Math.sin((2 * Math.PI * i) / n);
  }
  const largest = Math.max(...factors);
  const partRe = new Float64Array(largest);
  const partIm = new Float64Array(largest);
  const re = new Float64Array(n);
  const im = new Float64Array(n);

  /** Transform of input[from], input[from + step], … (n/step of them) into re, im at `to`. */
  function stage(input: Float64Array, from: number, step: number, to: number, depth: number): void {
    const p = factors[depth]!;
    const m = n / step / p;
    for (let q = 0; q < p; q++) {
      if (m === 1) {
        re[to + q] = input[from + q * step]!;
        im[to + q] = 0;
      } else {
        stage(input, from + q * step, step * p, to + q * m, depth + 1);
      }
    }
    for (let u = 0; u < m; u++) {
      for (let q = 0; q < p; q++) {
        partRe[q] = re[to + u + q * m]!;
        partIm[q] = im[to + u + q * m]!;
      }
      for (let k = u; k < p * m; k += m) {
        let sumRe = partRe[0]!;
        let sumIm = partIm[0]!;
        const turn = k * step;
        let angle = 0;
        for (let q = 1; q < p; q++) {
          angle += turn;
          if (angle >= n) angle -= n;
          const c = cos[angle]!;
          const s = sin[angle]!;
          sumRe += partRe[q]! * c - partIm[q]! * s;
          sumIm += partRe[q]! * s + partIm[q]! * c;
        }
        re[to + k] = sumRe;
        im[to + k] = sumIm;
      }
    }
  }
  return { re, im, transform: (input) => stage(input, 0, 1, 0, 0) };
}
