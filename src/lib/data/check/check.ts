import type { SignalSpec } from '../../signal/spec.js';
import type { Dataset, Finding, Split } from '../types.js';
import { checkSwapped } from './axes.js';
import { checkBand } from './band.js';
import { checkCopies, checkSplit } from './copies.js';
import { checkClipping, checkStuck } from './fields.js';
import { checkLabels } from './labels.js';
import { checkJoints } from './neighbours.js';
import { checkObjects } from './objects.js';
import { type Comparison, compareRecordings } from './profiles.js';
import {
  checkBalance,
  checkGaps,
  checkLengths,
  checkRecordings,
  checkRepeats,
  checkValues,
  type Ranges,
  withNumbersAlone,
} from './recordings.js';
import { checkCounters, checkLabelFields, checkSameFields } from './roles.js';
import { checkShortcuts } from './shortcuts.js';
import { checkPace, checkSpikes } from './signals.js';
import { checkOffsets, checkUnits } from './units.js';

const order = { error: 0, warning: 1, info: 2 } as const;

interface CheckContext {
  /** Plausible values by field (`stream.fields.*.range`). */
  ranges?: Ranges;
  /** Class → recorded labels; absent = each label is a class. */
  labels?: Record<string, string[]>;
  /** Whether the model finds objects in pictures, so that boxes count instead of the recordings' labels. */
  finds?: boolean;
  /** Whether the recordings belong to no project. Other programs then split them and compute the inputs in unknown ways. */
  loose?: boolean;
}

/** The data that a rule may examine. */
interface RuleInput {
  /** The samples as recorded. */
  raw: Dataset;
  /** The recordings with every non-numeric sample replaced. */
  dataset: Dataset;
  comparison: Comparison;
  spec: SignalSpec;
  split: Split | undefined;
  ranges: Ranges;
  /** Class of each label; undefined = each label is its own class. */
  classOf: Map<string, string> | undefined;
  loose: boolean;
  /**
   * Recordings with a finding that already explains how they deviate from their peers. Reporting the deviation again would be redundant.
   */
  explained: ReadonlySet<string>;
}

interface Rule {
  /** The damage that this defect causes if it goes unnoticed. */
  reason: string;
  /** Whether a finding of this rule explains why the recordings deviate from their peers. */
  explains?: true;
  find(input: RuleInput): Finding[];
}

/** The rules for recordings. Rules that find the cause of a deviation come before those that only detect it. */
const rules: Rule[] = [
  {
    reason:
      'The pipeline cannot process non-numeric cells, and implausible values distort the standardization.',
    find: ({ raw, ranges }) => checkValues(raw, ranges),
  },
  {
    reason: 'A clipped signal lacks the peaks that tell classes apart.',
    find: ({ dataset }) => checkClipping(dataset),
  },
  {
    reason: 'Recordings without a label or shorter than a window produce no examples.',
    find: ({ dataset, spec, loose }) => checkRecordings(dataset, spec, loose),
  },
  {
    reason: 'Accuracy hides errors in a rare class.',
    find: ({ dataset, classOf }) => checkBalance(dataset, classOf),
  },
  { reason: 'A window across a gap joins unrelated samples.', find: ({ dataset }) => checkGaps(dataset) },
  {
    reason: 'A field that does not move contains no information.',
    find: ({ dataset }) => checkStuck(dataset),
  },
  {
    reason: 'At a wrong rate, a window covers a different duration and every frequency is wrong.',
    find: ({ comparison }) => checkPace(comparison),
  },
  {
    reason: 'A wrong label teaches the wrong class, or counts a correct prediction as an error.',
    explains: true,
    find: ({ dataset }) => checkLabels(dataset),
  },
  {
    reason: 'A recording in another unit is far outside the range that the model has learned.',
    explains: true,
    find: ({ comparison, explained }) => checkUnits(comparison, explained),
  },
  {
    reason: 'A rotated sensor shows a different movement.',
    explains: true,
    find: ({ comparison, explained }) => checkSwapped(comparison, explained),
  },
  {
    reason: 'An offset moves a recording away from its class.',
    find: ({ comparison, explained }) => checkOffsets(comparison, explained),
  },
  {
    reason: 'A few extreme samples dominate the deviation, extremes and spectrum of their windows.',
    find: ({ comparison }) => checkSpikes(comparison),
  },
  {
    reason: 'Repeated rows are traces of the recorder, which a model may learn instead of the signal.',
    find: ({ dataset, spec }) => checkRepeats(dataset, spec),
  },
  {
    reason: 'A label that can be predicted without the signal makes the accuracy meaningless.',
    find: ({ dataset, spec, loose }) => checkShortcuts(dataset, spec, !loose),
  },
  {
    reason: 'A field that contains the label is not available at run time.',
    find: ({ dataset }) => checkLabelFields(dataset),
  },
  {
    reason: 'A counter identifies the recording, not the activity.',
    find: ({ dataset }) => checkCounters(dataset),
  },
  {
    reason: 'A second copy of a field costs memory and adds nothing.',
    find: ({ dataset }) => checkSameFields(dataset),
  },
  {
    reason: 'No model can learn a difference that the features leave out.',
    find: ({ dataset, spec, classOf, loose }) => (loose ? [] : checkBand(dataset, spec, classOf)),
  },
  {
    reason: 'A copy on both sides of a split tests the model on what it was trained on.',
    find: ({ dataset, split, loose }) => checkCopies(dataset, { split, unguarded: loose && !split }),
  },
  {
    reason: 'Parts of one take on both sides of a split test the model on conditions that it was trained on.',
    find: ({ dataset, split, loose }) => checkJoints(dataset, split, loose),
  },
  {
    reason: 'A split by window puts neighbors of every test window into the training set.',
    find: ({ dataset, split, spec }) => (split?.by === 'window' ? checkSplit(dataset, split, spec) : []),
  },
];

/**
 * Finds the problems of a dataset, worst first; an empty list means none.
 * @param split if given, copies on both sides of the split are errors
 */
export function checkDataset(
  dataset: Dataset,
  spec: SignalSpec,
  split?: Split,
  { ranges = {}, labels, finds = false, loose = false }: CheckContext = {},
): Required<Finding>[] {
  const classOf =
    labels && new Map(Object.entries(labels).flatMap(([name, list]) => list.map((label) => [label, name])));
  if (spec.image) {
    // Pictures are not checked by the rules about time, because neighboring pixels are not successive samples.
    return sortFindings([
      ...checkValues(dataset, ranges),
      ...(finds
        ? [...checkLengths(dataset, spec), ...checkObjects(dataset, labels ?? {})]
        : [...checkRecordings(dataset, spec, loose), ...checkBalance(dataset, classOf)]),
      ...checkCopies(dataset, { split, unguarded: loose && !split }),
    ]);
  }
  const whole = withNumbersAlone(dataset);
  const explained = new Set<string>();
  const comparison = compareRecordings(whole);
  const input = { raw: dataset, dataset: whole, comparison, spec, split, ranges, classOf, loose, explained };
  const findings = rules.flatMap(({ explains, find }) => {
    const found = find(input);
    if (explains) for (const id of found.flatMap(({ files }) => files)) explained.add(id);
    return found;
  });
  return sortFindings(findings);
}

/**
 * Finds the problems that need no comparison of recordings, in linear time: bad values, clipping, recordings without a label or shorter than
 * a window, gaps, stuck fields.
 */
export function checkAlone(dataset: Dataset, spec: SignalSpec, ranges: Ranges): Required<Finding>[] {
  if (spec.image) return sortFindings([...checkValues(dataset, ranges), ...checkLengths(dataset, spec)]);
  const whole = withNumbersAlone(dataset);
  return sortFindings([
    ...checkValues(dataset, ranges),
    ...checkClipping(whole),
    ...checkRecordings(whole, spec, false),
    ...checkGaps(whole),
    ...checkStuck(whole),
  ]);
}

/** Sorts findings: worst first, leaks first within one severity, otherwise in the order found. The default confidence is `certain`. */
export function sortFindings(findings: Finding[]): Required<Finding>[] {
  const rank = ({ severity, kind }: Finding) => 2 * order[severity] + (kind === 'leak' ? 0 : 1);
  return findings
    .map((finding) => ({ ...finding, confidence: finding.confidence ?? ('certain' as const) }))
    .sort((a, b) => rank(a) - rank(b));
}
