import { size, thousands } from '../../core/index.js';
import type { CheatSheet, Checked, Created, Lag, Login, Topics } from '../../stream/index.js';
import { bold, dim, green, red, yellow } from './style.js';
import { facts, table } from './text.js';
import { timeOfDay } from './time.js';

type Cell = string | number | null;

/** Columns that no row has anything in are left out. */
function filled(columns: [title: string, cells: Cell[]][], empty: string): string {
  const shown = columns.filter(([, cells]) => cells.some((cell) => cell !== null));
  const rows = shown[0]?.[1].map((_, row) => shown.map(([, cells]) => cells[row] ?? null)) ?? [];
  return table(
    shown.map(([title]) => title),
    rows,
    empty,
  );
}

const figure = (value: number | undefined): Cell => (value === undefined ? null : thousands(value));
const perSecond = (value: number | undefined): Cell =>
  value === undefined ? null : value >= 10 ? Math.round(value) : Number(value.toPrecision(2));

export function topicsText({ topics }: Topics): string {
  return filled(
    [
      ['TOPIC', topics.map(({ topic }) => topic)],
      ['STREAM', topics.map(({ stream }) => stream ?? null)],
      ['PARTITIONS', topics.map(({ partitions }) => partitions ?? null)],
      ['MESSAGES', topics.map(({ messages }) => figure(messages))],
      ['SIZE', topics.map(({ bytes }) => (bytes === undefined ? null : size(bytes)))],
      ['/S', topics.map(({ rate }) => perSecond(rate))],
      ['BYTES/S', topics.map(({ byteRate }) => (byteRate === undefined ? null : size(Math.round(byteRate))))],
      ['LAST', topics.map(({ last }) => (last === undefined ? null : timeOfDay(last)))],
    ],
    'nothing there, and nothing was heard',
  );
}

export function lagText({ groups }: Lag): string {
  return filled(
    [
      ['GROUP', groups.map(({ group }) => group)],
      ['TOPIC', groups.map(({ topic }) => topic)],
      ['PARTITION', groups.map(({ partition }) => partition ?? null)],
      ['NEXT', groups.map(({ position }) => position)],
      ['END', groups.map(({ end }) => end)],
      ['LAG', groups.map(({ lag }) => lag)],
      ['UNACKED', groups.map(({ pending }) => pending ?? null)],
      ['READERS', groups.map(({ members }) => members ?? null)],
    ],
    'no groups',
  );
}

const marks = {
  ok: () => green('✓'),
  no: () => yellow('–'),
  failed: () => red('✗'),
  skipped: () => dim('·'),
};

export function checkedText({ results }: Checked): string {
  const longest = Math.max(0, ...results.map(({ what }) => what.length));
  return results
    .map(({ what, state, detail }) => `${marks[state]()} ${what.padEnd(longest)}  ${detail}`)
    .join('\n');
}

export function createdText({ topics, dryRun }: Created): string {
  const words = dryRun
    ? { created: 'would be made', changed: 'would change', unchanged: 'is as described' }
    : { created: 'made', changed: 'changed', unchanged: 'was as described' };
  return topics
    .map(({ name, did, changes }) => {
      const told = changes.map((change) => `\n  ${dim(change)}`).join('');
      return `${bold(name)} ${words[did]}${told}`;
    })
    .join('\n');
}

export function loginsText({ endpoints }: Login): string {
  return table(
    ['ENDPOINT', 'KEPT'],
    endpoints.map(({ endpoint, kept }) => [endpoint, kept.join(', ')]),
    'no credentials are kept',
  );
}

/** Commands to copy stand alone on their lines. */
export function cheatText({ title, about, lines, settings, mark = '?' }: CheatSheet): string {
  const commands = lines.map(([what, command]) => `${dim(`# ${what}`)}\n${command}`);
  const pairs = settings.map(([setting, meaning]): [string, string] => [setting, meaning]);
  const after = pairs.length > 0 ? `\n\n${bold(`After the ${mark}`)}\n${facts(pairs)}` : '';
  return `${bold(title)}\n${about}\n\n${commands.join('\n')}${after}`;
}
