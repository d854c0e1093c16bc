import { plural } from '../../core/index.js';
import { type SignalSpec, windowCount } from '../../signal/index.js';
import type { Dataset, Finding, Recording } from '../types.js';
import { listIds } from './text.js';

/** Recordings without a label, and such as are too short for one window. */
export function checkRecordings(dataset: Dataset, spec: SignalSpec): Finding[] {
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
      evidence: { windowSeconds: seconds },
      message: `${plural(short.length, 'recording')} shorter than one window (${seconds} s): ${listIds(short)}.`,
      advice: 'They give no example. Record longer takes, or shorten signal.window.',
    });
  }
  return findings;
}

/** Messages that got lost, and stretches in which nothing at all changes although the sensor is a lively one. */
export function checkGaps(dataset: Dataset): Finding[] {
  const findings: Finding[] = [];
  for (const recording of dataset.recordings) {
    const { id, missing = 0 } = recording;
    if (missing > 0) {
      findings.push({
        kind: 'gap',
        severity: 'warning',
        files: [id],
        evidence: { missing },
        message: `${id}: ${plural(missing, 'message')} missing from it.`,
        advice: 'Windows across the gap join what does not belong together. Record again if it matters.',
      });
    }
    const still = longestStandstill(recording);
    if (still && still.rows / recording.rateHz >= 0.25) {
      findings.push({
        kind: 'gap',
        severity: 'warning',
        files: [id],
        evidence: { rows: still.rows, from: still.from + 1, seconds: still.rows / recording.rateHz },
        message: `${id}: ${still.rows} equal rows (${(still.rows / recording.rateHz).toFixed(2)} s) from row ${still.from + 1} on: the sensor or the recorder stood still.`,
        advice: 'Cut the recording there, or record it again.',
      });
    }
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
