import type { Sensing } from '../../../src/lib/loop/types.js';

/**
 * Collects all samples until the end. `lost` has an entry for each batch that reports losses, with the index of its
 * first sample and the count.
 */
export async function allOf(sensing: Sensing) {
  const values: number[] = [];
  const times: number[] = [];
  const lost: [before: number, lost: number][] = [];
  for await (const batch of sensing) {
    if (batch.lost > 0) lost.push([times.length, batch.lost]);
    for (let i = 0; i < batch.count * sensing.fields.length; i++) values.push(batch.values[i]!);
    for (let i = 0; i < batch.count; i++) times.push(batch.times[i]!);
  }
  return { values, times, lost };
}
