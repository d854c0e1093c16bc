import type { Split } from '../types.js';
import type { CheckReport } from './report.js';

/** Recordings on each side, as a report tells them; a split that was found lying there has no seed. */
export function splitCounts(split: Split, found?: 'folder'): CheckReport['split'] {
  const { by, seed, train, validation, test } = split;
  return {
    by: found ?? by,
    seed: found ? null : seed,
    train: train.length,
    validation: validation.length,
    test: test.length,
  };
}
