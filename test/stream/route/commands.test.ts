import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { unreachableSteps, unreachableText } from '../../../src/lib/cli/render/streams.js';
import { fromLine } from '../../../src/lib/stream/file/line.js';
import { bridgeRoute } from '../../../src/lib/stream/route/bridge.js';
import { parseRoutes } from '../../../src/lib/stream/route/load.js';
import { topicAt } from '../../../src/lib/stream/route/transform.js';
import type { RouteState } from '../../../src/lib/stream/route/types.js';
import { createReporter, metricsText, runWatched, showStates } from '../../../src/lib/stream/route/watch.js';
import { runCli } from '../../support/cli.js';
import { freePort } from '../../support/free-port.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-routes-'));
});
afterAll(() => rm(folder, { recursive: true }));

const lines = (...payloads: unknown[]) =>
  payloads.map((payload, n) => JSON.stringify({ topic: `t/${n}`, time: n, payload })).join('\n');

test('stream bridge filters and maps one file into another, and ends at the end of the file', async () => {
  const [from, to] = [join(folder, 'in.ndjson'), join(folder, 'out.ndjson')];
  await writeFile(from, lines({ a: 1 }, { a: 2 }, { a: 3 }));
  const { code, json } = await runCli([
    'stream',
    'bridge',
    `file:${from}`,
    `file:${to}`,
    '--where',
    'a > 1',
    '--map',
    '{"b": a}',
    '--json',
  ]);
  expect(code).toBe(0);
  expect(json).toMatchObject({ routes: [{ received: 3, filtered: 1, pending: 0, to: [{ written: 2 }] }] });
  const written = (await readFile(to, 'utf8'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(written.map(({ topic, payload }) => [topic, payload])).toEqual([
    ['t/1', { b: 2 }],
    ['t/2', { b: 3 }],
  ]);
});

test.each<[string[], number, string]>([
  [['mqtt://h/a', 's4://x'], 2, 'to.0: s4: cannot be written to'],
  [['file:x', 'file:y', '--map', 'a +'], 2, 'map: a +: Unexpected end'],
  [['file:x', 'file:y', '--spool-limit', '1GB'], 2, '--spool-limit also needs --spool'],
  [['file:x', 'file:y', '--exactly-once'], 2, '--exactly-once also needs --dedupe'],
  [['file:x', 'file:y', '--header', 'x'], 2, 'expected NAME=EXPRESSION'],
  [['file:x', 'file:y', '--decode', 'morse'], 2, 'decode: expected one of auto'],
  [['file:x', 'file:y', '--each'], 2, 'expected a map in the same entry'],
  [['file:/nowhere/x.ndjson', 'file:y', '--dry-run'], 2, '--install'],
  [
    ['mqtt://u:pa55wort@h/a', 'file:y', '--install', '--dry-run'],
    2,
    'expected an address without a password',
  ],
])('stream bridge rejects %j', async (words, code, message) => {
  const result = await runCli(['stream', 'bridge', ...words]);
  expect(result.code).toBe(code);
  expect(result.stderr.replaceAll(/\s+/g, ' ')).toContain(message);
  expect(result.stderr).not.toContain('pa55wort');
});

test.each<[string[], string]>([
  [['nats://pa55wort@h/a', 'file:y'], 'aiot stream login nats://h'],
  [['https://h/a#secret=pa55wort', 'file:y'], 'AIOT_STREAM_SECRET'],
  [['file:x', 'https://h/a?api_key=pa55wort'], 'route file'],
  [['file:x', 'tcp://h:1?replyTo=mqtt://u:pa55wort@k/b'], 'aiot stream login mqtt://k'],
  [['file:x', 'tcp://h:1?replyTo=mqtt%3A%2F%2Fu%3Apa55wort%40k/b'], 'aiot stream login mqtt://k'],
  [['camera:rtsp://u:pa55wort@h/1', 'file:y'], 'route file'],
  [['file:x', 'file:y', '--dead-letter', 'mqtt://u:pa55wort@h/d'], 'aiot stream login mqtt://h'],
])('stream bridge --install rejects an address that contains a secret: %j', async (words, next) => {
  const result = await runCli(['stream', 'bridge', ...words, '--install', '--dry-run']);
  expect(result.code).toBe(2);
  const told = result.stderr.replaceAll(/\s+/g, ' ');
  expect(told).toContain('expected an address without');
  expect(told).toContain(next);
  expect(result.stdout + result.stderr).not.toContain('pa55wort');
});

test('stream route list shows no credentials', async () => {
  const file = join(folder, 'secret.yaml');
  await writeFile(
    file,
    'routes:\n  r: {from: "camera:rtsp://u:pa55wort@h/1", to: ["https://h/a?token=pa55wort", "mqtt://u:pa55wort@h/a"]}\n',
  );
  const { stdout, json } = await runCli(['stream', 'route', 'list', file, '--json']);
  expect(stdout).not.toContain('pa55wort');
  expect(json).toMatchObject({
    routes: [{ from: ['camera:rtsp://h/1'], to: ['https://h/a', 'mqtt://h/a'] }],
  });
});

test('stream bridge suggests ?format=lines for invalid message lines, and reports a file sink by its name', async () => {
  const file = join(folder, 'plain.txt');
  await writeFile(file, 'x\n');
  const wrong = await runCli(['stream', 'bridge', `file:${file}`, `file:${join(folder, 'never.ndjson')}`]);
  expect(wrong.stderr.replaceAll(/\s+/g, ' ')).toContain('?format=lines');
  expect(() => fromLine('x', 'stdin:', 1)).toThrow('stdin:1: expected one JSON object per line');
  const to = join(folder, 'named.ndjson');
  const published = await runCli(['stream', 'publish', `file:${to}`, 'x', '--count', '2', '--json']);
  expect(published.json).toMatchObject({ url: `file:${to}`, messages: 2 });
});

test('stream bridge --install --dry-run prints a valid systemd unit', async () => {
  const url = 'mqtt://h/a/%23?clientId=b1&clean=false';
  const shown = await runCli([
    'stream',
    'bridge',
    url,
    'kafka://k/a',
    '--where',
    'a > "$5" & b',
    '--name',
    'b1',
    '--install',
    '--dry-run',
    '--json',
  ]);
  expect(shown.code).toBe(0);
  const { unit, service, written, start } = shown.json as {
    unit: string;
    service: string;
    written: boolean;
    start: string[];
  };
  expect({ service, written }).toEqual({ service: 'aiot-b1.service', written: false });
  expect(start[1]).toBe('systemctl --user enable --now aiot-b1.service');
  expect(unit).toContain(
    '"mqtt://h/a/%%23?clientId=b1&clean=false" kafka://k/a --where "a > \\"$$5\\" & b" --name b1',
  );
  expect(unit).toContain('Description=aiot stream bridge mqtt://h to kafka://k (b1)');
  expect(unit).toMatch(/^EnvironmentFile=-.*b1\.env$/m);
  expect(unit).not.toContain('--install');
});

test('stream route run supports variables, several routes, --only and a status file', async () => {
  const file = join(folder, 'run.yaml');
  await writeFile(join(folder, 'a.ndjson'), lines({ a: 1 }));
  await writeFile(
    file,
    // biome-ignore lint/suspicious/noTemplateCurlyInString: a variable of a file of routes
    'routes:\n  one: {from: "file:${IN}", to: "file:one.ndjson", tests: [{name: n, in: {payload: {a: 1}}, out: [{payload: {a: 1}}]}]}\n  two: {from: "file:${IN:-a.ndjson}", to: "file:two.ndjson"}\n',
  );
  const states = join(folder, 'states.json');
  const ran = await runCli([
    'stream',
    'route',
    'run',
    file,
    '--set',
    'IN=a.ndjson',
    '--only',
    'one',
    '--status',
    states,
    '--json',
  ]);
  expect(ran.code).toBe(0);
  expect(ran.json).toMatchObject({ routes: [{ name: 'one', received: 1 }] });
  expect(await readFile(join(folder, 'one.ndjson'), 'utf8')).toContain('"a":1');
  expect(JSON.parse(await readFile(states, 'utf8')).routes[0].name).toBe('one');
  const unknown = await runCli(['stream', 'route', 'run', file, '--set', 'IN=a.ndjson', '--only', 'three']);
  expect(unknown.stderr).toContain('route three does not exist');
  expect((await runCli(['stream', 'route', 'test', file, '--set', 'IN=x'])).code).toBe(0);
});

test('stream route test exits with 6 and shows the differences', async () => {
  const file = join(folder, 'fails.yaml');
  await writeFile(
    file,
    `routes:
  r:
    from: mqtt://h/a
    map: '{"x": a + 1}'
    key: d
    to: kafka://k/t
    tests:
      - {name: fewer, in: {payload: {a: 1}}}
      - {name: other, in: {payload: {a: 1, d: m}}, out: [{payload: {x: 3}}]}
      - {name: keyed, in: {payload: {a: 1, d: m}}, out: [{payload: {x: 2}, key: n}]}
      - {name: failing, in: {payload: {a: text}}, out: [{}]}
      - {name: expected to fail, in: {payload: {a: text}}, error: AIOT_STREAM_EVALUATION}
`,
  );
  const { code, json } = await runCli(['stream', 'route', 'test', file, '--json']);
  expect(code).toBe(6);
  const { cases, passed, failed } = json as { cases: { why?: string }[]; passed: number; failed: number };
  expect({ passed, failed }).toEqual({ passed: 1, failed: 4 });
  expect(cases.slice(0, 3).map(({ why }) => why)).toEqual([
    'expected 0 out, got 1: {"x":2}',
    'payload: expected {"x":3}, got {"x":2}',
    'key: expected n, got m',
  ]);
});

test.each([
  ['routes: {}', 'r.yaml:1:1: routes: expected at least one'],
  ['routes:\n  a b: {from: file:x, to: file:y}', 'routes.a b: as a name'],
  ['routes:\n  a:\n    from: file:x', 'routes.a.to: expected'],
  ['routes:\n  a: {from: file:x, to: file:y, batch: {messages: 0}}', 'routes.a.batch.messages'],
  ['routes:\n  a: {from: file:x, to: file:y, spool: {path: s, limit: 5}}', 'routes.a.spool.limit'],
  ['routes:\n  a: {from: file:x, to: file:y, dedupe: {key: a, window: 5}}', 'routes.a.dedupe.window'],
  ['routes:\n  a: {from: file:x, to: file:y, through: nothing}', 'unknown processor nothing'],
  ['routes:\n  a: {from: file:x, to: file:y, colour: red}', 'r.yaml:2:33: routes.a.colour: unknown field'],
  // biome-ignore lint/suspicious/noTemplateCurlyInString: a variable of a file of routes
  ['routes:\n  a: {from: "file:${GONE}", to: file:y}', 'the variable GONE has no value'],
])('a route file with %j is rejected with the position of the error', (yaml, message) => {
  expect(() => parseRoutes(yaml, 'r.yaml')).toThrow(message);
});

test.each([
  ['kafka://k/t', 'a/b', 'mqtt://h', ''],
  ['kafka://k', 'a/b c', 'mqtt://h', 'a.b_c'],
  ['nats://n', 'a/b.c', 'mqtt://h', 'a.b_c'],
  ['nats://n/site.>', 'a/b', 'mqtt://h', 'site.a.b'],
  ['mqtt://m/site/#', 'a.b', 'nats://h', 'site/a/b'],
  ['mqtt://m', 'a/b', 'mqtt://h', 'a/b'],
  ['mqtt://m', 'a.b', 'kafka://h', 'a.b'],
  ['file:x', 'a/b', 'mqtt://h', 'a/b'],
])('at %s, the topic %s from %s becomes "%s"', (url, topic, source, expected) => {
  expect(topicAt(url)({ topic, source })).toBe(expected);
});

const state: RouteState = {
  name: 'r',
  from: [{ endpoint: 'mqtt://a', state: 'connected' }],
  to: [
    { endpoint: 'kafka://b', state: 'connected', written: 5, spooled: { messages: 2, bytes: 9, dropped: 0 } },
  ],
  received: 8,
  filtered: 1,
  duplicates: 0,
  skipped: 0,
  deadLettered: 0,
  retries: 0,
  pending: 2,
};

test('states are printed as lines: losses and recoveries immediately, progress periodically', () => {
  const told: string[] = [];
  let now = 0;
  const report = createReporter(
    (line) => told.push(line),
    1000,
    () => now,
  );
  report([state]);
  report([{ ...state, to: [{ ...state.to[0]!, state: 'failing', error: 'gone\u001b[2J' }] }]);
  report([{ ...state, to: [{ ...state.to[0]!, state: 'failing', error: 'gone again' }] }]);
  report([state]);
  const spooled = { messages: 2, bytes: 9, dropped: 0 };
  for (const error of ['no room', 'no room still'])
    report([{ ...state, to: [{ ...state.to[0]!, spooled: { ...spooled, error } }] }]);
  report([state]);
  now = 2000;
  report([{ ...state, received: 2008, skipped: 1, lastError: 'why' }]);
  expect(told).toEqual([
    'r: destination kafka://b: gone\\x1b[2J; retrying',
    'r: destination kafka://b: connected again',
    'r: spool: no room; continuing',
    'r: spool: can be written again',
    'r: skipped a message: why',
    'r: 2,008 messages in, 5 out, 2 waiting, 2 in the spool, 1 filtered, 1 skipped, 1,004/s',
  ]);
});

describe('shortly after the start, a bridge names', () => {
  /** Runs a bridge until it reports unreachable addresses, for `ms` after its first line, or for half a minute. */
  async function firstLines(from: string, to: string, ms = 20_000) {
    const route = { ...bridgeRoute({ from, to }), name: 'r' };
    const stop = new AbortController();
    const limit = setTimeout(() => stop.abort(), 30_000);
    let timer: NodeJS.Timeout | undefined;
    const lines: string[] = [];
    let endpoints: readonly string[] = [];
    await runWatched([route], {
      signal: stop.signal,
      onLine(line) {
        lines.push(line);
        timer ??= setTimeout(() => stop.abort(), ms);
      },
      onUnreachable: (all) => {
        endpoints = all;
        stop.abort();
      },
    });
    clearTimeout(timer);
    clearTimeout(limit);
    return { lines, endpoints };
  }

  const closed =
    'nothing listens on this port: check that the broker is running and that the port is correct';

  test('each end that is unreachable, although a source is opened only after the destinations', async () => {
    const [a, b] = [await freePort(), await freePort()];
    const [from, to] = [`mqtt://127.0.0.1:${a}`, `mqtt://127.0.0.1:${b}`];
    const { lines, endpoints } = await firstLines(`${from}/in`, `${to}/out`);
    expect(lines).toEqual([
      `r: destination ${to}: AIOT_BROKER_UNREACHABLE: connect ECONNREFUSED 127.0.0.1:${b}; retrying`,
      `r: source ${from}: ${closed}; retrying`,
    ]);
    expect(endpoints).toEqual([from, to]);
  });

  test('a platform that no context describes', async () => {
    const to = `mqtt://127.0.0.1:${await freePort()}`;
    const { lines, endpoints } = await firstLines('aiot://nowhere/in', `${to}/out`);
    expect(lines[1]).toMatch(/^r: source aiot:\/\/nowhere: AIOT_CONTEXT_NOT_FOUND: .*; retrying$/);
    expect(endpoints).toEqual(['aiot://nowhere', to]);
  });

  test('an end that accepts the connection, but does not respond', async () => {
    const silent = createServer(() => {});
    const port = await new Promise<number>((resolve) => {
      silent.listen(0, '127.0.0.1', () => resolve((silent.address() as { port: number }).port));
    });
    const from = `mqtt://127.0.0.1:${port}`;
    const { lines, endpoints } = await firstLines(
      `${from}/in`,
      `file:${join(folder, 'silent.ndjson')}`,
      1000,
    );
    silent.close();
    expect(lines).toEqual([`r: source ${from}: no response yet; still waiting`]);
    expect(endpoints).toEqual([]);
  });
});

test.each<[string[], string[]]>([
  [
    ['mqtt://127.0.0.1', 'kafka://h:9092'],
    ['aiot up --detach --plain', 'aiot stream check mqtt://127.0.0.1', 'aiot stream check kafka://h:9092'],
  ],
  [
    ['mqtt://localhost:1884'],
    ['aiot up --detach --plain --plain-port 1884', 'aiot stream check mqtt://localhost:1884'],
  ],
  [['mqtt://broker.example'], ['aiot stream check mqtt://broker.example']],
  [['aiot://', 'file:'], ['aiot up --detach']],
])('if %j are unreachable, the next steps are %j', (endpoints, steps) => {
  expect(unreachableSteps(endpoints)).toEqual(steps);
  const local = endpoints.find((endpoint) => /^mqtt:\/\/(127|localhost)/.test(endpoint));
  const text = unreachableText(endpoints);
  if (local === undefined) expect(text).not.toContain('aiot:///TOPIC');
  else expect(text).toContain(`write aiot:///TOPIC instead of ${local}/TOPIC`);
});

test('states are served as JSON and metrics on a local port', async () => {
  const shown = await showStates('0');
  shown.update([state]);
  const get = async (path: string) => (await fetch(`http://127.0.0.1:${shown.port}${path}`)).text();
  expect(JSON.parse(await get('/'))).toEqual({ routes: [state] });
  const metrics = await get('/metrics');
  expect(metrics).toBe(metricsText([state]));
  expect(metrics).toContain('aiot_route_received_total{route="r"} 8\n');
  expect(metrics).toContain('aiot_route_spooled{route="r",to="kafka://b"} 2\n');
  await expect(showStates(String(shown.port))).rejects.toMatchObject({ code: 'AIOT_USAGE' });
  await shown.close();
});
