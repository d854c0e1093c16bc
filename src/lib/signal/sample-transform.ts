import { turn } from './turn.js';

/**
 * Fourier transforms of real numbers and their inverses in int16, int32 and float32, with the results of KISS FFT, which TFLite Micro uses.
 * A transform of n real numbers is one of n/2 complex numbers, by steps of four and, where needed, of two.
 */
export type Samples = Int16Array | Int32Array | Float32Array;

interface Arithmetic {
  array(length: number): Samples;
  /** A real number from −1 to 1 as a factor. */
  factor(real: number): number;
  /** A sum as a number of this type. */
  wrap(x: number): number;
  /** x / by, which prevents overflow of the following sums; float32 needs no division. */
  shrunk(x: number, by: 2 | 4): number;
  /** a · c − b · d, and a · c + b · d, for factors c and d. */
  difference(a: number, c: number, b: number, d: number): number;
  sum(a: number, c: number, b: number, d: number): number;
  half(x: number): number;
}

const { fround } = Math;

const int16 = (x: number) => (x << 16) >> 16;

/** (high · 2^16 + low) / 2^31, rounded half up and wrapped to int32. All parts are exact in double precision. */
const narrowed = (high: number, low: number) =>
  Math.floor((high + Math.floor((low + 2 ** 30) / 65536)) / 32768) | 0;

const upper = (x: number) => Math.floor(x / 65536);
const lower = (x: number) => x - 65536 * upper(x);

const arithmetics: Record<'int16' | 'int32' | 'float32', Arithmetic> = {
  int16: {
    array: (length) => new Int16Array(length),
    factor: (real) => Math.floor(0.5 + 32767 * real),
    wrap: int16,
    shrunk: (x, by) => (x * Math.trunc(32767 / by) + 16384) >> 15,
    difference: (a, c, b, d) => int16((a * c - b * d + 16384) >> 15),
    sum: (a, c, b, d) => int16((a * c + b * d + 16384) >> 15),
    half: (x) => x >> 1,
  },
  int32: {
    array: (length) => new Int32Array(length),
    factor: (real) => Math.floor(0.5 + 2147483647 * real),
    wrap: (x) => x | 0,
    shrunk: (x, by) => {
      const factor = Math.trunc(2147483647 / by);
      return narrowed(upper(x) * factor, lower(x) * factor);
    },
    difference: (a, c, b, d) => narrowed(upper(a) * c - upper(b) * d, lower(a) * c - lower(b) * d),
    sum: (a, c, b, d) => narrowed(upper(a) * c + upper(b) * d, lower(a) * c + lower(b) * d),
    half: (x) => (x | 0) >> 1,
  },
  float32: {
    array: (length) => new Float32Array(length),
    factor: fround,
    wrap: fround,
    shrunk: (x) => x,
    difference: (a, c, b, d) => fround(fround(a * c) - fround(b * d)),
    sum: (a, c, b, d) => fround(fround(a * c) + fround(b * d)),
    half: (x) => fround(fround(x) / 2),
  },
};

export class SampleTransform {
  private readonly math: Arithmetic;
  private readonly half: number;
  /** Rotations of the complex transform, and of its conversion: pairs of real and imaginary parts. */
  readonly inner: Samples;
  readonly outer: Samples;
  private readonly factors: number[] = [];
  /** Pairs of the complex transform. */
  private readonly work: Samples;

  /** @param length a power of two, at least 4 */
  constructor(
    type: keyof typeof arithmetics,
    readonly length: number,
    private readonly inverse: boolean,
  ) {
    this.math = arithmetics[type];
    this.half = length / 2;
    const { half } = this;
    const sign = inverse ? 1 : -1;
    this.inner = this.rotations(half, 0, half, sign, (i) => (2 * Math.PI * i) / half);
    this.outer = this.rotations(
      half / 2,
      half / 2 + 1,
      length,
      sign,
      (i) => Math.PI * ((i + 1) / half + 0.5),
    );
    for (let rest = half; rest > 1; rest /= this.factors.at(-1)!) this.factors.push(rest % 4 === 0 ? 4 : 2);
    this.work = this.math.array(length);
  }

  /** exp(±2πi·(first + k)/whole). Those of float32 are the library's, of the phases in double precision, as in KISS FFT. */
  private rotations(
    count: number,
    first: number,
    whole: number,
    sign: number,
    phase: (k: number) => number,
  ): Samples {
    const made = this.math.array(2 * count);
    const real = made instanceof Float32Array;
    for (let k = 0; k < count; k++) {
      const own = turn((first + k) % whole, whole);
      made[2 * k] = this.math.factor(real ? Math.cos(phase(k)) : own.cos);
      made[2 * k + 1] = this.math.factor(real ? Math.sin(sign * phase(k)) : sign * own.sin);
    }
    return made;
  }

  /** Transforms `length` samples into `length` / 2 + 1 pairs. */
  forward(samples: Samples, out: Samples): void {
    const { half, math, work } = this;
    this.stage(samples, 0, work, 0, 1, 0);
    const [first, second] = [math.shrunk(work[0]!, 2), math.shrunk(work[1]!, 2)];
    out[0] = math.wrap(first + second);
    out[2 * half] = math.wrap(first - second);
    out[1] = 0;
    out[2 * half + 1] = 0;
    for (let k = 1; k <= half / 2; k++) {
      const [a, b] = [2 * k, 2 * (half - k)];
      const { sumRe, sumIm, re, im } = this.crossed(work, a, b, k);
      out[a] = math.half(sumRe + re);
      out[a + 1] = math.half(sumIm + im);
      out[b] = math.half(sumRe - re);
      out[b + 1] = math.half(im - sumIm);
    }
  }

  /** Transforms `length` / 2 + 1 pairs into `length` samples; those of float32 are `length` times as large. */
  backward(bins: Samples, out: Samples): void {
    const { half, math, work } = this;
    work[0] = math.shrunk(math.wrap(bins[0]! + bins[2 * half]!), 2);
    work[1] = math.shrunk(math.wrap(bins[0]! - bins[2 * half]!), 2);
    for (let k = 1; k <= half / 2; k++) {
      const [a, b] = [2 * k, 2 * (half - k)];
      const { sumRe, sumIm, re, im } = this.crossed(bins, a, b, k);
      work[a] = math.wrap(sumRe + re);
      work[a + 1] = math.wrap(sumIm + im);
      work[b] = math.wrap(sumRe - re);
      work[b + 1] = math.wrap(-math.wrap(sumIm - im));
    }
    this.stage(work, 0, out, 0, 1, 0);
  }

  /** The sum of a value and the conjugate of its mirror image, and their difference, rotated. */
  private crossed(x: Samples, a: number, b: number, k: number) {
    const { math, outer } = this;
    const [ar, ai] = [math.shrunk(x[a]!, 2), math.shrunk(x[a + 1]!, 2)];
    const [br, bi] = [math.shrunk(x[b]!, 2), math.shrunk(math.wrap(-x[b + 1]!), 2)];
    const [difRe, difIm] = [math.wrap(ar - br), math.wrap(ai - bi)];
    const [c, s] = [outer[2 * k - 2]!, outer[2 * k - 1]!];
    return {
      sumRe: math.wrap(ar + br),
      sumIm: math.wrap(ai + bi),
      re: math.difference(difRe, c, difIm, s),
      im: math.sum(difRe, s, difIm, c),
    };
  }

  /** Transforms every `stride`-th pair of `x` from `from` into `y` at the pair `to`. */
  private stage(x: Samples, from: number, y: Samples, to: number, stride: number, level: number): void {
    const factor = this.factors[level];
    if (factor === undefined) {
      y[2 * to] = x[2 * from]!;
      y[2 * to + 1] = x[2 * from + 1]!;
      return;
    }
    const part = this.half / stride / factor;
    for (let i = 0; i < factor; i++)
      this.stage(x, from + i * stride, y, to + i * part, stride * factor, level + 1);
    for (let i = 0; i < part; i++)
      if (factor === 4) this.four(y, 2 * (to + i), 2 * part, 2 * i * stride);
      else this.two(y, 2 * (to + i), 2 * part, 2 * i * stride);
  }

  private two(y: Samples, a: number, part: number, turn: number): void {
    const { math, inner } = this;
    const b = a + part;
    const [ar, ai] = [math.shrunk(y[a]!, 2), math.shrunk(y[a + 1]!, 2)];
    const [br, bi] = [math.shrunk(y[b]!, 2), math.shrunk(y[b + 1]!, 2)];
    const [c, s] = [inner[turn]!, inner[turn + 1]!];
    const re = math.difference(br, c, bi, s);
    const im = math.sum(br, s, bi, c);
    y[b] = math.wrap(ar - re);
    y[b + 1] = math.wrap(ai - im);
    y[a] = math.wrap(ar + re);
    y[a + 1] = math.wrap(ai + im);
  }

  private four(y: Samples, a: number, part: number, turn: number): void {
    const { math, inner } = this;
    const re = [0, 0, 0, 0];
    const im = [0, 0, 0, 0];
    for (let q = 0; q < 4; q++) {
      const at = a + q * part;
      const [vr, vi] = [math.shrunk(y[at]!, 4), math.shrunk(y[at + 1]!, 4)];
      const [c, s] = [inner[q * turn]!, inner[q * turn + 1]!];
      re[q] = q === 0 ? vr : math.difference(vr, c, vi, s);
      im[q] = q === 0 ? vi : math.sum(vr, s, vi, c);
    }
    const { wrap } = math;
    const [evenRe, evenIm] = [wrap(re[0]! + re[2]!), wrap(im[0]! + im[2]!)];
    const [oddRe, oddIm] = [wrap(re[0]! - re[2]!), wrap(im[0]! - im[2]!)];
    const [sumRe, sumIm] = [wrap(re[1]! + re[3]!), wrap(im[1]! + im[3]!)];
    const [difRe, difIm] = [wrap(re[1]! - re[3]!), wrap(im[1]! - im[3]!)];
    // In the inverse, the quarter turn is in the other direction.
    const [b, d] = this.inverse ? [a + 3 * part, a + part] : [a + part, a + 3 * part];
    const c = a + 2 * part;
    y[a] = wrap(evenRe + sumRe);
    y[a + 1] = wrap(evenIm + sumIm);
    y[c] = wrap(evenRe - sumRe);
    y[c + 1] = wrap(evenIm - sumIm);
    y[b] = wrap(oddRe + difIm);
    y[b + 1] = wrap(oddIm - difRe);
    y[d] = wrap(oddRe - difIm);
    y[d + 1] = wrap(oddIm + difRe);
  }
}
