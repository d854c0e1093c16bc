import type { Dataset } from '../types.js';
import { exactCopies } from './exact.js';
import { nearCopies } from './near.js';

export interface CopyPair {
  a: string;
  b: string;
  /** `exact`: share of the shorter one's samples that the other has too; `near`: correlation of their outlines. */
  kind: 'exact' | 'near';
  share: number;
}

const known = new WeakMap<Dataset, CopyPair[]>();

/** Recordings that are copies of each other, or of parts of each other, strongest first; found once for a dataset. */
export function copiesIn(dataset: Dataset): CopyPair[] {
  const before = known.get(dataset);
  if (before) return before;
  const pairs: CopyPair[] = exactCopies(dataset).map((pair) => ({ ...pair, kind: 'exact' }));
  for (const pair of nearCopies(dataset)) {
    if (!pairs.some(({ a, b }) => a === pair.a && b === pair.b)) pairs.push({ ...pair, kind: 'near' });
  }
  known.set(dataset, pairs);
  return pairs;
}
