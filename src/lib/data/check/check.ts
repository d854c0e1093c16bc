import type { SignalSpec } from '../../signal/index.js';
import type { Dataset, Finding, Split } from '../types.js';
import { checkCopies } from './copies.js';
import { checkRepeats } from './repeats.js';
import { checkSplit } from './split.js';
import { checkClipping, checkValues, type Ranges } from './values.js';
import { checkGaps, checkRecordings } from './whole.js';

const order = { error: 0, warning: 1, info: 2 } as const;

/**
 * What is wrong with a dataset, worst first; nothing found = an empty list.
 * @param split when given, copies on two sides of it are errors
 * @param ranges plausible values by field (stream.fields.*.range)
 */
export function checkDataset(
  dataset: Dataset,
  spec: SignalSpec,
  split?: Split,
  ranges: Ranges = {},
): Finding[] {
  const findings = [
    ...checkValues(dataset, ranges),
    ...checkClipping(dataset),
    ...checkRecordings(dataset, spec),
    ...checkGaps(dataset),
    ...checkRepeats(dataset, spec),
    ...checkCopies(dataset, split),
    ...(split?.by === 'window' ? checkSplit(dataset, split, spec) : []),
  ];
  return findings.sort((a, b) => order[a.severity] - order[b.severity]);
}
