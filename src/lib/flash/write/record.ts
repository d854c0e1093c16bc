import { stat } from 'node:fs/promises';
import { extname } from 'node:path';
import { z } from 'zod';
import { AiotError, readText, requireWritable, writeFileAtomic } from '../../core/index.js';
import { csvRecords } from '../../formats/index.js';
import type { BoardOutcome } from './result.js';

/** One line of a production record: what happened to one board. */
export const recordRowSchema = z.object({
  /** ISO 8601, UTC. */
  time: z.string(),
  port: z.string(),
  /** Empty when the board never answered. */
  mac: z.string(),
  chip: z.string(),
  device: z.string(),
  /** SHA-256 of the device's certificate. */
  certificate: z.string(),
  /** What its programs say of themselves, separated by `; `. */
  versions: z.string(),
  result: z.enum(['ok', 'failed']),
  /** Error code and message; empty when it went well. */
  error: z.string(),
  attempts: z.coerce.number().int(),
  seconds: z.coerce.number(),
});
export type RecordRow = z.output<typeof recordRowSchema>;

const columns = Object.keys(recordRowSchema.shape) as (keyof RecordRow)[];

export interface ProductionRecord {
  /** Those of earlier runs too. */
  rows(): readonly RecordRow[];
  /** Adds a board; the file has it when this resolves. @throws AIOT_FILE_NOT_WRITABLE */
  add(outcome: BoardOutcome): Promise<void>;
}

/**
 * Opens a record, `.csv` or `.json`, to be gone on with; the whole file is written anew with each board, so that a crash
 * loses none that was told of.
 * @throws AIOT_USAGE (another ending), AIOT_FILE_MALFORMED, AIOT_FILE_NOT_WRITABLE: before any board is touched
 */
export async function openRecord(file: string, now: () => number): Promise<ProductionRecord> {
  const format = extname(file).toLowerCase();
  if (format !== '.csv' && format !== '.json') {
    throw new AiotError('AIOT_USAGE', `expected a record that ends in .csv or .json, got ${file}`);
  }
  const rows = await readRows(file, format);
  await requireWritable(file);
  let writing: Promise<void> = Promise.resolve();
  return {
    rows: () => rows,
    add(outcome) {
      rows.push(rowOf(outcome, now()));
      const text = format === '.csv' ? csvOf(rows) : `${JSON.stringify(rows, null, 2)}\n`;
      writing = writing.catch(() => {}).then(() => writeFileAtomic(file, text));
      return writing;
    },
  };
}

async function readRows(file: string, format: '.csv' | '.json'): Promise<RecordRow[]> {
  const found = await stat(file).catch(() => null);
  if (found === null || found.size === 0) return [];
  const text = await readText(file);
  const values: unknown = format === '.csv' ? csvRows(text, file) : parseJson(text, file);
  const parsed = z.array(recordRowSchema).safeParse(values);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw notRecord(
    file,
    `row ${Number(issue?.path[0] ?? 0) + 1}: ${String(issue?.path[1] ?? 'it')} does not fit`,
  );
}

function csvRows(text: string, file: string): unknown[] {
  const [head, ...records] = csvRecords(text, file);
  if (head?.cells.join() !== columns.join()) throw notRecord(file, `expected the columns ${columns.join()}`);
  return records.map(({ cells }) => Object.fromEntries(columns.map((name, i) => [name, cells[i]])));
}

function parseJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw notRecord(file, 'it is not JSON');
  }
}

function notRecord(file: string, why: string): AiotError {
  return new AiotError('AIOT_FILE_MALFORMED', `${file} is no production record: ${why}`, {
    next: 'Name another file with --record.',
  });
}

export function rowOf(
  { port, attempts, seconds, mac, chip, device, board, error }: BoardOutcome,
  now: number,
): RecordRow {
  return {
    time: new Date(now).toISOString(),
    port,
    mac: mac ?? '',
    chip: chip ?? '',
    device: board?.device ?? device ?? '',
    certificate: board?.certificate ?? '',
    versions: board?.versions.join('; ') ?? '',
    result: error ? 'failed' : 'ok',
    error: error ? `${error.code}: ${error.message}` : '',
    attempts,
    seconds,
  };
}

function csvOf(rows: readonly RecordRow[]): string {
  const lines = rows.map((row) => columns.map((name) => cell(String(row[name]))).join(','));
  return `${[columns.join(','), ...lines].join('\n')}\n`;
}

/** RFC 4180, section 2; a line break within a cell would end the line for a reader that is not careful. */
function cell(text: string): string {
  const line = text.replaceAll(/\s*[\r\n]+\s*/g, ' ');
  return /[",]/.test(line) ? `"${line.replaceAll('"', '""')}"` : line;
}
