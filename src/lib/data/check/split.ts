import { AiotError, percent } from '../../core/index.js';
import type { SignalSpec } from '../../signal/index.js';
import type { Dataset, Finding, Split } from '../types.js';
import { checkCopies } from './copies.js';
import { listIds } from './text.js';

/**
 * Whether a split lets figures lie: the same samples, or near copies of them, on two sides. Only leaks are looked for, so
 * that training can ask before it begins. Errors among the findings: `leakError` makes one error of them.
 * @param spec when given, a split by window tells how much of the windows overlap
 */
export function checkSplit(dataset: Dataset, split: Split, spec?: SignalSpec): Finding[] {
  if (split.by === 'window') return [windowLeak(split, spec)];
  return [...sharedRecordings(split), ...checkCopies(dataset, { split })].filter(
    ({ severity }) => severity === 'error',
  );
}

/** A recording that stands on two sides. */
function sharedRecordings(split: Split): Finding[] {
  const test = new Set(split.test);
  const training = new Set([...split.train, ...split.validation]);
  const twice = [...training].filter((id) => test.has(id));
  if (twice.length === 0) return [];
  return [
    {
      kind: 'leak',
      severity: 'error',
      files: twice,
      evidence: { method: 'same recording', recordings: twice.length },
      message: `${listIds(twice)} stand both where is trained and where is tested.`,
      advice: 'Split by recording: each stands on one side only.',
    },
  ];
}

function windowLeak({ train }: Split, spec?: SignalSpec): Finding {
  const overlap = spec ? Math.max(0, 1 - spec.strideSamples / spec.windowSamples) : null;
  const shared =
    overlap !== null && overlap > 0
      ? `share ${percent(overlap, 0)} of their samples with the next one`
      : 'lie next to each other';
  return {
    kind: 'leak',
    severity: 'error',
    files: train,
    evidence: { method: 'split by window', recordings: train.length, overlap },
    message: `The split is by window: windows of the same take stand on all sides and ${shared}, so that the figures flatter.`,
    advice: 'Set model.split to recording, device or time.',
  };
}

/** One error of all leaks, or null where there is none. Code AIOT_DATA_LEAK, exit code 6. */
export function leakError(findings: Finding[]): AiotError | null {
  const leaks = findings.filter(({ kind, severity }) => kind === 'leak' && severity === 'error');
  const [first] = leaks;
  if (!first) return null;
  const more = leaks.length > 1 ? ` And ${leaks.length - 1} more.` : '';
  return new AiotError('AIOT_DATA_LEAK', `${first.message}${more}`);
}
