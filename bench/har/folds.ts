import { seededRandom, shuffled } from '../../src/lib/core/numbers.js';
import type { Material } from './material.js';

/** Ids of the recordings that are held out together. */
export type Fold = string[];

/**
 * Divides the recordings into `count` folds. Copies stay together. The recordings of each label are distributed in random order, so that
 * all folds have about the same number of each label.
 * @param within limits the folds to these recordings
 */
export function foldsOf(units: Material['units'], count: number, seed: number, within?: Set<string>): Fold[] {
  const random = seededRandom(seed);
  const folds: Fold[] = Array.from({ length: count }, () => []);
  let next = 0;
  for (const label of [...new Set(units.map((unit) => unit.label))].sort()) {
    const own = units.filter(
      (unit) => unit.label === label && (!within || unit.ids.every((id) => within.has(id))),
    );
    for (const { ids } of shuffled(own, random)) folds[next++ % count]!.push(...ids);
  }
  return folds.filter((fold) => fold.length > 0);
}

/** One fold for each recording, or for each set of copies. */
export function leaveOneOut(units: Material['units']): Fold[] {
  return units.map(({ ids }) => ids);
}
