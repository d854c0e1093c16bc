import { seededRandom, shuffled } from '../../src/lib/core/numbers.js';
import type { Material } from './material.js';

/** Ids of the recordings that are left out together. */
export type Fold = string[];

/**
 * Recordings dealt into `count` folds, whole, copies together: each recorded label in turn, in an order drawn by chance, so
 * that folds have about as many of each.
 * @param within only these recordings
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

/** Every recording (or set of copies) is a fold. */
export function leaveOneOut(units: Material['units']): Fold[] {
  return units.map(({ ids }) => ids);
}
