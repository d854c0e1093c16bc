import { aiotVersion, elapsed, percent, plural, size, thousands } from '../../../core/index.js';
import {
  barChart,
  factList,
  type Html,
  histogram,
  html,
  htmlTable,
  lineChart,
  reportPage,
  stackChart,
  tileRow,
} from '../../../formats/index.js';
import type { RecordRow } from '../record.js';
import type { BoardOutcome } from '../result.js';
import { type Yield, yieldOf } from './yield.js';

export interface Production {
  /** All of the record, or of this run where there is none; the oldest first. */
  rows: readonly RecordRow[];
  /** Those of this run. */
  outcomes: readonly BoardOutcome[];
  /** The record's file; null = there is none. */
  record: string | null;
}

/** Rows of boards at most. */
const most = 1000;
const [mostBins, enoughForBins] = [24, 8];

/** A production as one HTML page that loads nothing: yield, failures, times, each board, what was written. */
export function productionPage(production: Production): string {
  const { rows, record, outcomes } = production;
  const counted = yieldOf(rows);
  const where =
    record === null ? 'this run' : `${record}, ${plural(outcomes.length, 'board')} of them in this run`;
  const first = rows[0]?.time;
  return reportPage({
    title: 'Production of boards',
    heading: `${counted.well} of ${plural(counted.boards, 'board')} well`,
    lead: `${plural(rows.length, 'line')} of ${where}${first ? `; from ${moment(first)} to ${moment(rows.at(-1)!.time)} UTC` : ''}.`,
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
    ['well at the first attempt', share(firstPass)],
    ['boards', thousands(all)],
    ['not well', thousands(all - well)],
    ['ports without an answer', thousands(silent)],
    ...(median === undefined ? [] : ([['half of the boards within', elapsed(median * 1000)]] as const)),
  ]);
}

function course({ boards: all, well, firstPass }: Yield, rows: readonly RecordRow[]): Html | null {
  if (rows.length === 0) return null;
  const stack = stackChart({
    title: 'Boards',
    parts: [
      { name: 'well at the first attempt', paint: 'good' },
      { name: 'well after more', paint: 'warn' },
      { name: 'not well', paint: 'bad' },
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
    ...{ title: 'Lines of the record', by: 'time', x, xText: elapsed, steps: true },
    series: [
      { name: 'well', values: passed('ok'), paint: 'good' },
      { name: 'failed', values: passed('failed'), paint: 'bad' },
    ],
    format: (value) => String(Number(value.toPrecision(3))),
  });
  return html`<h2>Yield</h2>${stack}<div class="pair" style="margin-top:18px">${chart}${durations(rows)}</div>`;
}

function failures({ failures: list }: Yield): Html | null {
  if (list.length === 0) return null;
  const chart = barChart({
    title: 'Lines that failed, by reason',
    bars: list.map(({ code, rows }) => ({
      ...{ name: code, value: rows, text: thousands(rows), paint: 'bad' as const },
    })),
  });
  const examples = htmlTable(
    ['Reason', 'Such as'],
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
  return html`<figure><figcaption>How long a board takes<span class="note">${plural(took.length, 'board')} that went well</span></figcaption>${histogram({ from, to, area, unit: 's', spoken })}</figure>`;
}

function boards(rows: readonly RecordRow[]): Html {
  const shown = rows.toReversed().slice(0, most);
  const lines = shown.map((row) => [
    ...[moment(row.time), row.mac || '–', row.device || '–'],
    row.result === 'ok' ? html`<span class="good">✓ well</span>` : html`<span class="bad">✗ failed</span>`,
    ...[row.error, String(row.attempts), row.seconds.toFixed(1), row.chip || '–', row.port],
    row.versions || '–',
    row.certificate ? html`<code>${row.certificate.slice(0, 16)}…</code>` : '–',
  ]);
  const head = [
    ...['When (UTC)', 'MAC', 'Device', '', 'What went wrong', 'Attempts', 'Seconds'],
    ...['Chip', 'Port', 'Programs', 'Certificate'],
  ];
  const rest =
    rows.length > most
      ? html`<p class="lead" style="margin-top:12px">The last ${most} of ${thousands(rows.length)}.</p>`
      : null;
  return html`<h2>Boards, the last one first</h2>${htmlTable(head, lines)}${rest}`;
}

/** What this run wrote: each region by its digest, with the boards that have it. */
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
      ...[name, `0x${offset.toString(16)}`, size(bytes), thousands(count)],
      own.length === 1 ? html`<code>${md5}</code>` : `${own.length} different ones: each board has its own`,
    ];
  });
  const warnings = [...new Set(outcomes.flatMap(({ board }) => board?.warnings ?? []))];
  return html`<h2>What this run wrote</h2>${htmlTable(['Region', 'Offset', 'Bytes', 'Boards', 'MD5, as the chips computed it'], rows)}${warnings.length > 0 ? factList(warnings.map((text) => ['Warning', text])) : null}`;
}

/** Of boards that went well, ascending. */
function secondsOf(rows: readonly RecordRow[]): number[] {
  return rows.flatMap(({ result, seconds }) => (result === 'ok' ? [seconds] : [])).sort((a, b) => a - b);
}

function moment(time: string): string {
  return time.slice(0, 19).replace('T', ' ');
}
