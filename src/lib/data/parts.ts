import { seededRandom, shuffled } from '../core/numbers.js';
import type { Split } from './types.js';

export type Part = 'train' | 'validation' | 'test';

/**
 * Assigns the windows of a recording to parts, for a split by window: at random, with shares of about 60, 15 and 25 percent. The result
 * depends only on the recording's name and a seed. Results of such a split are optimistic, because neighboring windows are nearly
 * identical.
 * @param count number of windows in the recording
 */
export function windowParts({ seed }: Pick<Split, 'seed'>, id: string, count: number): Part[] {
  let hash = seed | 0;
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 0x01000193);
  const order = shuffled(
    Array.from({ length: count }, (_, i) => i),
    seededRandom(hash),
  );
  const { validation, test } = partSizes(count);
  const parts = new Array<Part>(count);
  order.forEach((window, i) => {
    parts[window] = i < test ? 'test' : i < test + validation ? 'validation' : 'train';
  });
  return parts;
}

/**
 * Sizes of the validation and test parts for n units; the others are for training. With two units, only the test set gets one; with three
 * or more, each part gets at least one.
 */
export function partSizes(n: number): { validation: number; test: number } {
  if (n < 3) return { validation: 0, test: n === 2 ? 1 : 0 };
  return { validation: Math.max(1, Math.floor(n * 0.15)), test: Math.max(1, Math.round(n * 0.25)) };
}
