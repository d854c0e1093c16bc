import { turn } from './turn.js';

/** Largest prime factor that is transformed directly. For larger factors, two transforms of more than twice the length are faster. */
const largestFactor = 60;

interface Fourier {
  /** Bins 0..n−1 of the last transform. */
  re: Float64Array;
  im: Float64Array;
  /** X[k] = Σ x[t]·exp(−2πi·kt/n), without scaling. `input` has n samples and is left unchanged. */
  transform(input: Float64Array): void;
  /**
   * Transforms two real signals at once: `first` and `second` each receive the real parts, then the imaginary parts, of bins 0..n/2 (2 ·
   * (⌊n/2⌋ + 1) values).
   */
  transformPair(a: Float64Array, b: Float64Array, first: Float64Array, second: Float64Array): void;
}

/**
 * Discrete Fourier transform of real signals of any length. Mixed radix in Stockham's order (Cooley and Tukey 1965; Stockham 1966), with
 * tables made once and no allocation per transform. Lengths with a large prime factor are computed as a convolution with a chirp
 * (Bluestein 1970).
 */
export function createFourier(n: number): Fourier {
  const run = createComplexFourier(n);
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

/**
 * Discrete Fourier transform of complex signals, in place over `re` and `im`, which have n values each. A call with `(im, re)` computes the
 * inverse times n.
 */
export function createComplexFourier(n: number): (re: Float64Array, im: Float64Array) => void {
  return Math.max(1, ...factorsOf(n)) > largestFactor ? createChirp(n) : createStages(n);
}

/** Factors of n: fours first, then primes, smallest first. @throws RangeError unless n is an integer of at least 1 */
function factorsOf(n: number): number[] {
  if (!Number.isSafeInteger(n) || n < 1)
    throw new RangeError(`expected an integer length of at least 1, got ${n}`);
  const factors: number[] = [];
  let rest = n;
  for (; rest % 4 === 0; rest /= 4) factors.push(4);
  for (let p = 2; rest > 1; p++) for (; rest % p === 0; rest /= p) factors.push(p);
  return factors;
}

type Stage = (xr: Float64Array, xi: Float64Array, yr: Float64Array, yi: Float64Array) => void;

function createStages(n: number): (re: Float64Array, im: Float64Array) => void {
  const cos = new Float64Array(n);
  const sin = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    const angle = turn(i, n);
    cos[i] = angle.cos;
    sin[i] = -angle.sin;
  }
  const workRe = new Float64Array(n);
  const workIm = new Float64Array(n);
  const stages: Stage[] = [];
  // Before each stage, the data consists of `stride` interleaved signals of `length` samples. After it, there are p times as many, and each is p
  // times shorter.
  let stride = 1;
  for (const p of factorsOf(n)) {
    const plan = { p, m: n / stride / p, stride, cos, sin, n };
    stages.push(p === 2 ? radix2(plan) : p === 4 ? radix4(plan) : p === 5 ? radix5(plan) : oddRadix(plan));
    stride *= p;
  }
  return (re, im) => {
    for (let s = 0; s < stages.length; s++) {
      if (s % 2 === 0) stages[s]!(re, im, workRe, workIm);
      else stages[s]!(workRe, workIm, re, im);
    }
    if (stages.length % 2 === 1) {
      re.set(workRe);
      im.set(workIm);
    }
  };
}

interface Plan {
  p: number;
  m: number;
  stride: number;
  n: number;
  /** exp(−2πi·t/n): the twiddle of length p·m at t is entry t·stride. */
  cos: Float64Array;
  sin: Float64Array;
}

const radix2 =
  ({ m, stride: s, cos, sin }: Plan): Stage =>
  (xr, xi, yr, yi) => {
    for (let t = 0; t < m; t++) {
      const c = cos[t * s]!;
      const w = sin[t * s]!;
      for (let q = 0; q < s; q++) {
        const a = q + s * t;
        const b = a + s * m;
        const to = q + s * 2 * t;
        const dr = xr[a]! - xr[b]!;
        const di = xi[a]! - xi[b]!;
        yr[to] = xr[a]! + xr[b]!;
        yi[to] = xi[a]! + xi[b]!;
        yr[to + s] = dr * c - di * w;
        yi[to + s] = dr * w + di * c;
      }
    }
  };

const radix4 =
  ({ m, stride: s, cos, sin }: Plan): Stage =>
  (xr, xi, yr, yi) => {
    const step = s * m;
    for (let t = 0; t < m; t++) {
      const c1 = cos[t * s]!;
      const w1 = sin[t * s]!;
      const c2 = cos[2 * t * s]!;
      const w2 = sin[2 * t * s]!;
      const c3 = cos[3 * t * s]!;
      const w3 = sin[3 * t * s]!;
      for (let q = 0; q < s; q++) {
        const a = q + s * t;
        const to = q + s * 4 * t;
        const ur = xr[a]! + xr[a + 2 * step]!;
        const ui = xi[a]! + xi[a + 2 * step]!;
        const vr = xr[a]! - xr[a + 2 * step]!;
        const vi = xi[a]! - xi[a + 2 * step]!;
        const er = xr[a + step]! + xr[a + 3 * step]!;
        const ei = xi[a + step]! + xi[a + 3 * step]!;
        // Multiplied by −i.
        const fr = xi[a + step]! - xi[a + 3 * step]!;
        const fi = xr[a + 3 * step]! - xr[a + step]!;
        yr[to] = ur + er;
        yi[to] = ui + ei;
        yr[to + s] = (vr + fr) * c1 - (vi + fi) * w1;
        yi[to + s] = (vr + fr) * w1 + (vi + fi) * c1;
        yr[to + 2 * s] = (ur - er) * c2 - (ui - ei) * w2;
        yi[to + 2 * s] = (ur - er) * w2 + (ui - ei) * c2;
        yr[to + 3 * s] = (vr - fr) * c3 - (vi - fi) * w3;
        yi[to + 3 * s] = (vr - fr) * w3 + (vi - fi) * c3;
      }
    }
  };

const { cos: cos72, sin: sin72 } = turn(1, 5);
const { cos: cos144, sin: sin144 } = turn(2, 5);

const radix5 =
  ({ m, stride: s, cos, sin }: Plan): Stage =>
  (xr, xi, yr, yi) => {
    const step = s * m;
    for (let t = 0; t < m; t++) {
      for (let q = 0; q < s; q++) {
        const a = q + s * t;
        const to = q + s * 5 * t;
        const ar = xr[a]!;
        const ai = xi[a]!;
        const t1r = xr[a + step]! + xr[a + 4 * step]!;
        const t1i = xi[a + step]! + xi[a + 4 * step]!;
        const d1r = xr[a + step]! - xr[a + 4 * step]!;
        const d1i = xi[a + step]! - xi[a + 4 * step]!;
        const t2r = xr[a + 2 * step]! + xr[a + 3 * step]!;
        const t2i = xi[a + 2 * step]! + xi[a + 3 * step]!;
        const d2r = xr[a + 2 * step]! - xr[a + 3 * step]!;
        const d2i = xi[a + 2 * step]! - xi[a + 3 * step]!;
        const u1r = ar + t1r * cos72 + t2r * cos144;
        const u1i = ai + t1i * cos72 + t2i * cos144;
        const u2r = ar + t1r * cos144 + t2r * cos72;
        const u2i = ai + t1i * cos144 + t2i * cos72;
        const v1r = d1i * sin72 + d2i * sin144;
        const v1i = -d1r * sin72 - d2r * sin144;
        const v2r = d1i * sin144 - d2i * sin72;
        const v2i = d2r * sin72 - d1r * sin144;
        yr[to] = ar + t1r + t2r;
        yi[to] = ai + t1i + t2i;
        for (let k = 1; k < 5; k++) {
          const near = k === 1 || k === 4;
          const sign = k < 3 ? 1 : -1;
          const br = near ? u1r + sign * v1r : u2r + sign * v2r;
          const bi = near ? u1i + sign * v1i : u2i + sign * v2i;
          const c = cos[k * t * s]!;
          const w = sin[k * t * s]!;
          yr[to + k * s] = br * c - bi * w;
          yi[to + k * s] = br * w + bi * c;
        }
      }
    }
  };

/**
 * A stage for any odd p. Opposite elements are added and subtracted first, and each result is used for two outputs, which quarters the
 * number of products.
 */
function oddRadix({ p, m, stride: s, cos, sin, n }: Plan): Stage {
  const half = (p - 1) / 2;
  const table = { cos: new Float64Array(half * half), sin: new Float64Array(half * half) };
  for (let k = 1; k <= half; k++) {
    for (let i = 1; i <= half; i++) {
      const turn = ((i * k) % p) * (n / p);
      table.cos[(k - 1) * half + i - 1] = cos[turn]!;
      table.sin[(k - 1) * half + i - 1] = -sin[turn]!;
    }
  }
  const sumRe = new Float64Array(half);
  const sumIm = new Float64Array(half);
  const difRe = new Float64Array(half);
  const difIm = new Float64Array(half);
  const step = s * m;
  const { cos: tc, sin: ts } = table;
  return (xr, xi, yr, yi) => {
    for (let t = 0; t < m; t++) {
      for (let q = 0; q < s; q++) {
        const a = q + s * t;
        const to = q + s * p * t;
        const ar = xr[a]!;
        const ai = xi[a]!;
        let allRe = ar;
        let allIm = ai;
        for (let i = 0; i < half; i++) {
          const b = a + (i + 1) * step;
          const c = a + (p - 1 - i) * step;
          sumRe[i] = xr[b]! + xr[c]!;
          sumIm[i] = xi[b]! + xi[c]!;
          difRe[i] = xr[b]! - xr[c]!;
          difIm[i] = xi[b]! - xi[c]!;
          allRe += sumRe[i]!;
          allIm += sumIm[i]!;
        }
        yr[to] = allRe;
        yi[to] = allIm;
        for (let k = 1; k <= half; k++) {
          const row = (k - 1) * half;
          let ur = ar;
          let ui = ai;
          let vr = 0;
          let vi = 0;
          for (let i = 0; i < half; i++) {
            const c = tc[row + i]!;
            const w = ts[row + i]!;
            ur += sumRe[i]! * c;
            ui += sumIm[i]! * c;
            vr += difIm[i]! * w;
            vi -= difRe[i]! * w;
          }
          turned(yr, yi, to + k * s, ur + vr, ui + vi, cos[k * t * s]!, sin[k * t * s]!);
          const m2 = p - k;
          turned(yr, yi, to + m2 * s, ur - vr, ui - vi, cos[m2 * t * s]!, sin[m2 * t * s]!);
        }
      }
    }
  };
}

function turned(
  yr: Float64Array,
  yi: Float64Array,
  to: number,
  re: number,
  im: number,
  c: number,
  w: number,
) {
  yr[to] = re * c - im * w;
  yi[to] = re * w + im * c;
}

/**
 * In-place complex transform for lengths with a large prime factor, by two transforms whose length has no large factors (Bluestein 1970).
 * Because k·t = (k² + t² − (k − t)²)/2, the sum is a convolution with a chirp.
 */
function createChirp(n: number): (re: Float64Array, im: Float64Array) => void {
  const m = smoothFrom(2 * n - 1);
  const run = createStages(m);
  const cos = new Float64Array(n);
  const sin = new Float64Array(n);
  // The conjugate chirp is transformed only once.
  const filterRe = new Float64Array(m);
  const filterIm = new Float64Array(m);
  for (let k = 0; k < n; k++) {
    // Reducing k² modulo a whole turn keeps the angle exact.
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
      // Stores the conjugate, because conjugation before and after a transform gives the inverse.
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

/** The smallest product of twos and fives that is at least `least`. */
function smoothFrom(least: number): number {
  let best = Number.POSITIVE_INFINITY;
  for (let fives = 1; fives < 2 * least; fives *= 5) {
    let value = fives;
    while (value < least) value *= 2;
    best = Math.min(best, value);
  }
  return best;
}
