import { plural } from '../../core/figures.js';
import { quantile } from '../../core/numbers.js';
import { createComplexFourier } from '../../signal/fourier.js';
import type { Finding, Recording } from '../types.js';
import { type Comparison, comparable, figureText, leastPeers, type Profile, usual } from './profiles.js';
import { listIds } from './report.js';

/** Minimum number of spikes, because a single spike may be a real event. */
const leastSpikes = 2;

/** Minimum height of a spike, relative to the usual maximum excursion in the label's other recordings. */
const timesPeers = 3;

/**
 * Minimum height relative to the 95 % quantile of the excursions in the same recording. Up to one sample in twenty may therefore be a
 * spike.
 */
const timesOwn = 8;

/** Minimum height as a share of the field's range over all recordings. Smaller spikes hardly change the features of a window. */
const leastOfRange = 0.05;

/** After a spike, the signal must return to within this share of the spike's height. A real impact rings for longer. */
const returnShare = 0.25;

/**
 * Finds single samples that are far from both of their neighbors, such as transmission errors, a sensor's error codes, or samples replaced
 * by zero. Knocks and impacts also have such samples, but they ring, and occur in most recordings of the label.
 */
export function checkSpikes({ dataset, peers, profiles: whole }: Comparison): Finding[] {
  return dataset.fields.flatMap((field, f) => {
    const range =
      Math.max(...whole.map(({ level, spread }) => level[f]! + 2 * spread[f]!)) -
      Math.min(...whole.map(({ level, spread }) => level[f]! - 2 * spread[f]!));
    const hits = peers.flatMap(({ profiles }) => {
      if (profiles.length < 3) return [];
      const all = profiles.map(({ recording }) => excursions(recording.columns[f]!));
      const tops = all.map(({ highest }) => highest);
      return profiles.flatMap(({ recording, spread }, own): SpikeHit[] => {
        // Uses the median, because up to half of the other recordings may have spikes too.
        const others = Float64Array.from(tops.filter((_, i) => i !== own)).sort();
        const usualTop = quantile(others, 0.5);
        const least = Math.max(
          timesPeers * usualTop,
          timesOwn * all[own]!.common,
          spread[f]!,
          leastOfRange * range,
        );
        const rows = all[own]!.isolated.filter(({ height }) => height > least);
        return rows.length < leastSpikes || least === 0 ? [] : [{ recording, rows, usualTop }];
      });
    });
    return hits.length === 0 ? [] : [spikeFinding(field, f, hits)];
  });
}

interface Excursion {
  row: number;
  height: number;
}

interface SpikeHit {
  recording: Recording;
  rows: Excursion[];
  usualTop: number;
}

/** Heights of the samples that are above or below both of their neighbors. */
function excursions(column: Float64Array): { isolated: Excursion[]; highest: number; common: number } {
  const heights = new Float64Array(column.length);
  const isolated: Excursion[] = [];
  for (let i = 1; i + 1 < column.length; i++) {
    const [left, right] = [column[i]! - column[i - 1]!, column[i]! - column[i + 1]!];
    if (left * right <= 0) continue;
    const height = Math.min(Math.abs(left), Math.abs(right));
    heights[i] = height;
    const later = column[Math.min(column.length - 1, i + 2)]!;
    const before = column[Math.max(0, i - 2)]!;
    const back = Math.max(
      Math.abs(column[i + 1]! - column[i - 1]!),
      Math.abs(later - column[i - 1]!),
      Math.abs(before - column[i - 1]!),
    );
    if (back < returnShare * height) isolated.push({ row: i, height });
  }
  heights.sort();
  return { isolated, highest: heights.at(-1) ?? 0, common: quantile(heights, 0.95) };
}

function spikeFinding(field: string, f: number, hits: SpikeHit[]): Finding {
  const first = hits.reduce((a, b) => (b.rows.length > a.rows.length ? b : a));
  const files = hits.map(({ recording }) => recording.id);
  const count = hits.reduce((sum, { rows }) => sum + rows.length, 0);
  const rows = first.rows.map(({ row }) => row + 1);
  const values = first.rows.map(({ row }) => first.recording.columns[f]![row]!);
  const highest = Math.max(...first.rows.map(({ height }) => height));
  const code = values.every((value) => value === values[0])
    ? `, always ${figureText(values[0]!)}, an error code or a lost value`
    : '';
  return {
    kind: 'spikes',
    severity: 'warning',
    confidence: 'likely',
    files,
    evidence: {
      field,
      spikes: count,
      rows: rows.slice(0, 20),
      values: values.slice(0, 20),
      height: highest,
      usual: first.usualTop,
    },
    message: `${plural(count, 'single sample')} of ${field} in ${listIds(files)} leave the signal and return at once${code}: rows ${listIds(rows.map(String), 5)} of ${first.recording.id}, up to ${figureText(highest)} from their neighbors; in the other recordings the highest is ${figureText(first.usualTop)}.`,
    advice:
      'Check the cable, the supply and the error codes of the sensor. Remove the samples, or record again.',
  };
}

/** Points of a spectrum per octave, and the lowest bin that is used. Below it, leakage of the window function dominates. */
const perOctave = 6;

const lowestBin = 2;

/** Maximum and minimum segment length: long enough for four octaves, and short enough for several segments per recording. */
const mostSegment = 256;

const leastSegment = 64;

/** Added to the share of power at each point, so that noise floors, which differ between specimens, hardly matter. */
const floorShare = 3e-3;

/** Minimum distance of a recording's spectrum from the median at which its rate is questioned, in natural logarithms of power. */
const leastSpectralDistance = 0.5;

/** Minimum distance between a recording's spectrum and the median, relative to the upper end of the usual range. */
const timesOthers = 1.2;

/**
 * Minimum distance between a label's spectrum and the same spectrum at another rate. With a smaller distance, rates cannot be
 * distinguished.
 */
const leastTelling = 0.6;

/** Maximum distance from the spectrum at another rate, relative to the upper end of the usual range. */
const mostTimesOthers = 1.5;

/** Maximum share of the distance that may remain if another rate is assumed. */
const mostRemaining = 0.65;

/**
 * Finds recordings at half or twice the rate of other recordings of the label. Without a time column, every frequency then appears doubled
 * or halved. At half the rate, the highest frequencies are folded back. The averaged power spectrum (Welch 1967) is compared with the
 * label's median spectrum, and with the median spectra expected at half and at twice the rate.
 */
export function checkPace({ dataset, peers }: Comparison): Finding[] {
  const segment = segmentOf(dataset.recordings);
  if (segment < leastSegment) return [];
  const spectrumOf = createSpectrum(segment);
  const hits = comparable(peers).flatMap(({ profiles }) => {
    const long = profiles.filter(({ recording }) => recording.columns[0]!.length >= segment);
    if (long.length < leastPeers) return [];
    const spectra = long.map(({ recording }) => recording.columns.map(spectrumOf));
    const middle = dataset.fields.map((_, f) => medianSpectrum(spectra.map((own) => own[f]!)));
    const all = middle[0]!.length - 1;
    const [halved, doubled] = [middle.map(atHalfRate), middle.map(atTwiceTheRate)];
    const distances = spectra.map((own) => distance(own, middle, all));
    const known = usual(distances);
    // A spectrum without lines or edges, such as that of slow drift, looks the same at every rate.
    const telling = Math.min(distance(middle, halved, all), distance(middle, doubled, all >> 1));
    if (telling < leastTelling) return [];
    return long.flatMap((profile, i): PaceHit[] => {
      const before = distances[i]!;
      if (before < leastSpectralDistance || before < timesOthers * known.high) return [];
      const half = distance(spectra[i]!, halved, all);
      // At twice the rate, the upper half of the spectrum is unknown, because the label's recordings do not contain it.
      const twice = distance(spectra[i]!, doubled, all >> 1);
      const after = Math.min(half, twice);
      if (after > mostRemaining * before || after > mostTimesOthers * known.high) return [];
      return [{ profile, before, after, factor: half < twice ? 2 : 0.5 }];
    });
  });
  return hits.map(({ profile: { recording }, before, after, factor }): Finding => {
    const [rate, other] = factor === 2 ? ['half', 'twice'] : ['twice', 'half'];
    return {
      kind: 'rate',
      severity: 'warning',
      confidence: 'likely',
      files: [recording.id],
      evidence: { factor, distance: before, distanceAfter: after },
      message: `${recording.id} seems to be recorded at ${rate} the rate (about ${figureText(recording.rateHz / factor)} Hz instead of ${figureText(recording.rateHz)} Hz): all its frequencies are ${other} those of the other recordings of ${recording.label ?? 'the set'}.`,
      advice:
        'Check the rate of the recorder. Resample the recording, or record again, with a time column if possible.',
    };
  });
}

interface PaceHit {
  profile: Profile;
  before: number;
  after: number;
  factor: number;
}

/** A power of two that is about half the median length of the recordings. */
function segmentOf(recordings: Recording[]): number {
  const lengths = Float64Array.from(recordings, ({ columns }) => columns[0]?.length ?? 0).sort();
  let segment = 1;
  while (2 * segment <= Math.min(mostSegment, quantile(lengths, 0.5) / 2)) segment *= 2;
  return segment;
}

/** Shares of the power in bins 0…segment / 2, averaged over overlapping segments. */
function createSpectrum(segment: number): (column: Float64Array) => Float64Array {
  const transform = createComplexFourier(segment);
  const taper = Float64Array.from(
    { length: segment },
    (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / segment),
  );
  const [re, im] = [new Float64Array(segment), new Float64Array(segment)];
  return (column) => {
    const power = new Float64Array(segment / 2 + 1);
    for (let at = 0; at + segment <= column.length; at += segment >> 1) {
      let sum = 0;
      for (let i = 0; i < segment; i++) sum += column[at + i]!;
      const mean = sum / segment;
      for (let i = 0; i < segment; i++) re[i] = (column[at + i]! - mean) * taper[i]!;
      im.fill(0);
      transform(re, im);
      for (let k = 1; k < power.length; k++) power[k]! += re[k]! ** 2 + im[k]! ** 2;
    }
    const total = power.reduce((sum, value) => sum + value, 0);
    return total > 0 ? power.map((value) => value / total) : power;
  };
}

function medianSpectrum(spectra: Float64Array[]): Float64Array {
  return spectra[0]!.map((_, k) => quantile(Float64Array.from(spectra, (one) => one[k]!).sort(), 0.5));
}

/**
 * The spectrum after every second sample is dropped: frequencies appear doubled, and those above the new Nyquist frequency are folded back.
 */
function atHalfRate(power: Float64Array): Float64Array {
  const last = power.length - 1;
  return power.map((_, k) => valueAt(power, k / 2) + valueAt(power, last - k / 2));
}

/** The spectrum with twice as many samples: frequencies appear halved. */
function atTwiceTheRate(power: Float64Array): Float64Array {
  return power.map((_, k) => (2 * k < power.length ? power[2 * k]! : 0));
}

function valueAt(power: Float64Array, bin: number): number {
  const low = Math.min(Math.floor(bin), power.length - 2);
  return power[low]! + (bin - low) * (power[low + 1]! - power[low]!);
}

/**
 * Root mean square difference between two spectra up to a bin, over all fields, in logarithms of power at points a sixth of an octave
 * apart. Spectra shifted by one point are also compared, because no two machines or people have exactly the same pace.
 */
function distance(own: Float64Array[], other: Float64Array[], last: number): number {
  const points = Math.floor(perOctave * Math.log2(last / lowestBin)) + 1;
  const [first, second] = [own, other].map((spectra) =>
    spectra.map((power) => logPoints(power, last, points)),
  );
  let best = Number.POSITIVE_INFINITY;
  for (const slack of [-1, 0, 1]) {
    let sum = 0;
    first!.forEach((spectrum, f) => {
      const [from, to] = [Math.max(0, -slack), Math.min(points, points - slack)];
      let squares = 0;
      for (let j = from; j < to; j++) squares += (spectrum[j + slack]! - second![f]![j]!) ** 2;
      sum += squares / (to - from);
    });
    best = Math.min(best, Math.sqrt(sum / own.length));
  }
  return best;
}

/** Logarithms of the shares of power at points with logarithmically spaced frequencies. */
function logPoints(power: Float64Array, last: number, points: number): Float64Array {
  const out = new Float64Array(points);
  let total = 0;
  for (let j = 0; j < points; j++) {
    const bin = lowestBin * 2 ** (j / perOctave);
    const half = Math.max(0.5, bin * (2 ** (0.5 / perOctave) - 1));
    let [sum, count] = [0, 0];
    for (let at = bin - half; at <= Math.min(last, bin + half); at += 0.5) {
      sum += valueAt(power, Math.max(0, at));
      count++;
    }
    out[j] = (sum / Math.max(1, count)) * half;
    total += out[j]!;
  }
  return total > 0 ? out.map((value) => Math.log(value / total + floorShare)) : out;
}
