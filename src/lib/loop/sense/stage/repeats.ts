import { percent } from '../../../core/index.js';
import type { Tell } from '../events.js';

/** Rows that are compared, and the share of repeats from which on they are no chance. */
const looked = 2000;
const share = 0.2;

/**
 * Watches for samples that repeat the one before in every field: a poller that asks faster than its chip measures. Told once; nothing
 * is taken out, because a model may have learned from such samples. One field alone may well stand still.
 */
export function createRepeats(fields: number, tell: Tell): (values: Float64Array, count: number) => void {
  const before = new Float64Array(fields).fill(Number.NaN);
  let seen = 0;
  let repeats = 0;
  return (values, count) => {
    if (seen >= looked || fields < 2) return;
    for (let i = 0; i < count && seen < looked; i++, seen++) {
      let same = true;
      for (let f = 0; f < fields; f++) {
        const value = values[i * fields + f]!;
        if (value !== before[f]) same = false;
        before[f] = value;
      }
      if (same) repeats++;
    }
    if (seen >= looked && repeats > share * looked) {
      tell(
        'repeats',
        `${percent(repeats / looked)} of the samples repeat the one before: the sensor is asked more often than it measures`,
      );
    }
  };
}
