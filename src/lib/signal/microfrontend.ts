import type { FeatureSet } from './feature-sets.js';
import { exponential, naturalLog } from './logarithm.js';
import { emptyBand, frameCount, frameMisfit, type MelSpec } from './mel.js';
import type { SignalSpec } from './spec.js';
import { turn } from './turn.js';

/**
 * The audio front end of TensorFlow Lite Micro, in integers: window, Fourier transform, mel filters, noise reduction, per-channel energy
 * normalization (PCAN), logarithm. Streaming wake-word models are trained on its output. Values equal those of `pymicro-features`, which
 * runs the original, bit for bit with a C library that rounds logarithms correctly. With glibc 2.36, two filter weights differ by 1/4096, and
 * 1 value in 30,000 differs (test/signal/microfrontend.real.test.ts). Methods: fixed-point FFT as in kiss_fft, noise reduction by spectral
 * subtraction, and PCAN of Wang et al., "Trainable frontend for robust and far-field keyword spotting" (2017).
 */

/** Settings that the original's users do not change. */
const fixed = {
  /** Bits of the fractions of window and filter weights. */
  weightBits: 12,
  smoothingBits: 10,
  /** Share of a new value in the noise estimate, for even and odd bands. */
  evenSmoothing: 0.025,
  oddSmoothing: 0.06,
  /** Minimum share of a signal that noise reduction leaves. */
  remaining: 0.05,
  strength: 0.95,
  offset: 80,
  gainBits: 21,
  snrBits: 12,
  outputBits: 6,
  logScale: 64,
} as const;

/** Bits of the fractions of smoothing and of `remaining`. */
const shareBits = 14;

const largest16 = 32767;

/** Number of bits of a positive integer below 2^32; 0 for 0. */
export function bitsOf(x: number): number {
  return 32 - Math.clz32(x);
}

/** Wraps to int16, as an assignment in C does. */
function int16(x: number): number {
  return (x << 16) >> 16;
}

/** Product of two int16 fractions of 15 bits, rounded. */
function product(a: number, b: number): number {
  return (a * b + 16384) >> 15;
}

/** Cosine of the window's angle at a sample, in single precision as in the original. */
function cosine(sample: number, frameSamples: number): number {
  const angle = Math.fround(Math.fround((2 * Math.PI) / frameSamples) * (sample + 0.5));
  return Math.fround(turn(angle, 2 * Math.PI).cos);
}

interface Twiddles {
  re: Int16Array;
  im: Int16Array;
}

/** exp(−2πi·(first + i)/whole), with 15 bits of fraction. */
function twiddles(count: number, first: number, whole: number): Twiddles {
  const angles = Array.from({ length: count }, (_, i) => turn((first + i) % whole, whole));
  const part = (of: (angle: { cos: number; sin: number }) => number) =>
    Int16Array.from(angles, (angle) => Math.floor(0.5 + largest16 * of(angle)));
  return { re: part(({ cos }) => cos), im: part(({ sin }) => -sin) };
}

/** A Fourier transform of real int16 values in place of a transform of half the length, scaled by the inverse of its length. */
export class RealTransform {
  private readonly half: number;
  /** Rotations of the half-length transform, and of its conversion to the transform of the real values. */
  readonly inner: Twiddles;
  readonly outer: Twiddles;
  private readonly factors: number[] = [];
  private readonly workRe: Int16Array;
  private readonly workIm: Int16Array;
  readonly re: Int16Array;
  readonly im: Int16Array;

  /** @param length a power of two, at least 4 */
  constructor(readonly length: number) {
    this.half = length / 2;
    const { half } = this;
    this.inner = twiddles(half, 0, half);
    this.outer = twiddles(half / 2, half / 2 + 1, length);
    for (let rest = half; rest > 1; ) {
      const factor = rest % 4 === 0 ? 4 : 2;
      this.factors.push(factor);
      rest /= factor;
    }
    this.workRe = new Int16Array(half);
    this.workIm = new Int16Array(half);
    this.re = new Int16Array(half + 1);
    this.im = new Int16Array(half + 1);
  }

  run(samples: Int16Array): void {
    const { half, workRe: x, workIm: y, re, im, outer } = this;
    this.stage(samples, 0, 0, 1, 0);
    const [first, second] = [product(x[0]!, 16383), product(y[0]!, 16383)];
    re[0] = first + second;
    re[half] = first - second;
    im[0] = 0;
    im[half] = 0;
    for (let k = 1; k <= half / 2; k++) {
      const [ar, ai] = [product(x[k]!, 16383), product(y[k]!, 16383)];
      const [br, bi] = [product(x[half - k]!, 16383), product(int16(-y[half - k]!), 16383)];
      const [sumRe, sumIm] = [int16(ar + br), int16(ai + bi)];
      const [difRe, difIm] = [int16(ar - br), int16(ai - bi)];
      const [c, s] = [outer.re[k - 1]!, outer.im[k - 1]!];
      const turnedRe = int16((difRe * c - difIm * s + 16384) >> 15);
      const turnedIm = int16((difRe * s + difIm * c + 16384) >> 15);
      re[k] = (sumRe + turnedRe) >> 1;
      im[k] = (sumIm + turnedIm) >> 1;
      re[half - k] = (sumRe - turnedRe) >> 1;
      im[half - k] = (turnedIm - sumIm) >> 1;
    }
  }

  /** Transforms every `stride`-th complex sample from `from` into the work space at `to`. */
  private stage(samples: Int16Array, from: number, to: number, stride: number, level: number): void {
    const factor = this.factors[level];
    if (factor === undefined) {
      this.workRe[to] = samples[2 * from]!;
      this.workIm[to] = samples[2 * from + 1]!;
      return;
    }
    const part = this.half / stride / factor;
    for (let i = 0; i < factor; i++)
      this.stage(samples, from + i * stride, to + i * part, stride * factor, level + 1);
    if (factor === 4) this.fours(to, part, stride);
    else this.twos(to, part, stride);
  }

  private twos(to: number, part: number, stride: number): void {
    const { workRe: x, workIm: y, inner } = this;
    for (let i = 0; i < part; i++) {
      const [a, b] = [to + i, to + i + part];
      const [ar, ai, br, bi] = [x[a]!, y[a]!, x[b]!, y[b]!].map((v) => product(v, 16383)) as Four;
      const [c, s] = [inner.re[i * stride]!, inner.im[i * stride]!];
      const re = int16((br * c - bi * s + 16384) >> 15);
      const im = int16((br * s + bi * c + 16384) >> 15);
      x[b] = ar - re;
      y[b] = ai - im;
      x[a] = ar + re;
      y[a] = ai + im;
    }
  }

  private fours(to: number, part: number, stride: number): void {
    const { workRe: x, workIm: y, inner } = this;
    const re = [0, 0, 0, 0];
    const im = [0, 0, 0, 0];
    for (let i = 0; i < part; i++) {
      for (let q = 0; q < 4; q++) {
        const at = to + i + q * part;
        const [vr, vi] = [product(x[at]!, 8191), product(y[at]!, 8191)];
        const [c, s] = [inner.re[i * stride * q]!, inner.im[i * stride * q]!];
        re[q] = q === 0 ? vr : int16((vr * c - vi * s + 16384) >> 15);
        im[q] = q === 0 ? vi : int16((vr * s + vi * c + 16384) >> 15);
      }
      const [evenRe, evenIm] = [int16(re[0]! + re[2]!), int16(im[0]! + im[2]!)];
      const [oddRe, oddIm] = [int16(re[0]! - re[2]!), int16(im[0]! - im[2]!)];
      const [sumRe, sumIm] = [int16(re[1]! + re[3]!), int16(im[1]! + im[3]!)];
      const [difRe, difIm] = [int16(re[1]! - re[3]!), int16(im[1]! - im[3]!)];
      const [a, b, c, d] = [to + i, to + i + part, to + i + 2 * part, to + i + 3 * part];
      x[c] = evenRe - sumRe;
      y[c] = evenIm - sumIm;
      x[a] = evenRe + sumRe;
      y[a] = evenIm + sumIm;
      x[b] = oddRe + difIm;
      y[b] = oddIm - difRe;
      x[d] = oddRe - difIm;
      y[d] = oddIm + difRe;
    }
  }
}

type Four = [number, number, number, number];

/** Weights of a bin in the rising part of a band and in the falling part of the previous one. */
interface Bins {
  first: number;
  rising: Int16Array;
  falling: Int16Array;
}

/** Mels in single precision, as the original computes them. */
function melOf(hz: number): number {
  return Math.fround(1127 * Math.fround(naturalLog(1 + Math.fround(hz / 700))));
}

/** The bins below each edge, starting with the edge at the center of the first band. */
function binsOf({ bands, lowHz, highHz, fftSamples }: MelSpec, rateHz: number): Bins[] {
  const hzPerBin = Math.fround((0.5 * rateHz) / (fftSamples / 2));
  const [low, high] = [melOf(lowHz), melOf(highHz)];
  const step = Math.fround(Math.fround(high - low) / (bands + 1));
  const edges = Array.from({ length: bands + 1 }, (_, i) => Math.fround(low + Math.fround(step * (i + 1))));
  let bin = Math.trunc(1.5 + lowHz / hzPerBin);
  return edges.map((edge, i) => {
    const below = i === 0 ? low : edges[i - 1]!;
    const first = bin;
    const weights: number[] = [];
    for (; melOf(Math.fround(bin * hzPerBin)) <= edge; bin++) {
      const mel = melOf(Math.fround(bin * hzPerBin));
      weights.push(Math.fround(Math.fround(edge - mel) / Math.fround(edge - below)));
    }
    const quantized = (of: (weight: number) => number) =>
      Int16Array.from(weights, (weight) => Math.floor(Math.fround(of(weight) * 4096 + 0.5)));
    return {
      first,
      rising: quantized((weight) => weight),
      falling: quantized((weight) => Math.fround(1 - weight)),
    };
  });
}

/** Square root of an integer below 2^53, rounded to the nearest integer. */
export function rootOf(x: number): number {
  let root = Math.floor(Math.sqrt(x));
  while (root * root > x) root--;
  while ((root + 1) * (root + 1) <= x) root++;
  const rounded = x - root * root > root ? root + 1 : root;
  const most = x < 2 ** 32 ? 0xffff : 0xffffffff;
  return Math.min(rounded, Math.max(root, most));
}

/** Interpolated 1 − strength power law of the gain, in segments that double in length. */
function gainTable(correctionBits: number): Int16Array {
  const inputBits = fixed.smoothingBits - correctionBits;
  const gain = (x: number) => {
    const value = Math.fround(x / 2 ** inputBits);
    const power = Math.fround(
      1 / exponential(Math.fround(fixed.strength) * naturalLog(Math.fround(value + fixed.offset))),
    );
    const scaled = Math.fround(2 ** fixed.gainBits * power);
    return scaled > largest16 ? largest16 : Math.trunc(Math.fround(scaled + 0.5));
  };
  const table = new Int16Array(4 * 32 - 2);
  table[0] = gain(0);
  table[1] = gain(1);
  for (let bits = 2; bits <= 32; bits++) {
    const start = 2 ** (bits - 1);
    const end = bits === 32 ? 2 * start - 1 : 2 * start;
    const [low, middle, high] = [gain(start), gain(start + start / 2), gain(end)];
    const curve = high - low - (4 * (middle - low) - (high - low));
    table.set([low, 4 * (middle - low) - (high - low), curve], 4 * bits - 6);
  }
  return table;
}

/** Gain for a noise estimate of x, interpolated in a table with the values at 0 and 1, and three coefficients for each number of bits. */
export function gainOf(x: number, table: Int16Array): number {
  if (x <= 2) return table[x]!;
  const bits = bitsOf(x);
  const at = 4 * bits - 6;
  const part = (bits < 11 ? x << (11 - bits) : x >>> (bits - 11)) & 0x3ff;
  const slope = ((table[at + 2]! * part) >> 5) + (table[at + 1]! << 5);
  return int16(((slope * part + 16384) >> 15) + table[at]!);
}

/** Segments of 1/128 of the difference between log2(1 + x) and x, with 16 bits of fraction. */
export const logTable = Int32Array.from({ length: 130 }, (_, i) =>
  i > 128 ? 0 : Math.round(65536 * (naturalLog(1 + i / 128) / naturalLog(2) - i / 128)),
);

/** Natural logarithm of an integer above 1, times an integer scale; wraps at 32 bits before its lowest 16 bits are cut. */
export function scaledLog(x: number, scale: number): number {
  const whole = bitsOf(x) - 1;
  const rest = x - 2 ** whole;
  const part = whole < 16 ? rest * 2 ** (16 - whole) : Math.floor(rest / 2 ** (whole - 16));
  const segment = part >> 9;
  const [low, high] = [logTable[segment]!, logTable[segment + 1]!];
  const fraction = part + low + (((high - low) * (part - 512 * segment)) >> 16);
  const log2 = whole * 65536 + fraction;
  // 45426 is ln 2 with 16 bits of fraction.
  const natural = Math.floor((45426 * log2 + 32768) / 65536);
  return Math.floor(((natural * scale + 32768) % 2 ** 32) / 65536);
}

/** Settings of spectral subtraction. Shares are integers with `shareBits` bits of fraction. */
export interface NoiseReduction {
  smoothingBits: number;
  shareBits: number;
  /** Shares of a new value and of the previous estimate in the noise estimate, for even and odd bands. */
  shares: readonly [fresh: number, kept: number][];
  /** Minimum share of a signal that is left. */
  remaining: number;
  /** Whether the estimate is limited to the signal. */
  clamps: boolean;
}

/**
 * One step of spectral subtraction. Updates the band's noise estimate, and returns the signal without the noise.
 * @param signal a uint32; shifted by `smoothingBits`, it wraps at 32 bits
 */
export function withoutNoise(
  signal: number,
  band: number,
  noise: { [band: number]: number },
  { smoothingBits, shareBits: bits, shares, remaining, clamps }: NoiseReduction,
): number {
  const [fresh, kept] = shares[band % 2]!;
  const scaled = (signal * 2 ** smoothingBits) % 2 ** 32;
  const estimate = Math.floor((scaled * fresh + noise[band]! * kept) / 2 ** bits) % 2 ** 32;
  noise[band] = clamps ? Math.min(estimate, scaled) : estimate;
  const rest = Math.floor((scaled - Math.min(estimate, scaled)) / 2 ** smoothingBits);
  return Math.max(rest, Math.floor((signal * remaining) / 2 ** bits) % 2 ** 32);
}

const shareOf = (share: number) => Math.trunc(share * 2 ** shareBits);

const noiseReduction: NoiseReduction = {
  smoothingBits: fixed.smoothingBits,
  shareBits,
  shares: [fixed.evenSmoothing, fixed.oddSmoothing].map((share) => [
    shareOf(share),
    2 ** shareBits - shareOf(share),
  ]),
  remaining: shareOf(fixed.remaining),
  clamps: false,
};

/** A signal-to-noise ratio with 12 bits of fraction as a level with 6 bits: x² / 4 below 2, and x − 1 above. */
export function shrunk(snr: number): number {
  const bits = fixed.snrBits;
  if (snr < 2 * 2 ** bits) return Math.floor((snr * snr) / 2 ** (2 + 2 * bits - fixed.outputBits));
  return Math.floor(snr / 2 ** (bits - fixed.outputBits)) - 2 ** fixed.outputBits;
}

/** Bits by which the sums of the filters are larger than their signals. */
function correctionBitsOf(fftSamples: number): number {
  return bitsOf(fftSamples) - 1 - fixed.weightBits / 2;
}

/** Constants of a front end, also for generated C code. */
interface MicroTables {
  /** The window, with 12 bits of fraction. */
  taper: Int16Array;
  bins: Bins[];
  gains: Int16Array;
  /** Bits by which a signal times its gain is larger than its signal-to-noise ratio. */
  snrShift: number;
  correctionBits: number;
  noise: NoiseReduction;
  logScale: number;
}

export function microTables(mel: MelSpec, rateHz: number): MicroTables {
  const { frameSamples, fftSamples } = mel;
  const correctionBits = correctionBitsOf(fftSamples);
  const taper = Int16Array.from({ length: frameSamples }, (_, i) =>
    Math.floor(Math.fround(0.5 - 0.5 * cosine(i, frameSamples)) * 4096 + 0.5),
  );
  return {
    taper,
    bins: binsOf(mel, rateHz),
    gains: gainTable(correctionBits),
    snrShift: fixed.gainBits - correctionBits - fixed.snrBits,
    correctionBits,
    noise: noiseReduction,
    logScale: fixed.logScale,
  };
}

/** Front end of one stream of sound. Its noise estimate starts at zero and follows the stream until a reset. */
export class MicroFrontend {
  private readonly tables: MicroTables;
  private readonly transform: RealTransform;
  private readonly frame: Int16Array;
  private readonly noise: Float64Array;
  private readonly levels: Float64Array;

  constructor(
    private readonly mel: MelSpec,
    rateHz: number,
  ) {
    const { fftSamples, bands } = mel;
    this.tables = microTables(mel, rateHz);
    this.transform = new RealTransform(fftSamples);
    this.frame = new Int16Array(fftSamples);
    this.noise = new Float64Array(bands);
    this.levels = new Float64Array(bands);
  }

  reset(): void {
    this.noise.fill(0);
  }

  /**
   * Features of the next frame: integers from 0 to 65535, in practice below 700.
   * @param samples of sound, int16, of which a frame starts at `from`
   */
  compute(samples: ArrayLike<number>, from: number, out: { [band: number]: number }, to: number): void {
    this.filter(samples, from);
    for (let band = 0; band < this.levels.length; band++)
      out[to + band] = this.logarithm(this.normalized(band, this.denoised(band)));
  }

  /** Square roots of the bands' energies. */
  private filter(samples: ArrayLike<number>, from: number): void {
    const { frame, transform, levels } = this;
    const { taper, bins } = this.tables;
    let largest = 0;
    for (let i = 0; i < taper.length; i++) {
      frame[i] = (samples[from + i]! * taper[i]!) >> fixed.weightBits;
      // The magnitude of -32768 wraps, as in the original, and is ignored.
      largest = Math.max(largest, int16(Math.abs(frame[i]!)));
    }
    const shift = 15 - bitsOf(largest);
    for (let i = 0; i < taper.length; i++) frame[i] = frame[i]! << shift;
    transform.run(frame);
    let [weighted, unweighted] = [0, 0];
    for (let edge = 0; edge < bins.length; edge++) {
      const { first, rising, falling } = bins[edge]!;
      weighted = unweighted;
      unweighted = 0;
      for (let k = 0; k < rising.length; k++) {
        const [re, im] = [transform.re[first + k]!, transform.im[first + k]!];
        const energy = re * re + im * im;
        weighted += rising[k]! * energy;
        unweighted += falling[k]! * energy;
      }
      if (edge > 0) levels[edge - 1] = Math.floor(rootOf(weighted) / 2 ** shift);
    }
  }

  /** Subtracts the smoothed level of a band, which is that of the noise. */
  private denoised(band: number): number {
    return withoutNoise(this.levels[band]!, band, this.noise, noiseReduction);
  }

  private normalized(band: number, signal: number): number {
    const { gains, snrShift } = this.tables;
    return shrunk(Math.floor((signal * gainOf(this.noise[band]!, gains)) / 2 ** snrShift));
  }

  private logarithm(signal: number): number {
    const value = signal * 2 ** correctionBitsOf(this.mel.fftSamples);
    return value > 1 ? Math.min(0xffff, scaledLog(value, fixed.logScale)) : 0;
  }
}

/** Longest transform whose sums of energies are exact in a double: bins · 2^31 · 2^12 is below 2^53. */
const mostSamples = 1024;

/** The reason why the front end cannot be computed with these settings; null if it can. */
export function microMisfit(spec: SignalSpec, mel: MelSpec): string | null {
  const { fftSamples } = mel;
  const problem = frameMisfit(spec, mel);
  if (problem !== null) return problem;
  if (fftSamples < 64 || fftSamples > mostSamples || !Number.isInteger(Math.log2(fftSamples)))
    return `expects an FFT of 64, 128, 256, 512 or ${mostSamples} samples, got ${fftSamples}`;
  const bins = binsOf(mel, spec.resampleHz);
  const empty = bins.findIndex(
    ({ rising }, edge) => edge > 0 && rising.length + bins[edge - 1]!.rising.length === 0,
  );
  if (empty > 0) return emptyBand(empty - 1, mel);
  return mel.state === 'stream' ? streamMisfit(spec, mel) : null;
}

/** In a stream, the noise estimate follows every frame, so each frame must be in a window. */
function streamMisfit(spec: SignalSpec, mel: MelSpec): string | null {
  const { strideSamples } = spec;
  const { hopSamples } = mel;
  const most = frameCount(spec, mel) * hopSamples;
  if (strideSamples % hopSamples === 0 && strideSamples <= most) return null;
  return `with signal.mel.state: stream expects a stride of whole hops of ${hopSamples} samples, at most ${most}, got ${strideSamples}`;
}

/** Number of weights on each side of the edges, which is the number of bins of all bands. */
export function microBinCount(mel: MelSpec, rateHz: number): number {
  return binsOf(mel, rateHz).reduce((sum, { rising }) => sum + rising.length, 0);
}

/**
 * Features of the frames of one window, frame after frame. By default, the noise estimate restarts with each window, so that a window's
 * features do not depend on what came before. With `state: stream`, the estimate continues, and each frame is computed once: the frames that
 * a window shares with the previous one keep their values. Samples are shares of full scale, −1 to 1. In C:
 * firmware/core/src/signal/micro.c.
 */
export function microSet(spec: SignalSpec, mel: MelSpec): FeatureSet {
  const { fields, windowSamples, strideSamples, resampleHz } = spec;
  const { bands, hopSamples, state } = mel;
  const frames = frameCount(spec, mel);
  const shared = state === 'stream' ? frames - strideSamples / hopSamples : 0;
  const front = new MicroFrontend(mel, resampleHz);
  const samples = new Int16Array(windowSamples);
  const values = new Float64Array(frames * bands);
  // Number of frames whose values are those of the previous window's last frames.
  let known = 0;
  return {
    names: Array.from(
      { length: frames * bands },
      (_, i) => `${fields[0]}_micro${i % bands}[${Math.floor(i / bands)}]`,
    ),
    compute([window], out) {
      for (let i = 0; i < windowSamples; i++) samples[i] = fullScale(window![i]!);
      if (state !== 'stream') front.reset();
      values.copyWithin(0, (frames - known) * bands);
      for (let frame = known; frame < frames; frame++)
        front.compute(samples, frame * hopSamples, values, frame * bands);
      known = shared;
      out.set(values);
    },
    restart() {
      front.reset();
      known = 0;
    },
  };
}

/** A share of full scale as int16; halves are rounded up, and NaN is 0. */
function fullScale(share: number): number {
  const value = Math.floor(share * 32768 + 0.5);
  return value > largest16 ? largest16 : value < -32768 ? -32768 : value;
}
