import type { SignalSpec } from '../../signal/spec.js';
import type { Dataset, Finding, Split } from '../types.js';
import { checkCopies, checkSplit } from './copies.js';
import { checkClipping, checkStuck, checkSwapped } from './fields.js';
import {
  checkBalance,
  checkGaps,
  checkRecordings,
  checkRepeats,
  checkValues,
  type Ranges,
  withNumbersAlone,
} from './recordings.js';
import { checkShortcuts } from './shortcuts.js';

const order = { error: 0, warning: 1, info: 2 } as const;

interface CheckContext {
  /** Plausible values by field (`stream.fields.*.range`). */
  ranges?: Ranges;
  /** Class → recorded labels; absent = each label is a class. */
  labels?: Record<string, string[]>;
  /** The recordings belong to no project: they are split and turned into inputs elsewhere, in an unknown way. */
  loose?: boolean;
}

/**
 * Finds the problems of a dataset, worst first; an empty list means none.
 * @param split if given, copies on both sides of it are errors
 */
export function checkDataset(
  dataset: Dataset,
  spec: SignalSpec,
  split?: Split,
  { ranges = {}, labels, loose = false }: CheckContext = {},
): Finding[] {
  const whole = withNumbersAlone(dataset);
  const classOf =
    labels && new Map(Object.entries(labels).flatMap(([name, list]) => list.map((label) => [label, name])));
  const findings = [
    ...checkValues(dataset, ranges),
    ...checkClipping(whole),
    ...checkRecordings(whole, spec, loose),
    ...checkBalance(whole, classOf),
    ...checkGaps(whole),
    ...checkStuck(whole),
    ...checkSwapped(whole),
    ...checkRepeats(whole, spec),
    ...checkShortcuts(whole, spec, !loose),
    ...checkCopies(whole, { split, unguarded: loose && !split }),
    ...(split?.by === 'window' ? checkSplit(whole, split, spec) : []),
  ];
  return sortFindings(findings);
}

/** Worst first; within one severity leaks come first, the rest in the order found. */
export function sortFindings(findings: Finding[]): Finding[] {
  const rank = ({ severity, kind }: Finding) => 2 * order[severity] + (kind === 'leak' ? 0 : 1);
  return [...findings].sort((a, b) => rank(a) - rank(b));
}
