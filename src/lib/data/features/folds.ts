import { seededRandom, shuffled } from '../../core/index.js';

/** Fold of each row: rows of one group are in one fold, and each label is spread over the folds as evenly as its groups allow. */
export function groupFolds(groups: string[], labels: number[], folds: number, seed: number): Int32Array {
  const rows = new Map<string, number[]>();
  groups.forEach((group, i) => {
    const list = rows.get(group);
    if (list) list.push(i);
    else rows.set(group, [i]);
  });
  const random = seededRandom(seed);
  const out = new Int32Array(groups.length);
  const byLabel = new Map<number, string[]>();
  for (const [group, own] of rows) {
    const label = labels[own[0]!]!;
    byLabel.set(label, [...(byLabel.get(label) ?? []), group]);
  }
  let next = 0;
  for (const [, own] of [...byLabel].sort(([a], [b]) => a - b)) {
    for (const group of shuffled(own, random)) {
      for (const row of rows.get(group)!) out[row] = next % folds;
      next++;
    }
  }
  return out;
}
