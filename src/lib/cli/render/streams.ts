import type { AiotError } from '../../core/errors.js';
import { plural, size, thousands } from '../../core/figures.js';
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
import { type RoutesEnd, stateText } from '../../stream/route/types.js';
import type { StreamStatistics } from '../../stream/tail/statistics.js';
import { bold, dim, facts, green, next, red, table, timeOfDay, yellow } from './text.js';

type Cell = string | number | null;

/** A table that omits columns without values. */
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
    'No topics found',
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
    'No consumer groups',
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
    ? { created: 'would be created', changed: 'would change', unchanged: 'is up to date' }
    : { created: 'made', changed: 'changed', unchanged: 'was up to date' };
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
    'No stored credentials',
  );
}

/** A cheat sheet as text. Each command has its own line, so that it can be copied. Commands in a row with the same purpose share its line. */
export function cheatText({ title, about, lines, settings, mark = '?' }: CheatSheet): string {
  const commands = lines.map(([what, command], at) =>
    what === (lines[at - 1]?.[0] ?? about) ? command : `${dim(`# ${what}`)}\n${command}`,
  );
  const pairs = settings.map(([setting, meaning]): [string, string] => [setting, meaning]);
  const after = pairs.length > 0 ? `\n\n${bold(`After the ${mark}`)}\n${facts(pairs)}` : '';
  return `${bold(title)}\n${about}\n\n${commands.join('\n')}${after}`;
}

/** The line for a lost connection, with the reason and the next step if they are known. */
export function lostText(error: AiotError | undefined): string {
  const lost = 'Connection lost. Retrying…';
  return error === undefined ? lost : `${error.code}: ${error.message}\n  Try: ${error.next}\n${lost}`;
}

/**
 * Commands that diagnose unreachable addresses, or start a broker there. aiot has an MQTT broker of its own, which can
 * replace one that is missing on this machine. If a platform runs already, it is the broker, under another address.
 */
export function unreachableSteps(endpoints: readonly string[]): string[] {
  const starts = endpoints.flatMap((endpoint) => {
    const [, scheme, port = ''] =
      /^(mqtts?|aiot):\/\/(?:(?:127\.0\.0\.1|localhost|\[::1\])(?::(\d+))?)?$/.exec(endpoint) ?? [];
    if (scheme === undefined) return [];
    if (scheme !== 'mqtt') return ['aiot up --detach'];
    return [`aiot up --detach --plain${['', '1883'].includes(port) ? '' : ` --plain-port ${port}`}`];
  });
  const checks = endpoints
    .filter((endpoint) => /^(mqtts?|wss?|kafkas?|natss?|rediss?):/.test(endpoint))
    .map((endpoint) => `aiot stream check ${endpoint}`);
  return [...starts.slice(0, 1), ...checks];
}

/** The next steps for unreachable addresses. */
export function unreachableText(endpoints: readonly string[]): string {
  const local = /^mqtt:\/\/(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/;
  const missing = endpoints.find((endpoint) => local.test(endpoint));
  const running =
    missing === undefined
      ? ''
      : `\n${dim(`If a platform is already running, write aiot:///TOPIC instead of ${missing}/TOPIC.`)}`;
  return `${next(...unreachableSteps(endpoints))}${running}`;
}

/** Message counts and sizes by topic, and statistics of the numbers in them. */
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
  return `${head}${lost}\n\n${table(['topic', 'count', 'per second', 'min', 'mean', 'max'], rows, 'No messages')}`;
}

function precise(value: number): string {
  return String(Number(value.toPrecision(6)));
}

/** Counts messages that lose their headers, and returns a warning if there are any. */
export function headerLoss(): { add(messages: number): void; readonly text: string | undefined } {
  let count = 0;
  return {
    add(messages) {
      count += messages;
    },
    get text() {
      const lost = `the connection uses MQTT 3.1.1, which has no headers: ${plural(count, 'message')} sent without them`;
      return count === 0 ? undefined : lost;
    },
  };
}

/** Final counts of routes, one per line. */
export function routesEndText({ routes }: RoutesEnd): string {
  return routes.map((route) => `${bold(route.name)}  ${stateText(route)}`).join('\n');
}

export function testedRoutesText({ cases, passed, failed, untested }: TestedRoutes): string {
  const lines = cases.map(({ route, name, passed: good, why }) => {
    const mark = good ? green('✓') : red('✗');
    return `${mark} ${route}: ${name}${why === undefined ? '' : `\n    ${why}`}`;
  });
  const bare = untested.length > 0 ? [yellow(`without a test case: ${untested.join(', ')}`)] : [];
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
  return `${unit}\n${written ? green(`wrote ${file}`) : dim(`would write ${file}`)}`;
}

/** The rates as a table, then the outcome of the messages, and their delays. */
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
    ...(twice > 0 ? [yellow(`${thousands(twice)} duplicated`)] : []),
    ...(outOfOrder > 0 ? [yellow(`${thousands(outOfOrder)} out of order`)] : []),
  ];
  const rows: [string, string][] = [
    ['messages', `${plural(bench.messages, 'message')} of ${size(bench.bytes)}: ${fate.join(', ')}`],
  ];
  if (latency) {
    const { p50, p90, p99, most } = latency;
    rows.push(['latency', `p50 ${ms(p50)}, p90 ${ms(p90)}, p99 ${ms(p99)}, maximum ${ms(most)}`]);
  }
  const rates = [row('published', published), row('received', received)];
  return `${table(['', 'SECONDS', 'MESSAGES/S', 'BYTES'], rates)}\n\n${facts(rows)}`;
}
