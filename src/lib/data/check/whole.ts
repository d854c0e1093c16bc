import { percent, plural, thousands } from '../../core/index.js';
import { type SignalSpec, windowCount } from '../../signal/index.js';
import type { Dataset, Finding, Recording } from '../types.js';
import { listIds } from './text.js';

/** Classes that have so many times fewer samples than the largest are told of. */
const imbalanceRatio = 4;

/**
 * Recordings without a label, and such as are too short for one window.
 * @param loose the window is no project's, but what was told or taken for one
 */
export function checkRecordings(dataset: Dataset, spec: SignalSpec, loose = false): Finding[] {
  const findings: Finding[] = [];
  const unlabelled = dataset.recordings.filter(({ label }) => label === null).map(({ id }) => id);
  if (unlabelled.length > 0) {
    findings.push({
      kind: 'label',
      severity: 'warning',
      files: unlabelled,
      evidence: { unlabelled: unlabelled.length },
      message: `${plural(unlabelled.length, 'recording')} without a label: ${listIds(unlabelled)}.`,
      advice: 'They are left out. Say what they show: aiot data import FILE --label LABEL.',
    });
  }
  const short = dataset.recordings
    .filter(({ columns }) => windowCount(spec, columns[0]?.length ?? 0) === 0)
    .map(({ id }) => id);
  if (short.length > 0) {
    const seconds = spec.windowSamples / spec.resampleHz;
    findings.push({
      kind: 'short',
      severity: short.length === dataset.recordings.length ? 'error' : 'warning',
      files: short,
      evidence: { windowSamples: spec.windowSamples, windowSeconds: seconds },
      message: loose
        ? `${plural(short.length, 'recording')} of less than ${plural(spec.windowSamples, 'sample')}: ${listIds(short)}.`
        : `${plural(short.length, 'recording')} shorter than one window (${seconds} s): ${listIds(short)}.`,
      advice: loose
        ? 'They give no example. Record longer takes, or say how long a window is: --window.'
        : 'They give no example. Record longer takes, or shorten signal.window.',
    });
  }
  return findings;
}

/**
 * Classes of which there is much less than of others.
 * @param classOf a label's class; absent = each label is one
 */
export function checkBalance(dataset: Dataset, classOf?: Map<string, string>): Finding[] {
  const samples = new Map<string, number>();
  for (const { label, columns } of dataset.recordings) {
    if (label === null) continue;
    const name = classOf?.get(label) ?? label;
    samples.set(name, (samples.get(name) ?? 0) + (columns[0]?.length ?? 0));
  }
  return imbalance(samples, 'samples', (names) =>
    dataset.recordings
      .filter(({ label }) => label !== null && names.includes(classOf?.get(label) ?? label))
      .map(({ id }) => id),
  );
}

/** @param counts of each class @param filesOf the files of some classes */
export function imbalance(
  counts: Map<string, number>,
  unit: 'samples' | 'rows',
  filesOf: (names: string[]) => string[],
): Finding[] {
  const most = Math.max(...counts.values());
  const rare = [...counts].filter(([, count]) => count * imbalanceRatio <= most).map(([name]) => name);
  if (counts.size < 2 || rare.length === 0) return [];
  const [largest] = [...counts].find(([, count]) => count === most)!;
  const least = Math.min(...counts.values());
  const shown = rare.map((name) => `${name} (${thousands(counts.get(name)!)})`);
  return [
    {
      kind: 'imbalance',
      severity: 'warning',
      files: filesOf(rare),
      evidence: { counts: Object.fromEntries(counts), ratio: most / least },
      message: `There is much less of ${listIds(shown)} than of ${largest} (${thousands(most)} ${unit}): always saying ${largest} would be right in ${percent(most / [...counts.values()].reduce((sum, count) => sum + count, 0))}.`,
      advice:
        'Record more of it, and look at macro-F1, not at accuracy; model.train.classWeights makes classes count alike.',
    },
  ];
}

/** Messages that got lost, and stretches in which nothing at all changes although the sensor is a lively one. */
export function checkGaps(dataset: Dataset): Finding[] {
  const lost = dataset.recordings.filter(({ missing = 0 }) => missing > 0);
  const still = dataset.recordings.flatMap((recording) => {
    const found = longestStandstill(recording);
    return found && found.rows / recording.rateHz >= 0.25
      ? [{ id: recording.id, ...found, seconds: found.rows / recording.rateHz }]
      : [];
  });
  const findings: Finding[] = [];
  if (lost.length > 0) {
    const missing = lost.reduce((sum, recording) => sum + recording.missing!, 0);
    const ids = lost.map(({ id }) => id);
    findings.push({
      kind: 'gap',
      severity: 'warning',
      files: ids,
      evidence: { missing },
      message: `${listIds(ids)}: ${plural(missing, 'message')} missing from ${ids.length === 1 ? 'it' : 'them'}.`,
      advice: 'Windows across the gap join what does not belong together. Record again if it matters.',
    });
  }
  if (still.length > 0) {
    const longest = still.reduce((a, b) => (b.seconds > a.seconds ? b : a));
    const ids = still.map(({ id }) => id);
    const others =
      ids.length > 1 ? ` So it is, shorter, in ${listIds(ids.filter((id) => id !== longest.id))}.` : '';
    findings.push({
      kind: 'gap',
      severity: 'warning',
      files: ids,
      evidence: { rows: longest.rows, from: longest.from + 1, seconds: longest.seconds },
      message: `${longest.id}: ${longest.rows} equal rows (${longest.seconds.toFixed(2)} s) from row ${longest.from + 1} on: the sensor or the recorder stood still.${others}`,
      advice: 'Cut the recording there, or record it again.',
    });
  }
  return findings;
}

/** null where repeats are the rule (a slow or coarse sensor): then a long run means nothing. */
function longestStandstill({ columns }: Recording): { from: number; rows: number } | null {
  const n = columns[0]?.length ?? 0;
  let best = { from: 0, rows: 1 };
  let from = 0;
  let inLongRuns = 0;
  for (let i = 1; i <= n; i++) {
    if (i < n && columns.every((column) => column[i] === column[i - 1])) continue;
    const rows = i - from;
    if (rows > best.rows) best = { from, rows };
    if (rows >= 10) inLongRuns += rows;
    from = i;
  }
  return best.rows < 10 || inLongRuns > n / 2 ? null : best;
}
