import type { Dataset } from '../types.js';
import { createFft } from './fft.js';
import { outlinesOf } from './outline.js';
import { isSignificant } from './significance.js';

/** Two outlines must overlap by this share of the shorter one, and by so many samples, to be compared: a few fit by chance. */
const overlapShare = 0.6;
const overlapSamples = 100;

/** A coarse fit that is worth a closer look: a true copy may lie between two coarse samples. */
const worthALook = 0.75;

/**
 * Pairs whose outlines fit each other at some offset: copies that were cut, rounded, filtered, or recorded along.
 * Normalized cross-correlation at every lag through the FFT, then at the full rate around the best lag; 1 = equal but for
 * a factor. A copy comes to 0.98 and more, and unrelated recordings of the HAR set to 0.87 at most. A copy under noise that is
 * larger than its own movement (a sensor at rest) is not found, nor one of a steady vibration, which fits any other of its
 * frequency: see `isSignificant`.
 * @param least smallest correlation that counts
 */
export function nearCopies(dataset: Dataset, least = 0.95): { a: string; b: string; share: number }[] {
  const outlines = outlinesOf(dataset);
  const { coarse, rateHz } = outlines;
  const spectra = createSpectra(coarse);
  const energies = coarse.map(runningEnergy);
  const pairs: { a: string; b: string; share: number }[] = [];
  const comparisons = (coarse.length * (coarse.length - 1)) / 2;
  for (let i = 0; i < coarse.length; i++) {
    for (let j = i + 1; j < coarse.length; j++) {
      const shorter = Math.min(coarse[i]!.length, coarse[j]!.length);
      const overlap = Math.max(Math.ceil(shorter * overlapShare), overlapSamples);
      if (shorter < overlap) continue;
      const best = highest(spectra.correlate(i, j), energies[i]!, energies[j]!, overlap);
      if (best.fit < worthALook) continue;
      const [a, b] = [outlines.fine(i), outlines.fine(j)];
      const { share, lag } = refined(a, b, best.lag, dataset.rateHz / rateHz);
      if (share < least || !isSignificant(...overlapOf(a, b, lag), share, comparisons)) continue;
      pairs.push({ a: dataset.recordings[i]!.id, b: dataset.recordings[j]!.id, share });
    }
  }
  return pairs.sort((p, q) => q.share - p.share);
}

/** Best correlation at the full rate, up to one coarse sample around a coarse lag. */
function refined(a: Float64Array, b: Float64Array, coarseLag: number, factor: number) {
  const best = { share: 0, lag: 0 };
  for (let lag = Math.floor((coarseLag - 1) * factor); lag <= Math.ceil((coarseLag + 1) * factor); lag++) {
    let ab = 0;
    let aa = 0;
    let bb = 0;
    for (let i = Math.max(0, -lag); i < Math.min(a.length, b.length - lag); i++) {
      ab += a[i]! * b[i + lag]!;
      aa += a[i]! * a[i]!;
      bb += b[i + lag]! * b[i + lag]!;
    }
    const share = aa > 0 && bb > 0 ? ab / Math.sqrt(aa * bb) : 0;
    if (share > best.share) [best.share, best.lag] = [share, lag];
  }
  return best;
}

/** The parts of two outlines that lie on each other at a lag. */
function overlapOf(a: Float64Array, b: Float64Array, lag: number): [Float64Array[], Float64Array[]] {
  const [from, to] = [Math.max(0, -lag), Math.min(a.length, b.length - lag)];
  return [[a.subarray(from, to)], [b.subarray(from + lag, to + lag)]];
}

/** energy[i] = Σ x² of the first i samples. */
function runningEnergy(signal: Float64Array): Float64Array {
  const out = new Float64Array(signal.length + 1);
  for (let i = 0; i < signal.length; i++) out[i + 1] = out[i]! + signal[i]! * signal[i]!;
  return out;
}

/** @param products Σ a[t]·b[t + lag] at index lag mod length */
function highest(
  products: Float64Array,
  a: Float64Array,
  b: Float64Array,
  overlap: number,
): { fit: number; lag: number } {
  const la = a.length - 1;
  const lb = b.length - 1;
  const best = { fit: 0, lag: 0 };
  for (let lag = overlap - la; lag <= lb - overlap; lag++) {
    const from = Math.max(0, -lag);
    const to = Math.min(la, lb - lag);
    const energy = (a[to]! - a[from]!) * (b[to + lag]! - b[from + lag]!);
    if (energy <= 0) continue;
    const fit = products[lag < 0 ? lag + products.length : lag]! / Math.sqrt(energy);
    if (fit > best.fit) {
      best.fit = fit;
      best.lag = lag;
    }
  }
  return best;
}

/** Spectra are made once for each signal and transform length: pairs of short recordings are cheap. */
function createSpectra(signals: Float64Array[]) {
  const ffts = new Map<number, ReturnType<typeof createFft>>();
  const spectra = new Map<string, { re: Float64Array; im: Float64Array }>();
  const fftOf = (n: number) => {
    const fft = ffts.get(n) ?? createFft(n);
    ffts.set(n, fft);
    return fft;
  };
  const spectrumOf = (i: number, n: number) => {
    const key = `${i},${n}`;
    const known = spectra.get(key);
    if (known) return known;
    const re = new Float64Array(n);
    re.set(signals[i]!);
    const made = { re, im: new Float64Array(n) };
    fftOf(n)(made.re, made.im);
    spectra.set(key, made);
    return made;
  };
  return {
    correlate(i: number, j: number): Float64Array {
      let n = 1;
      while (n < signals[i]!.length + signals[j]!.length) n *= 2;
      const a = spectrumOf(i, n);
      const b = spectrumOf(j, n);
      const re = new Float64Array(n);
      const im = new Float64Array(n);
      for (let k = 0; k < n; k++) {
        re[k] = (a.re[k]! * b.re[k]! + a.im[k]! * b.im[k]!) / n;
        im[k] = (a.re[k]! * b.im[k]! - a.im[k]! * b.re[k]!) / n;
      }
      fftOf(n)(re, im, true);
      return re;
    },
  };
}
