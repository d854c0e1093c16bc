import { plural, size, thousands } from '../../core/figures.js';
import { printable, printablePayload } from '../../core/text.js';
import type { Bench } from '../../stream/broker/bench.js';
import type { Checked } from '../../stream/broker/check.js';
import type { Created } from '../../stream/broker/create.js';
import type { Lag, Topics } from '../../stream/broker/inspect.js';
import type { CheatSheet } from '../../stream/cheat-sheets.js';
import type { Login } from '../../stream/credentials.js';
import type { Installed } from '../../stream/route/bridge.js';
import type { TestedRoutes } from '../../stream/route/cases.js';
import type { ListedRoutes } from '../../stream/route/load.js';
import type { ImportedRoutes } from '../../stream/route/node-red.js';
import type { RoutesEnd } from '../../stream/route/types.js';
import { stateText } from '../../stream/route/watch.js';
import type { Shown } from '../../stream/tail/select.js';
import type { StreamStatistics } from '../../stream/tail/statistics.js';
import { bytesOf as shownBytes } from '../../stream/tail/template.js';
import { bold, cyan, dim, green, red, yellow } from './style.js';
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

/** One line: when, from where (of several sources), topic, key, payload. */
export function messageText(shown: Shown, several: boolean): string {
  const { message } = shown;
  const parts = [
    dim(timeOfDay(message.time)),
    ...(several ? [dim(message.source)] : []),
    cyan(printable(message.topic)),
  ];
  if (message.key) parts.push(dim(printablePayload(message.key)));
  return [...parts, message.tombstone ? dim('(deleted)') : payloadText(shown)].join('  ');
}

/** C's end mark of a string says nothing to people. */
function payloadText(shown: Shown): string {
  const bytes = shownBytes(shown);
  let length = bytes.length;
  while (length > 0 && bytes[length - 1] === 0) length--;
  return printablePayload(length === 0 ? bytes : bytes.subarray(0, length));
}

/** How much came, by topic, and the numbers in it. */
export function streamStatisticsText(statistics: StreamStatistics): string {
  const { messages, seconds, bytes, rate, byteRate, dropped, topics } = statistics;
  const rows = topics.flatMap((each) => [
    [
      each.topic,
      each.messages,
      each.rate.toFixed(1),
      String(each.bytes.least),
      each.bytes.mean.toFixed(1),
      String(each.bytes.most),
    ],
    ...Object.entries(each.fields).map(([name, field]) => [
      dim(`  ${name}`),
      field.count,
      '',
      precise(field.least),
      precise(field.mean),
      precise(field.most),
    ]),
  ]);
  const head = `${plural(messages, 'message')} in ${seconds.toFixed(1)} s: ${rate.toFixed(1)}/s, ${size(bytes)}, ${size(Math.round(byteRate))}/s`;
  const lost = dropped > 0 ? `, ${dropped} dropped` : '';
  return `${head}${lost}\n\n${table(['topic', 'count', 'a second', 'least', 'mean', 'most'], rows, 'no message')}`;
}

function precise(value: number): string {
  return String(Number(value.toPrecision(6)));
}

/** What routes have done, one a line. */
export function routesEndText({ routes }: RoutesEnd): string {
  return routes.map((route) => `${bold(route.name)}  ${stateText(route)}`).join('\n');
}

export function testedRoutesText({ cases, passed, failed, untested }: TestedRoutes): string {
  const lines = cases.map(({ route, name, passed: good, why }) => {
    const mark = good ? green('✓') : red('✗');
    return `${mark} ${route}: ${name}${why === undefined ? '' : `\n    ${why}`}`;
  });
  const bare = untested.length > 0 ? [yellow(`without a case: ${untested.join(', ')}`)] : [];
  return [...lines, ...bare, bold(`${plural(passed, 'case')} passed, ${failed} failed`)].join('\n');
}

export function listedRoutesText({ routes }: ListedRoutes): string {
  return table(
    ['ROUTE', 'FROM', 'TO', 'DOES', 'ON ERROR', 'CASES', 'SPOOL'],
    routes.map(({ name, from, to, does, onError, tests, spools }) => [
      name,
      from.join(' '),
      to.join(' '),
      does.join(' ') || null,
      onError,
      tests,
      spools.map(spoolText).join(' ') || null,
    ]),
  );
}

function spoolText({
  messages,
  bytes,
  limit,
  damaged,
}: ListedRoutes['routes'][number]['spools'][number]): string {
  const bad = damaged > 0 ? `, ${plural(damaged, 'damaged file')}` : '';
  return messages === 0
    ? `empty${bad}`
    : `${plural(messages, 'message')}, ${size(bytes)} of ${size(limit)}${bad}`;
}

export function importedRoutesText({ routes, leftOut, notes, yaml, out }: ImportedRoutes): string {
  const made = routes.map(({ name, from, to }) => `${green('✓')} ${bold(name)}  ${from} → ${to}`);
  const left = leftOut.map(({ node, reason }) => `${yellow('–')} ${node}: ${reason}`);
  return [...(out === undefined ? [yaml.trimEnd(), ''] : []), ...made, ...left, ...notes.map(dim)].join('\n');
}

export function installedText({ file, written, unit }: Installed): string {
  return `${unit}\n${written ? green(`written to ${file}`) : dim(`would be written to ${file}`)}`;
}

/** The rates as a table, then what became of the messages, and how late they were. */
export function benchText(bench: Bench): string {
  const { published, received, latency, lost, twice, outOfOrder } = bench;
  const row = (what: string, { seconds, rate, byteRate }: Omit<Bench['published'], 'messages'>) => [
    what,
    Number(seconds.toFixed(3)),
    thousands(Math.round(rate)),
    `${size(Math.round(byteRate))}/s`,
  ];
  const ms = (value: number) => `${value < 10 ? value.toFixed(2) : value.toFixed(0)} ms`;
  const fate = [
    lost === 0 ? green('none lost') : red(`${thousands(lost)} lost`),
    ...(twice > 0 ? [yellow(`${thousands(twice)} twice`)] : []),
    ...(outOfOrder > 0 ? [yellow(`${thousands(outOfOrder)} out of order`)] : []),
  ];
  const rows: [string, string][] = [
    ['messages', `${plural(bench.messages, 'message')} of ${size(bench.bytes)}: ${fate.join(', ')}`],
  ];
  if (latency) {
    const { p50, p90, p99, most } = latency;
    rows.push(['latency', `half within ${ms(p50)}, 90 % ${ms(p90)}, 99 % ${ms(p99)}, all ${ms(most)}`]);
  }
  const rates = [row('published', published), row('received', received)];
  return `${table(['', 'SECONDS', 'MESSAGES/S', 'BYTES'], rates)}\n\n${facts(rows)}`;
}
