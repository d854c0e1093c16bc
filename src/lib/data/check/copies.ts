import { percent } from '../../core/index.js';
import { copiesIn } from '../copies/index.js';
import type { Dataset, Finding, Split } from '../types.js';

/** Copies, told apart by whether they fall on two sides of the split. */
export function checkCopies(dataset: Dataset, split?: Split): Finding[] {
  const sideOf = new Map<string, string>();
  for (const side of ['train', 'validation', 'test'] as const) {
    for (const id of split?.[side] ?? []) sideOf.set(id, side);
  }
  return copiesIn(dataset).map(({ a, b, kind, share }) => {
    const sides = [sideOf.get(a), sideOf.get(b)];
    const apart = sides[0] !== undefined && sides[1] !== undefined && sides[0] !== sides[1];
    const how =
      kind === 'exact'
        ? `${percent(share)} of the samples of one are in the other`
        : `correlation ${share.toFixed(3)}`;
    return {
      kind: 'leak',
      severity: apart ? 'error' : 'warning',
      files: [a, b],
      evidence: { method: kind, share, apart },
      message: `${a} and ${b} are copies (${how})${apart ? `, one in ${sides[0]} and one in ${sides[1]}: the figures would be a fiction` : ''}.`,
      advice: apart
        ? 'Split anew: aiot keeps copies on one side.'
        : 'They count as one recording in the split. Remove one of them.',
    } satisfies Finding;
  });
}
