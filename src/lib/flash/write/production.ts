import { stat } from 'node:fs/promises';
import { extname } from 'node:path';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { elapsed, hex, percent, plural, size, thousands } from '../../core/figures.js';
import { readText, requireWritable, writeFileAtomic } from '../../core/files.js';
import { aiotVersion } from '../../core/folders.js';
import { parsedJson } from '../../core/text.js';
import { csvRecords } from '../../formats/csv/records.js';
import { type Html, html, htmlTable, reportPage } from '../../formats/html.js';
import { barChart, factList, histogram, lineChart, stackChart, tileRow } from '../../formats/html-charts.js';
import type { BoardOutcome } from './result.js';

/** One line of a production record: the result for one board. */
const recordRowSchema = z.object({
  /** Time of the result, ISO 8601 in UTC. */
  time: z.string(),
  port: z.string(),
  /** MAC of the board; empty if it did not answer. */
  mac: z.string(),
  chip: z.string(),
  device: z.string(),
  /** SHA-256 of the device's certificate. */
  certificate: z.string(),
  /** Names and versions of the board's programs, separated by `; `. */
  versions: z.string(),
  result: z.enum(['ok', 'failed']),
  /** Error code and message; empty on success. */
  error: z.string(),
  attempts: z.coerce.number().int(),
  seconds: z.coerce.number(),
});

export type RecordRow = z.output<typeof recordRowSchema>;

const columns = Object.keys(recordRowSchema.shape) as (keyof RecordRow)[];

interface ProductionRecord {
  /** Rows of this run and of earlier ones. */
  rows(): readonly RecordRow[];
  /** Adds a board; resolves once its row is in the file. @throws AIOT_FILE_NOT_WRITABLE */
  add(outcome: BoardOutcome): Promise<void>;
}

/**
 * Opens a record, `.csv` or `.json`, to which boards are added. The whole file is rewritten for each board, so that a crash loses
 * no reported board.
 * @throws AIOT_USAGE (another extension), AIOT_FILE_MALFORMED, AIOT_FILE_NOT_WRITABLE: before any board is accessed
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
    `row ${Number(issue?.path[0] ?? 0) + 1}: invalid value in ${String(issue?.path[1] ?? 'it')}`,
  );
}

function csvRows(text: string, file: string): unknown[] {
  const [head, ...records] = csvRecords(text, file);
  if (head?.cells.join() !== columns.join()) throw notRecord(file, `expected the columns ${columns.join()}`);
  return records.map(({ cells }) => Object.fromEntries(columns.map((name, i) => [name, cells[i]])));
}

function parseJson(text: string, file: string): unknown {
  const value = parsedJson(text);
  if (value === undefined) throw notRecord(file, 'not valid JSON');
  return value;
}

function notRecord(file: string, why: string): AiotError {
  return new AiotError('AIOT_FILE_MALFORMED', `${file} is not a production record: ${why}`, {
    next: 'Specify another file with --record.',
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

/** Formats a cell of CSV (RFC 4180, section 2). Line breaks are removed, because simple readers would split the row there. */
function cell(text: string): string {
  const line = text.replaceAll(/\s*[\r\n]+\s*/g, ' ');
  return /[",]/.test(line) ? `"${line.replaceAll('"', '""')}"` : line;
}

interface Production {
  /** Rows of the whole record or, if there is none, of this run; the oldest first. */
  rows: readonly RecordRow[];
  /** Results of this run. */
  outcomes: readonly BoardOutcome[];
  /** The record's file; null = none. */
  record: string | null;
}

/** Maximum number of rows in the list of boards. */
const most = 1000;

const [mostBins, enoughForBins] = [24, 8];

/** A production report as one self-contained HTML page: yield, failures, times, each board, written regions. */
export function productionPage(production: Production): string {
  const { rows, record, outcomes } = production;
  const counted = yieldOf(rows);
  const where = record === null ? 'this run' : `${record} (${plural(outcomes.length, 'board')} in this run)`;
  const first = rows[0]?.time;
  return reportPage({
    title: 'Board production',
    heading: `${counted.well} of ${plural(counted.boards, 'board')} passed`,
    lead: `${plural(rows.length, 'attempt')} in ${where}${first ? `, ${moment(first)} to ${moment(rows.at(-1)!.time)} UTC` : ''}.`,
    sections: [
      tiles(counted, rows),
      course(counted, rows),
      failures(counted),
      boards(rows),
      written(outcomes),
    ],
    aiot: aiotVersion(),
  });
}

function tiles({ boards: all, well, firstPass, silent }: Yield, rows: readonly RecordRow[]): Html {
  const share = (part: number) => (all === 0 ? '–' : percent(part / all));
  const took = secondsOf(rows);
  const median = took[Math.floor(took.length / 2)];
  return tileRow([
    ['yield', share(well)],
    ['passed on the first attempt', share(firstPass)],
    ['boards', thousands(all)],
    ['failed', thousands(all - well)],
    ['unresponsive ports', thousands(silent)],
    ...(median === undefined ? [] : ([['median time per board', elapsed(median * 1000)]] as const)),
  ]);
}

function course({ boards: all, well, firstPass }: Yield, rows: readonly RecordRow[]): Html | null {
  if (rows.length === 0) return null;
  const stack = stackChart({
    title: 'Boards',
    parts: [
      { name: 'passed on the first attempt', paint: 'good' },
      { name: 'passed after a retry', paint: 'warn' },
      { name: 'failed', paint: 'bad' },
    ],
    rows: [
      {
        name: 'all',
        values: [firstPass, Math.max(0, well - firstPass), all - well],
        text: plural(all, 'board'),
      },
    ],
  });
  const begun = Date.parse(rows[0]!.time);
  const x = rows.map(({ time }) => Math.max(0, Date.parse(time) - begun));
  if (rows.length < 2 || x.at(-1) === 0) return html`<h2>Yield</h2>${stack}`;
  const passed = (result: RecordRow['result']) => {
    let count = 0;
    return rows.map((row) => (row.result === result ? ++count : count));
  };
  const chart = lineChart({
    ...{ title: 'Attempts', by: 'time', x, xText: elapsed, steps: true },
    series: [
      { name: 'passed', values: passed('ok'), paint: 'good' },
      { name: 'failed', values: passed('failed'), paint: 'bad' },
    ],
    format: (value) => String(Number(value.toPrecision(3))),
  });
  return html`<h2>Yield</h2>${stack}<div class="pair" style="margin-top:18px">${chart}${durations(rows)}</div>`;
}

function failures({ failures: list }: Yield): Html | null {
  if (list.length === 0) return null;
  const chart = barChart({
    title: 'Failed attempts by error',
    bars: list.map(({ code, rows }) => ({
      ...{ name: code, value: rows, text: thousands(rows), paint: 'bad' as const },
    })),
  });
  const examples = htmlTable(
    ['Error', 'Example'],
    list.map(({ code, example }) => [code, example]),
  );
  return html`<h2>Failures</h2><div class="pair">${chart}${examples}</div>`;
}

function durations(rows: readonly RecordRow[]): Html | null {
  const took = secondsOf(rows);
  const [from, to] = [took[0] ?? 0, took.at(-1) ?? 0];
  if (took.length < enoughForBins || from === to) return null;
  const count = Math.min(mostBins, Math.ceil(Math.sqrt(took.length)));
  const area = new Array<number>(count).fill(0);
  for (const value of took)
    area[Math.min(count - 1, Math.floor(((value - from) / (to - from)) * count))]! += 1 / took.length;
  const spoken = `Time of ${plural(took.length, 'board')} from the opening of the port`;
  return html`<figure><figcaption>Time per board<span class="note">${plural(took.length, 'board')} that passed</span></figcaption>${histogram({ from, to, area, unit: 's', spoken })}</figure>`;
}

function boards(rows: readonly RecordRow[]): Html {
  const shown = rows.toReversed().slice(0, most);
  const lines = shown.map((row) => [
    ...[moment(row.time), row.mac || '–', row.device || '–'],
    row.result === 'ok' ? html`<span class="good">✓ passed</span>` : html`<span class="bad">✗ failed</span>`,
    ...[row.error, String(row.attempts), row.seconds.toFixed(1), row.chip || '–', row.port],
    row.versions || '–',
    row.certificate ? html`<code>${row.certificate.slice(0, 16)}…</code>` : '–',
  ]);
  const head = [
    ...['Time (UTC)', 'MAC', 'Device', 'Result', 'Error', 'Attempts', 'Seconds'],
    ...['Chip', 'Port', 'Firmware', 'Certificate'],
  ];
  const rest =
    rows.length > most
      ? html`<p class="lead" style="margin-top:12px">The last ${most} of ${thousands(rows.length)}.</p>`
      : null;
  return html`<h2>Boards, newest first</h2>${htmlTable(head, lines)}${rest}`;
}

/** The data written by this run: each region by its digest, with the boards that have it. */
function written(outcomes: readonly BoardOutcome[]): Html | null {
  const regions = new Map<
    string,
    { name: string; offset: number; bytes: number; md5: string; boards: number }
  >();
  for (const { board } of outcomes)
    for (const { name, offset, bytes, md5 } of board?.regions ?? []) {
      const key = `${offset} ${md5}`;
      const found = regions.get(key) ?? { name, offset, bytes, md5, boards: 0 };
      regions.set(key, { ...found, boards: found.boards + 1 });
    }
  if (regions.size === 0) return null;
  const offsets = [...new Set([...regions.values()].map(({ offset }) => offset))].sort((a, b) => a - b);
  const rows = offsets.map((offset) => {
    const own = [...regions.values()].filter((region) => region.offset === offset);
    const { name, bytes, md5 } = own[0]!;
    const count = own.reduce((sum, each) => sum + each.boards, 0);
    return [
      ...[name, hex(offset), size(bytes), thousands(count)],
      own.length === 1 ? html`<code>${md5}</code>` : `${own.length} different values, one per board`,
    ];
  });
  const warnings = [...new Set(outcomes.flatMap(({ board }) => board?.warnings ?? []))];
  return html`<h2>Regions written in this run</h2>${htmlTable(['Region', 'Offset', 'Bytes', 'Boards', 'MD5 computed by the chip'], rows)}${warnings.length > 0 ? factList(warnings.map((text) => ['Warning', text])) : null}`;
}

/** Durations of successful boards, ascending. */
function secondsOf(rows: readonly RecordRow[]): number[] {
  return rows.flatMap(({ result, seconds }) => (result === 'ok' ? [seconds] : [])).sort((a, b) => a - b);
}

function moment(time: string): string {
  return time.slice(0, 19).replace('T', ' ');
}

/** Results of boards. Each board is counted once, regardless of how often it was flashed. */
interface Yield {
  /** Boards with a known MAC. */
  boards: number;
  /** Boards whose last row is a success. */
  well: number;
  /** Boards whose first row is a success at the first attempt. */
  firstPass: number;
  /** Number of rows for ports where no board answered. */
  silent: number;
  /** Error codes of all failed rows, most frequent first. */
  failures: { code: string; rows: number; example: string }[];
}

function yieldOf(rows: readonly RecordRow[]): Yield {
  const byMac = new Map<string, RecordRow[]>();
  for (const row of rows) if (row.mac !== '') byMac.set(row.mac, [...(byMac.get(row.mac) ?? []), row]);
  const boards = [...byMac.values()];
  const failures = new Map<string, Yield['failures'][number]>();
  for (const { result, error } of rows) {
    if (result === 'ok') continue;
    const [, code = 'unknown', message = error] = /^([A-Z][A-Z0-9_]+): (.*)$/s.exec(error) ?? [];
    const found = failures.get(code) ?? { code, rows: 0, example: message };
    failures.set(code, { ...found, rows: found.rows + 1 });
  }
  return {
    boards: boards.length,
    well: boards.filter((own) => own.at(-1)!.result === 'ok').length,
    firstPass: boards.filter(([first]) => first!.result === 'ok' && first!.attempts === 1).length,
    silent: rows.filter(({ mac, result }) => mac === '' && result === 'failed').length,
    failures: [...failures.values()].sort((a, b) => b.rows - a.rows),
  };
}
