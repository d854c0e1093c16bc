import type { Graph } from '../../../formats/tflite/graph.js';
import type { Calibration, Kind, RangeMethod } from '../types.js';
import type { Seen } from './calibrate.js';
import { toIntegers } from './integers.js';
import { affordable, measureAgainst } from './noise.js';
import type { Range } from './numbers.js';
import { outputRule } from './rules.js';

interface Chosen extends Range {
  method: RangeMethod;
}

/** Multiply-add budget for `auto` to try ranges: a few tenths of a second. */
const budget = 1e8;

/** Maximum number of rows on which `auto` tries ranges, in addition to rows with extreme values. */
const mostRows = 64;

/** `auto` tries a narrower range only if the expected noise is below this share of the observed range's noise. */
const promising = 0.8;

/** `auto` accepts a narrower range only if the network's output improves by more than this, in decibels. */
const worthwhile = 0.1;

/**
 * The range of each activation, either by one method for all, or by `auto`. `auto` uses the observed range, unless a narrower range brings
 * the quantized network's output closer to the float network's on the representative rows. (The minimum error of a single tensor is not a
 * reliable criterion, because the decision often depends on a rare large value.)
 */
export function chooseRanges(
  graph: Graph,
  seen: ReadonlyMap<number, Seen>,
  calibration: Calibration,
  kinds: readonly Kind[],
  rows: readonly Float32Array[],
): Map<number, Chosen> {
  const by = (method: RangeMethod) =>
    new Map([...seen].map(([index, values]) => [index, { ...rangeBy(method, values), method }] as const));
  if (calibration !== 'auto') return by(calibration);
  const chosen = by('min-max');
  const candidates = candidatesOf(graph, seen, kinds);
  if (candidates.length === 0) return chosen;
  // Includes rows with extreme values, so that the effect of clipping is measured.
  const extreme = candidates.flatMap(({ index }) => seen.get(index)!.extremes.map((row) => rows[row]!));
  const some = [
    ...new Set([...affordable(graph, rows, budget / (candidates.length + 1), 16, mostRows), ...extreme]),
  ];
  const measure = measureAgainst(graph, decisive(graph), some);
  const score = () => {
    const { graph: quantized, twins } = toIntegers(graph, chosen, { kinds, io: 'float32' });
    return measure(quantized, twins);
  };
  let best = score();
  for (const { index, range } of candidates) {
    const before = chosen.get(index)!;
    chosen.set(index, range);
    const now = score();
    if (now > best + worthwhile) best = now;
    else chosen.set(index, before);
  }
  return chosen;
}

/** Narrower ranges with less expected noise, the most promising first. */
function candidatesOf(graph: Graph, seen: ReadonlyMap<number, Seen>, kinds: readonly Kind[]) {
  const made = graph.operators.flatMap(({ op, outputs }, at) =>
    outputRule(op) === 'own' && kinds[at] === 'int8' ? outputs : [],
  );
  const own = kinds.includes('int8') ? [...graph.inputs, ...made] : [];
  return own
    .flatMap((index) => {
      const values = seen.get(index);
      if (values === undefined) return [];
      const sorted = values.samples;
      const whole = expectedNoise(sorted, rangeBy('min-max', values));
      return (['mse', 'percentile'] as const)
        .map((method) => {
          const range = { ...rangeBy(method, values), method };
          return { index, range, share: whole === 0 ? 1 : expectedNoise(sorted, range) / whole };
        })
        .filter(({ share }) => share < promising)
        .sort((a, b) => a.share - b.share)
        .slice(0, 1);
    })
    .sort((a, b) => a.share - b.share);
}

/** The decisive tensor of each output: the input of a final SOFTMAX or LOGISTIC, or otherwise the output. */
export function decisive({ operators, outputs }: Graph): number[] {
  return outputs.map((output) => {
    const last = operators.find((operator) => operator.outputs.includes(output));
    return last?.op === 'SOFTMAX' || last?.op === 'LOGISTIC' ? last.inputs[0]! : output;
  });
}

/** Share of the values that a percentile range excludes at each end. */
const tail = 1e-3;

/** Ranges that `mse` tries: the observed one, and down to a quarter of it. */
const narrowest = 0.25;

const tries = 31;

/** Number of steps in the range of an int8 activation. int16 does not need clipping, so ranges are chosen for int8. */
const steps = 255;

/**
 * An activation's range, by method; every range includes 0. `min-max`: all observed values. `percentile`: all but the outermost 0.1 %
 * at each end. `mse`: the observed range, narrowed to minimize the mean square error of rounding (scale² / 12) plus clipping.
 */
export function rangeBy(method: RangeMethod, seen: Seen): Range {
  const whole = { low: Math.min(seen.low, 0), high: Math.max(seen.high, 0) };
  if (method === 'min-max') return whole;
  const sorted = seen.samples;
  if (method === 'percentile') {
    const cut = Math.floor(sorted.length * tail);
    // With fewer than 1 / tail values, there is no outermost 0.1 %.
    if (cut === 0) return whole;
    return { low: Math.min(sorted[cut]!, 0), high: Math.max(sorted[sorted.length - 1 - cut]!, 0) };
  }
  let best = whole;
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < tries; i++) {
    const share = 1 - ((1 - narrowest) * i) / (tries - 1);
    const range = { low: whole.low * share, high: whole.high * share };
    const noise = expectedNoise(sorted, range);
    // A narrower range must be clearly better: samples do not show every rare value.
    if (noise < least * (i === 0 ? 1 : 0.98)) [best, least] = [range, noise];
  }
  return best;
}

/** Mean square error from rounding to the range's steps and clipping to the range. `sorted`: ascending values. */
function expectedNoise(sorted: Float32Array, { low, high }: Range): number {
  let clipped = 0;
  let outside = 0;
  for (let i = 0; i < sorted.length && sorted[i]! < low; i++, outside++) clipped += (low - sorted[i]!) ** 2;
  for (let i = sorted.length - 1; i >= 0 && sorted[i]! > high; i--, outside++)
    clipped += (sorted[i]! - high) ** 2;
  const step = (high - low) / steps;
  return (clipped + ((sorted.length - outside) * step * step) / 12) / Math.max(1, sorted.length);
}
