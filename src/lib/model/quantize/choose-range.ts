import type { Seen } from './calibrate.js';
import type { Range } from './numbers.js';
import type { RangeMethod } from './types.js';

/** Share of the values that a percentile range leaves out at each end. */
const tail = 1e-3;
/** Ranges that `mse` tries: the seen one, and down to a quarter of it. */
const narrowest = 0.25;
const tries = 31;
/** Integers of an activation. int16 clips nothing worth clipping, so ranges are chosen by int8. */
const steps = 255;

/**
 * The range of an activation by a method. min-max: all that was seen. percentile: without the outermost 0.1 % of each
 * end. mse: the narrowing of the seen range with the least mean square error, rounding (scale² / 12) and clipping
 * together. All of them hold 0.
 */
export function rangeBy(method: RangeMethod, seen: Seen): Range {
  const whole = { low: Math.min(seen.low, 0), high: Math.max(seen.high, 0) };
  if (method === 'min-max') return whole;
  const sorted = seen.samples;
  if (method === 'percentile') {
    const cut = Math.floor(sorted.length * tail);
    // Fewer values than 1 / tail have no outermost 0.1 %.
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

/** Mean square error of rounding to the range's steps and clipping to it. `sorted`: ascending values. */
export function expectedNoise(sorted: Float32Array, { low, high }: Range): number {
  let clipped = 0;
  let outside = 0;
  for (let i = 0; i < sorted.length && sorted[i]! < low; i++, outside++) clipped += (low - sorted[i]!) ** 2;
  for (let i = sorted.length - 1; i >= 0 && sorted[i]! > high; i--, outside++)
    clipped += (sorted[i]! - high) ** 2;
  const step = (high - low) / steps;
  return (clipped + ((sorted.length - outside) * step * step) / 12) / Math.max(1, sorted.length);
}
