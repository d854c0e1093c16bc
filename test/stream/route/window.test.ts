import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Message } from '../../../src/lib/stream/message.js';
import { parseRoutes, routeOf } from '../../../src/lib/stream/route/load.js';
import { runRoutes } from '../../../src/lib/stream/route/run.js';
import type { RouteState } from '../../../src/lib/stream/route/types.js';
import { runCli } from '../../support/cli.js';
import { type FakeSink, fakeSink, fakeSource, text, until } from '../../support/fake-streams.js';

let folder: string;
const stops: (() => Promise<unknown>)[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-windows-'));
});
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
  await rm(folder, { recursive: true });
});

/** Runs a route with windows from a log (kafka) to a sink. */
function start(
  window: Record<string, unknown>,
  { fields = {}, sink = fakeSink(), path = join(folder, 'state'), endpoint = 'kafka://in' } = {} as {
    fields?: Record<string, unknown>;
    sink?: FakeSink;
    path?: string;
    endpoint?: string;
  },
) {
  const source = fakeSource(endpoint);
  const dead = fakeSink('mqtt://dead');
  const stop = new AbortController();
  const seen: { state: readonly RouteState[] } = { state: [] };
  const route = routeOf('r', { from: 'mqtt://in', to: 'mqtt://out', window: { path, ...window }, ...fields });
  const end = runRoutes([route], {
    signal: stop.signal,
    drainMs: 300,
    stateMs: 20,
    open: { source: async () => source, sink: async (url) => (url === 'mqtt://dead' ? dead : sink) },
    onState: (state) => {
      seen.state = state;
    },
  });
  end.catch(() => {});
  const halt = () => {
    stop.abort();
    return end.catch(() => {});
  };
  stops.push(halt);
  return { source, sink, dead, end, seen, halt };
}

let offset = 0;
/** A message in a log, with a position unless it is replaced. */
const reading = (
  device: string,
  time: number,
  value: number,
  position = `0:${offset++}`,
): Partial<Message> => ({
  topic: `plant/${device}`,
  payload: Buffer.from(JSON.stringify({ device, value })),
  time,
  position,
  source: 'kafka://in',
});

const results = (sink: FakeSink) =>
  sink.written.map(({ payload }) => {
    const { values, ...rest } = JSON.parse(text(payload)) as {
      key: string;
      start: number;
      end: number;
      count: number;
      complete: boolean;
      values: { value: number }[];
    };
    return { ...rest, values: values.map(({ value }) => value) };
  });

describe('windows of equal length', () => {
  it('collect messages by key until a later message shows that the window has ended', async () => {
    const { source, sink } = start({ size: '10s', key: 'device' });
    source.give(reading('a', 1000, 1), reading('b', 2000, 2), reading('a', 9999, 3));
    await until(() => source.acked.length === 3);
    expect(sink.written).toEqual([]);
    source.give(reading('a', 10_000, 4));
    await until(() => sink.written.length === 2);
    expect(results(sink)).toEqual([
      { key: 'a', start: 0, end: 10_000, count: 2, complete: true, values: [1, 3] },
      { key: 'b', start: 0, end: 10_000, count: 1, complete: true, values: [2] },
    ]);
    expect(sink.written[0]).toMatchObject({ topic: 'plant/a', time: 10_000, key: Buffer.from('a') });
  });

  it('overlap if they begin more often than they are long', async () => {
    const { source, sink, end } = start({ size: '10s', every: '5s' });
    source.give(reading('a', 6000, 1), reading('a', 12_000, 2));
    source.end();
    await end;
    expect(results(sink).map(({ start: from, values }) => [from, values])).toEqual([
      [0, [1]],
      [5000, [1, 2]],
      [10_000, [2]],
    ]);
  });

  it('wait for messages that arrive out of order, and sort them by time', async () => {
    const { source, sink } = start({ size: '10s', grace: '5s' });
    source.give(reading('a', 1000, 1), reading('a', 14_000, 2), reading('a', 500, 3));
    await until(() => source.acked.length === 3);
    expect(sink.written).toEqual([]);
    source.give(reading('a', 15_000, 4));
    await until(() => sink.written.length === 1);
    expect(results(sink)[0]!.values).toEqual([3, 1]);
  });

  it('read the time from the message, as a number or as text', async () => {
    const { source, sink, end } = start({ size: '1m', time: 'at' });
    const at = (time: unknown, value: number) => ({
      payload: Buffer.from(JSON.stringify({ at: time, value })),
    });
    source.give(at('2026-05-01T12:00:59Z', 1), at(Date.parse('2026-05-01T12:01:00Z'), 2));
    source.end();
    await end;
    expect(results(sink).map(({ start: from, values }) => [new Date(from).toISOString(), values])).toEqual([
      ['2026-05-01T12:00:00.000Z', [1]],
      ['2026-05-01T12:01:00.000Z', [2]],
    ]);
  });

  it('count messages that are too late, or send them to the dead-letter address', async () => {
    const late = start({ size: '10s' });
    late.source.give(reading('a', 30_000, 1));
    await until(() => late.source.acked.length === 1);
    late.source.give(reading('a', 5000, 2));
    await until(() => late.source.acked.length === 2);
    await until(() => late.seen.state[0]?.windows?.late === 1);
    await late.halt();
    const kept = start(
      { size: '10s' },
      { path: join(folder, 'other'), fields: { onError: { 'dead-letter': 'mqtt://dead' } } },
    );
    kept.source.give(reading('a', 30_000, 1), reading('a', 30_001, 2));
    await until(() => kept.source.acked.length === 2);
    kept.source.give(reading('a', 5000, 3));
    await until(() => kept.dead.written.length === 1);
    expect(kept.dead.written[0]!.headers).toContainEqual([
      'aiot-error',
      'AIOT_ROUTE_MESSAGE: the message is 26 s too late for its window',
    ]);
  });

  it('are not closed by a message from the future', async () => {
    const { source, sink, end } = start({ size: '10s' });
    const now = Math.floor(Date.now() / 10_000) * 10_000;
    source.give(reading('a', now, 1), reading('b', now + 86_400_000, 2), reading('a', now + 1, 3));
    source.end();
    await end;
    expect(results(sink).map(({ values }) => values)).toEqual([[1, 3], [2]]);
  });

  it('close by the clock if messages have the time of their arrival', async () => {
    const { source, sink } = start({ size: '100ms' }, { endpoint: 'mqtt://in' });
    source.give({ payload: Buffer.from('{"value":7}'), time: Date.now() });
    await until(() => sink.written.length === 1);
    expect(results(sink)[0]).toMatchObject({ count: 1, values: [7] });
  });

  it('close by the clock after `idle`, if messages have their own times', async () => {
    const { source, sink } = start({ size: '100ms', idle: '300ms' });
    source.give(reading('a', 1000, 1));
    const given = Date.now();
    await until(() => sink.written.length === 1);
    expect(Date.now() - given).toBeGreaterThanOrEqual(290);
  });

  it('close early beyond the limit, and are marked as incomplete', async () => {
    const { source, sink, end } = start({ size: '10s', limit: 3, key: 'device' });
    source.give(...Array.from({ length: 8 }, (_, i) => reading('a', 1000 + i, i)));
    await until(() => source.acked.length === 8);
    source.end();
    await end;
    const all = results(sink);
    expect(all.flatMap(({ values }) => values)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(all[0]).toMatchObject({ start: 0, end: 10_000, complete: false });
  });
});

describe('sessions', () => {
  it('end when a key is silent for the gap, and join when a message connects them', async () => {
    const { source, sink, end } = start({ gap: '5s', key: 'device', grace: '20s' });
    source.give(reading('a', 1000, 1), reading('a', 9000, 2), reading('b', 3000, 9));
    source.give(reading('a', 5000, 3), reading('a', 30_000, 4));
    source.end();
    await end;
    expect(results(sink)).toEqual([
      { key: 'b', start: 3000, end: 8000, count: 1, complete: true, values: [9] },
      { key: 'a', start: 1000, end: 14_000, count: 3, complete: true, values: [1, 3, 2] },
      { key: 'a', start: 30_000, end: 35_000, count: 1, complete: true, values: [4] },
    ]);
  });
});

describe('the state of windows', () => {
  it('survives a crash: nothing is lost, and redelivered messages of a log count once', async () => {
    const path = join(folder, 'state');
    const first = start({ size: '10s', key: 'device' });
    const given = [reading('a', 1000, 1), reading('a', 2000, 2), reading('b', 3000, 3)];
    first.source.give(...given);
    await until(() => first.source.acked.length === 3);
    const image = join(folder, 'image');
    await cp(path, image, { recursive: true, filter: (file) => !file.endsWith('.lock') });
    const second = start({ size: '10s', key: 'device' }, { path: image });
    second.source.give(...given, reading('a', 10_000, 4));
    await until(() => second.sink.written.length === 2);
    expect(results(second.sink).map(({ key, values }) => [key, values])).toEqual([
      ['a', [1, 2]],
      ['b', [3]],
    ]);
    await until(() => second.seen.state[0]?.duplicates === 3);
  });

  it('is kept at a stop, and delivered windows are not sent again', async () => {
    const window = { size: '10s', every: '5s', key: 'device' };
    const first = start(window);
    first.source.give(reading('a', 6000, 1), reading('a', 12_000, 2));
    await until(() => first.sink.written.length === 1);
    await first.halt();
    const second = start(window);
    second.source.give(reading('a', 40_000, 3));
    await until(() => second.sink.written.length === 2);
    expect(
      [...results(first.sink), ...results(second.sink)].map(({ start: from, values }) => [from, values]),
    ).toEqual([
      [0, [1]],
      [5000, [1, 2]],
      [10_000, [2]],
    ]);
  });

  it('sends results again that the destination did not confirm', async () => {
    const down = fakeSink();
    down.before = () => {
      throw new Error('down');
    };
    const first = start({ size: '10s' }, { sink: down });
    first.source.give(reading('a', 1000, 1), reading('a', 11_000, 2));
    await until(() => first.source.acked.length === 2);
    await first.halt();
    const second = start({ size: '10s' });
    await until(() => second.sink.written.length === 1);
    expect(results(second.sink)[0]!.values).toEqual([1]);
  });

  it.each([
    ['an incomplete last record', (bytes: Buffer) => bytes.subarray(0, -3), [1], []],
    ['a damaged record', (bytes: Buffer) => bytes.fill(0xff, bytes.length - 8), [1], ['windows.log.damaged']],
  ])('survives %s', async (_what, damage, values, aside) => {
    const path = join(folder, 'state');
    const first = start({ size: '10s' });
    first.source.give(reading('a', 1000, 1));
    await until(() => first.source.acked.length === 1);
    first.source.give(reading('a', 2000, 2));
    await until(() => first.source.acked.length === 2);
    await first.halt();
    const log = join(path, 'windows.log');
    await writeFile(log, damage(await readFile(log)));
    const second = start({ size: '10s' });
    second.source.end();
    await second.end;
    expect(results(second.sink).map((each) => each.values)).toEqual([values]);
    expect((await readdir(path)).filter((name) => name.endsWith('.damaged'))).toEqual(aside);
  });

  it('is used by one process at a time, and needs a folder', async () => {
    const first = start({ size: '10s' });
    await until(() => first.seen.state[0]?.from[0]?.state === 'connected');
    await expect(start({ size: '10s' }).end).rejects.toMatchObject({ code: 'AIOT_SPOOL_BUSY' });
    const file = join(folder, 'file');
    await writeFile(file, '');
    await expect(start({ size: '10s' }, { path: file }).end).rejects.toMatchObject({
      code: 'AIOT_FILE_NOT_WRITABLE',
    });
  });

  it('stays small although many messages pass through it', async () => {
    const { source, sink, halt } = start({ size: '1s', key: 'device' });
    for (let second = 0; second < 40; second++) {
      source.give(...Array.from({ length: 200 }, (_, i) => reading(`d${i % 10}`, second * 1000 + i, i)));
      await until(() => source.acked.length === (second + 1) * 200);
    }
    await until(() => sink.written.length >= 39 * 10);
    await halt();
    const { length } = await readFile(join(folder, 'state', 'windows.log'));
    expect(length).toBeLessThan(1.4e6);
  });
});

/** Windows of all messages, computed at once: [key, start, values] in the order of starts. */
function expected(
  messages: { key: string; time: number; value: number }[],
  window: { size?: number; every?: number; gap?: number },
) {
  const all: [string, number, number[]][] = [];
  for (const key of new Set(messages.map((message) => message.key))) {
    const own = messages.filter((message) => message.key === key).sort((a, b) => a.time - b.time);
    if (window.gap !== undefined) {
      let end = Number.NEGATIVE_INFINITY;
      for (const { time, value } of own) {
        if (time >= end) all.push([key, time, []]);
        all.at(-1)![2].push(value);
        end = time + window.gap;
      }
      continue;
    }
    const { size = 1, every = size } = window;
    for (
      let from = Math.floor((own[0]!.time - size) / every) * every;
      from <= own.at(-1)!.time;
      from += every
    ) {
      const inside = own.filter(({ time }) => time >= from && time < from + size);
      if (inside.length > 0) all.push([key, from, inside.map(({ value }) => value)]);
    }
  }
  return all.map((one) => JSON.stringify(one)).sort();
}

describe.each<[string, { size?: number; every?: number; gap?: number }]>([
  ['tumbling', { size: 1000 }],
  ['overlapping', { size: 1000, every: 300 }],
  ['sessions', { gap: 150 }],
])('%s windows of a random stream', (_name, window) => {
  it('contain the expected messages, even after restarts from any state of the disk', async () => {
    let seed = 7;
    const random = (below: number) => {
      seed = (seed * 1103515245 + 12345) % 2 ** 31;
      return Math.floor((seed / 2 ** 31) * below);
    };
    const messages = Array.from({ length: 300 }, (_, i) => ({
      key: `k${random(3)}`,
      // At most 400 ms out of order.
      time: 100_000 + i * 20 + random(400),
      value: i,
    }));
    const settings = {
      ...Object.fromEntries(Object.entries(window).map(([name, ms]) => [name, `${ms}ms`])),
      key: 'device',
      grace: '400ms',
    };
    const written = new Set<string>();
    let path = join(folder, 'state-0');
    for (let from = 0, round = 0; from < messages.length; round++) {
      const { source, sink, halt } = start(settings, { path });
      // A restarted log delivers some messages again.
      const again = Math.max(0, from - random(20));
      const to = Math.min(messages.length, from + 20 + random(60));
      source.give(
        ...messages
          .slice(again, to)
          .map(({ key, time, value }, i) => reading(key, time, value, `0:${again + i}`)),
      );
      await until(() => source.acked.length === to - again);
      const next = join(folder, `state-${round + 1}`);
      await cp(path, next, { recursive: true, filter: (file) => !file.endsWith('.lock') });
      await halt();
      for (const { key, start: at, values } of results(sink)) written.add(JSON.stringify([key, at, values]));
      from = to;
      path = next;
    }
    const { source, sink, end } = start(settings, { path });
    source.end();
    await end;
    for (const { key, start: at, values } of results(sink)) written.add(JSON.stringify([key, at, values]));
    expect([...written].sort()).toEqual(expected(messages, window));
  });
});

describe('a file of routes', () => {
  const file = (window: string) => `routes:
  minutes:
    from: mqtt://h/plant/#
    window: {${window}}
    map: '{"device": key, "mean": $average(values.temperature), "n": count}'
    to: kafka://k/minutes
    tests:
      - name: two devices
        in:
          - {time: 0, payload: {device: d1, temperature: 20}}
          - {time: 1000, payload: {device: d2, temperature: 5}}
          - {time: 59999, payload: {device: d1, temperature: 30}}
          - {time: 60000, payload: {device: d1, temperature: 40}}
        out:
          - {payload: {device: d1, mean: 25, n: 2}, key: d1}
          - {payload: {device: d2, mean: 5, n: 1}}
          - {payload: {device: d1, mean: 40, n: 1}}
`;

  it('tests a route with windows', async () => {
    const path = join(folder, 'routes.yaml');
    await writeFile(path, file('size: 1m, key: device, path: state'));
    const { json, code } = await runCli(['stream', 'route', 'test', path, '--json']);
    expect(json).toMatchObject({ passed: 1, failed: 0 });
    expect(code).toBe(0);
    const listed = await runCli(['stream', 'route', 'list', path, '--json']);
    expect(listed.json).toMatchObject({ routes: [{ does: ['window', 'map'] }] });
  });

  it.each([
    ['key: device, path: s', 'expected size for windows of equal length, or gap for sessions'],
    ['size: 1m, gap: 1m, path: s', 'expected size for windows of equal length, or gap for sessions'],
    ['gap: 1m, every: 1m, path: s', 'expected size in the same window'],
    ['size: 1m, every: 2m, path: s', 'at most size'],
    ['size: 1h, every: 1ms, path: s', 'every 3600 ms or more'],
    ['size: 0s, path: s', 'expected a time above 0'],
    ['size: 1m', 'path'],
    ['size: 1m, path: s, key: "device =="', '"=" instead of "=="'],
    ['size: 1m, path: s, slide: 1s', 'slide'],
  ])('rejects the window {%s}', (window, reason) => {
    const attempt = () => parseRoutes(file(window), 'routes.yaml');
    try {
      attempt();
      expect.fail('accepted');
    } catch (error) {
      const { code, message, next } = error as { code: string; message: string; next: string };
      expect(code).toBe('AIOT_ROUTE_INVALID');
      if (!reason.includes('instead of')) expect(`${message} ${next}`).toContain(reason);
      else expect(message).toContain('window.key');
    }
  });

  it('stops at a message without a key, or skips it', async () => {
    const { source, end } = start({ size: '1m', key: 'device' });
    source.give({ payload: Buffer.from('{"value":1}') });
    await expect(end).rejects.toMatchObject({
      code: 'AIOT_ROUTE_MESSAGE',
      message: expect.stringContaining('window.key: device: expected text or a number, got nothing'),
    });
    const skipping = start(
      { size: '1m', key: 'device' },
      { fields: { onError: 'skip' }, path: join(folder, 'b') },
    );
    skipping.source.give({ payload: Buffer.from('{"value":1}') });
    await until(() => skipping.source.acked.length === 1);
    await until(() => skipping.seen.state[0]?.skipped === 1);
  });
});
