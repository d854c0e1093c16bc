import { AiotError } from '../../core/errors.js';
import { writeTable } from '../../formats/csv/table.js';
import { featureRows } from '../../signal/pipeline.js';
import type { SignalSpec } from '../../signal/spec.js';
import type { Recording } from '../types.js';

/** Features by window, with the recording and label of each window. */
export interface FeatureTable {
  names: string[];
  rows: Float64Array[];
  /** ID of the recording of each row. */
  recordings: string[];
  /** Label of each row; null if unknown. */
  labels: (string | null)[];
}

export interface TableOptions {
  /** Samples omitted at both ends of each recording. */
  trim: number;
  /** Whether a partially filled last window of a recording is included (only the set `har` supports that). */
  unfilled: boolean;
}

/** @throws AIOT_DATA_EMPTY (every recording is shorter than one window), AIOT_FILE_MALFORMED (samples too large for a feature) */
export function featureTable(
  spec: SignalSpec,
  recordings: Recording[],
  { trim, unfilled }: TableOptions,
): FeatureTable {
  const table: FeatureTable = { names: [], rows: [], recordings: [], labels: [] };
  for (const { id, label, fields, columns } of recordings) {
    const end = Math.max(trim, (columns[0]?.length ?? 0) - trim);
    const cut = spec.fields.map((field) => columns[fields.indexOf(field)]!.subarray(trim, end));
    const { names, rows } = featureRows(spec, cut, unfilled);
    table.names = names;
    for (const [window, row] of rows.entries()) {
      const beyond = row.findIndex((value) => Math.abs(value) === Number.POSITIVE_INFINITY);
      if (beyond >= 0) throw tooLarge(id, names[beyond]!, trim + window * spec.strideSamples, spec);
      table.rows.push(row);
      table.recordings.push(id);
      table.labels.push(label);
    }
  }
  if (table.rows.length === 0) {
    const longest = Math.max(...recordings.map(({ columns }) => columns[0]?.length ?? 0));
    throw new AiotError(
      'AIOT_DATA_EMPTY',
      `no window: expected recordings of at least ${spec.windowSamples} samples at ${spec.resampleHz} Hz${trim > 0 ? ` after trimming ${trim} from each end` : ''}, got ${longest} at most`,
      { next: 'Use a shorter --window.' },
    );
  }
  return table;
}

/** @param from first sample of the window, from 0, counted before resampling */
function tooLarge(recording: string, feature: string, from: number, spec: SignalSpec): AiotError {
  const place = spec.rateHz === spec.resampleHz ? ` from sample ${from + 1} on` : '';
  return new AiotError(
    'AIOT_FILE_MALFORMED',
    `recording ${recording}, the window of ${spec.windowSamples} samples${place}: the feature ${feature} is infinite, because the samples are too large`,
    { subject: 'csv', next: 'Correct or remove these samples; no sensor produces such values.' },
  );
}

/** @param labelled appends the columns `recording` and `label` after the features */
export function tableText(table: FeatureTable, labelled: boolean): string {
  if (!labelled) return writeTable(table.names, table.rows);
  const label = table.labels.map((name) => name ?? 'unlabelled');
  return writeTable(table.names, table.rows, { recording: table.recordings, label });
}

/** The rows without an empty cell. */
export function completeRows(table: FeatureTable): FeatureTable {
  const keep = table.rows.map((row) => !row.some(Number.isNaN));
  const kept = <T>(list: T[]) => list.filter((_, i) => keep[i]);
  return {
    names: table.names,
    rows: kept(table.rows),
    recordings: kept(table.recordings),
    labels: kept(table.labels),
  };
}
