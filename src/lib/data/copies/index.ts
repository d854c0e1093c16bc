import type { Dataset } from '../types.js';
import { exactCopies } from './exact.js';
import { nearCopies } from './near.js';
import { partialCopies } from './partial.js';
import { stretchedCopies } from './stretched.js';

export interface CopyPair {
  a: string;
  b: string;
  /**
   * `exact`: share of the shorter one's samples that the other has too; `near`: correlation of their outlines; `part`:
   * correlation of a stretch that both have; `stretched`: correlation of the two at one length.
   */
  kind: 'exact' | 'near' | 'part' | 'stretched';
  share: number;
  /** Of a stretch: seconds, and from which second on in a and in b. */
  seconds?: number;
  fromA?: number;
  fromB?: number;
  /** Of stretched ones: length of b over length of a. */
  factor?: number;
}

const known = new WeakMap<Dataset, CopyPair[]>();

/** Recordings that are copies of each other, or of parts of each other, strongest first; found once for a dataset. */
export function copiesIn(dataset: Dataset): CopyPair[] {
  const before = known.get(dataset);
  if (before) return before;
  const ids = dataset.recordings.map(({ id }) => id);
  const pairs = new Map<string, CopyPair>();
  const add = (pair: CopyPair) => {
    const key = `${pair.a}\n${pair.b}`;
    if (!pairs.has(key)) pairs.set(key, pair);
  };
  for (const pair of exactCopies(dataset)) add({ ...pair, kind: 'exact' });
  for (const pair of nearCopies(dataset)) add({ ...pair, kind: 'near' });
  for (const { a, b, share, factor } of stretchedCopies(dataset)) {
    add({ a: ids[a]!, b: ids[b]!, kind: 'stretched', share, factor });
  }
  // A pair that is known already needs no closer look.
  const apart = (a: number, b: number) => !pairs.has(`${ids[a]}\n${ids[b]}`);
  for (const { a, b, seconds, fromA, fromB, correlation } of partialCopies(dataset, apart)) {
    add({ a: ids[a]!, b: ids[b]!, kind: 'part', share: correlation, seconds, fromA, fromB });
  }
  const list = [...pairs.values()];
  known.set(dataset, list);
  return list;
}
