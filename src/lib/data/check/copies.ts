import { AiotError } from '../../core/errors.js';
import { percent } from '../../core/figures.js';
import type { SignalSpec } from '../../signal/spec.js';
import { type CopyPair, copiesIn } from '../copies/copies.js';
import type { Dataset, Evidence, Finding, Split } from '../types.js';
import { listIds } from './report.js';

/**
 * Checks whether a split makes the metrics misleading, because the same samples, or near copies, are on both sides. Training calls this
 * function first, so it checks only for leaks. `leakError` combines the errors among the findings into one error.
 * @param spec if given, a split by window reports how much the windows overlap
 */
export function checkSplit(dataset: Dataset, split: Split, spec?: SignalSpec): Finding[] {
  if (split.by === 'window') return [windowLeak(split, spec)];
  return [...sharedRecordings(split), ...checkCopies(dataset, { split })].filter(
    ({ severity }) => severity === 'error',
  );
}

/** Finds recordings that are on two sides of a split. */
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
      message: `${listIds(twice)} are in both the training and the test set.`,
      advice: 'Split by recording, so that each one is on one side only.',
    },
  ];
}

function windowLeak({ train }: Split, spec?: SignalSpec): Finding {
  const overlap = spec ? Math.max(0, 1 - spec.strideSamples / spec.windowSamples) : null;
  const shared =
    overlap !== null && overlap > 0
      ? `share ${percent(overlap, 0)} of their samples with the next one`
      : 'are adjacent';
  return {
    kind: 'leak',
    severity: 'error',
    files: train,
    evidence: { method: 'split by window', recordings: train.length, overlap },
    message: `The split is by window: windows of the same take are on all sides and ${shared}, which makes the metrics look better than they are.`,
    advice: 'Set model.split to recording, device or time.',
  };
}

/** Combines all leaks into one error, or returns null if there are none. Code AIOT_DATA_LEAK, exit code 6. */
export function leakError(findings: Finding[]): AiotError | null {
  const leaks = findings.filter(({ kind, severity }) => kind === 'leak' && severity === 'error');
  const [first] = leaks;
  if (!first) return null;
  const more = leaks.length > 1 ? ` And ${leaks.length - 1} more.` : '';
  return new AiotError('AIOT_DATA_LEAK', `${first.message}${more}`);
}

interface CopiesOptions {
  split?: Split;
  /** Whether another program splits the recordings and may therefore put copies on both sides. */
  unguarded?: boolean;
}

interface Judged extends CopyPair {
  sides: [string, string] | null;
  labels: [string, string] | null;
}

/** Finds copies, grouped by whether they are on two sides of the split, and identical signals with two labels. */
export function checkCopies(dataset: Dataset, { split, unguarded = false }: CopiesOptions): Finding[] {
  const sideOf = new Map<string, string>();
  for (const side of ['train', 'validation', 'test'] as const) {
    for (const id of split?.[side] ?? []) sideOf.set(id, side);
  }
  const labelOf = new Map(dataset.recordings.map(({ id, label }) => [id, label]));
  const judged = copiesIn(dataset).map((pair): Judged => {
    const [a, b] = [sideOf.get(pair.a), sideOf.get(pair.b)];
    const [x, y] = [labelOf.get(pair.a) ?? null, labelOf.get(pair.b) ?? null];
    return {
      ...pair,
      sides: split?.by !== 'window' && a && b && a !== b ? [a, b] : null,
      labels: x !== null && y !== null && x !== y ? [x, y] : null,
    };
  });
  const apart = judged.filter(({ sides }) => sides !== null);
  const together = judged.filter(({ sides }) => sides === null);
  return [
    ...leaks(apart, (pair) => ({
      severity: 'error',
      where: `, one in ${pair.sides![0]} and one in ${pair.sides![1]}: accuracy figures would be misleading`,
      many: ' on two sides of the split: accuracy figures would be misleading',
      advice: 'Split again by recording: aiot keeps copies on one side.',
    })),
    ...leaks(together, () =>
      unguarded
        ? {
            severity: 'error',
            where: '; a split by file would train on the test data',
            many: '; a split by file would train on the test data',
            advice: 'Remove one of them, or keep both on one side of every split, as aiot model train does.',
          }
        : {
            severity: 'warning',
            where: '',
            many: '',
            advice:
              'They count as one recording in the split. If one was copied from the other, remove it with aiot data remove. If both were measured, keep both.',
          },
    ),
    ...mislabelled(judged.filter(({ labels }) => labels !== null)),
  ];
}

interface Words {
  severity: Finding['severity'];
  where: string;
  many: string;
  advice: string;
}

/** Reports up to five copies individually, and more as one finding. */
function leaks(pairs: Judged[], words: (pair: Judged) => Words): Finding[] {
  if (pairs.length <= 5) {
    return pairs.map((pair) => {
      const { severity, where, advice } = words(pair);
      const message = `${pair.a} and ${pair.b} are ${likeness([pair])} (${howOf(pair)})${where}.`;
      return { kind: 'leak', severity, files: [pair.a, pair.b], evidence: evidenceOf(pair), message, advice };
    });
  }
  const { severity, many, advice } = words(pairs[0]!);
  const files = [...new Set(pairs.flatMap(({ a, b }) => [a, b]))].sort();
  const shown = pairs.slice(0, 3).map((pair) => `${pair.a} and ${pair.b} (${howOf(pair)})`);
  return [
    {
      kind: 'leak',
      severity,
      files,
      evidence: {
        pairs: pairs.length,
        apart: pairs[0]!.sides !== null,
        copies: pairs.map(({ a, b }) => `${a} = ${b}`),
        share: pairs.reduce((sum, { share }) => sum + share, 0) / pairs.length,
      },
      message: `${pairs.length} pairs of ${files.length} recordings are ${likeness(pairs)}${many}: ${listIds(shown, 3)} and ${pairs.length - 3} more.`,
      advice,
    },
  ];
}

/** Only equal samples prove a copy: two recordings of the same regular movement are also nearly identical. */
function likeness(pairs: readonly CopyPair[]): string {
  return pairs.every(({ kind }) => kind === 'exact') ? 'copies' : 'nearly identical';
}

function howOf({ kind, share, seconds = 0, fromA = 0, fromB = 0, factor = 1 }: CopyPair): string {
  if (kind === 'exact') return `${percent(share)} of the samples of one are in the other`;
  if (kind === 'stretched') return `correlation ${share.toFixed(3)} at ${factor.toFixed(3)} times the length`;
  if (kind === 'picture') return `correlation ${share.toFixed(3)} of their details`;
  if (kind === 'near') return `correlation ${share.toFixed(3)} below 2 Hz`;
  return `${seconds.toFixed(1)} s from second ${fromA.toFixed(1)} of one and ${fromB.toFixed(1)} of the other, correlation ${share.toFixed(3)}`;
}

function evidenceOf({ kind, share, seconds, fromA, fromB, factor, sides }: Judged): Evidence {
  const evidence: Evidence = { method: kind, share, apart: sides !== null };
  for (const [name, value] of Object.entries({ seconds, fromA, fromB, factor })) {
    if (value !== undefined) evidence[name] = value;
  }
  if (sides) evidence.sides = sides;
  return evidence;
}

function mislabelled(pairs: Judged[]): Finding[] {
  if (pairs.length === 0) return [];
  const shown = pairs.map(
    (pair) => `${pair.a} (${pair.labels![0]}) and ${pair.b} (${pair.labels![1]}), ${howOf(pair)}`,
  );
  return [
    {
      kind: 'label',
      severity: 'error',
      files: [...new Set(pairs.flatMap(({ a, b }) => [a, b]))].sort(),
      evidence: { pairs: pairs.length, copies: pairs.map(({ a, b }) => `${a} = ${b}`) },
      message: `Recordings with different labels contain the same signal: ${listIds(shown, 4)}.`,
      advice: 'Find out which label is correct, and remove the other recording with aiot data remove.',
    },
  ];
}
