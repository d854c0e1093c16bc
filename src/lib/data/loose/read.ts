import { AiotError, readBytes } from '../../core/index.js';
import { type BadCell, csvColumns, parseLabelledCsv } from '../../formats/index.js';
import { isEpoch, medianStep, rolesOf, secondsOf } from './columns.js';

/** Samples between two stamps of time that lie further apart than they should. */
export interface Gap {
  /** Row, from 1, after which it opens. */
  row: number;
  seconds: number;
}

/** A CSV file that belongs to no project, as it stands. */
export interface LooseFile {
  fields: string[];
  columns: Float64Array[];
  rows: number;
  /** One a row, from the label column; null without one. */
  labels: string[] | null;
  device: string | null;
  /** Hz by its own time column; null without one. */
  rateHz: number | null;
  /** Milliseconds since 1970, where the time column tells it. */
  startedAt: number | null;
  gaps: Gap[];
  /** Cells that are no numbers: NaN in the columns. The first few, and how many in all. */
  bad: { first: BadCell[]; count: number };
}

export interface ReadOptions {
  /** A column that is the label whatever its name. */
  labelColumn?: string;
  /** Counts cells that are no numbers instead of refusing them. */
  lenient?: boolean;
}

/** @throws AIOT_FILE_NOT_FOUND, AIOT_CSV_COLUMNS (no field, or not the label column named), AIOT_CSV_EMPTY, AIOT_CSV_MALFORMED */
export async function readLooseFile(file: string, options: ReadOptions = {}): Promise<LooseFile> {
  const bytes = await readBytes(file);
  const names = csvColumns(bytes, file);
  const { labelColumn, lenient } = options;
  if (labelColumn !== undefined && !names.includes(labelColumn)) {
    const got = names.join(', ');
    throw new AiotError('AIOT_CSV_COLUMNS', `${file}:1:1: expected a column "${labelColumn}", got ${got}`, {
      next: 'Name the column that holds the labels: --label-from column:NAME.',
    });
  }
  const roles = rolesOf(names, labelColumn);
  const asText = [roles.time, roles.label, roles.device, roles.take].filter((name) => name !== null);
  const bad: LooseFile['bad'] = { first: [], count: 0 };
  const onBad = (cell: BadCell) => {
    bad.count++;
    if (bad.first.length < 5) bad.first.push(cell);
  };
  const { columns, data, texts, rows } = parseLabelledCsv(bytes, file, asText, lenient ? onBad : undefined);
  const wanted = new Set(roles.fields);
  const fields = columns.filter((name) => wanted.has(name));
  if (fields.length === 0) {
    throw new AiotError(
      'AIOT_CSV_COLUMNS',
      `${file}:1:1: expected a column of numbers, got ${names.join(', ')}`,
    );
  }
  const times = roles.time === null ? null : secondsOf(roles.time, texts[roles.time]!);
  const step = times ? medianStep(times) : 0;
  const start = times?.[0] ?? 0;
  return {
    fields,
    columns: data.filter((_, c) => wanted.has(columns[c]!)),
    rows,
    labels: roles.label === null ? null : texts[roles.label]!,
    device: roles.device === null ? null : texts[roles.device]![0]!,
    rateHz: step > 0 ? rounded(1 / step) : null,
    startedAt: isEpoch(start) ? start * 1000 : null,
    gaps: times && step > 0 ? gapsIn(times, step) : [],
    bad,
  };
}

/** Stamps are rounded: 99.99 Hz is 100. */
function rounded(hz: number): number {
  const whole = Math.round(hz);
  return Math.abs(hz - whole) < 0.005 * hz ? whole : Number(hz.toPrecision(4));
}

function gapsIn(times: Float64Array, step: number): Gap[] {
  const gaps: Gap[] = [];
  for (let i = 1; i < times.length; i++) {
    const seconds = times[i]! - times[i - 1]!;
    if (seconds > 3 * step || seconds < 0) gaps.push({ row: i, seconds });
  }
  return gaps;
}
