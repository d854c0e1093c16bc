import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import { AiotError } from '../../../src/lib/core/errors.js';
import type { Message, OutgoingMessage } from '../../../src/lib/stream/message.js';
import { routeOf } from '../../../src/lib/stream/route/load.js';
import { runRoutes } from '../../../src/lib/stream/route/run.js';
import { type RouteState, type RunRoutesOptions, stateText } from '../../../src/lib/stream/route/types.js';
import {
  type FakeSink,
  type FakeSource,
  fakeSink,
  fakeSource,
  text,
  until,
} from '../../support/fake-streams.js';

const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

/** Starts a route between fakes; `sinks` and `sources` are looked up by URL. */
function start(
  fields: Record<string, unknown>,
  sinks: Record<string, FakeSink> = { 'mqtt://out': fakeSink() },
  options: RunRoutesOptions = {},
) {
  const source = fakeSource();
  const stop = new AbortController();
  const seen: { state: readonly RouteState[] } = { state: [] };
  const route = routeOf('r', { from: 'mqtt://in', to: Object.keys(sinks), ...fields });
  const end = runRoutes([route], {
    signal: stop.signal,
    drainMs: 300,
    stateMs: 20,
    open: { source: async () => source, sink: async (url) => sinks[url] as FakeSink },
    onState: (state) => {
      seen.state = state;
    },
    ...options,
  });
  end.catch(() => {});
  stops.push(() => {
    stop.abort();
    return end.catch(() => {});
  });
  return { source, sinks, sink: Object.values(sinks)[0] as FakeSink, stop, end, seen };
}

const json = (value: unknown) => ({ payload: Buffer.from(JSON.stringify(value)) });

test('a route transfers a message byte for byte, and acknowledges it after the sink has stored it', async () => {
  const { source, sink, end } = start({});
  let acked = -1;
  sink.before = async () => {
    acked = source.acked.length;
    await new Promise((resolve) => setTimeout(resolve, 20));
  };
  const payload = Buffer.from([0, 255, 10, 13]);
  source.give({
    payload,
    topic: 'a/b',
    headers: [['content-type', 'image/png']],
    key: Buffer.from('k'),
    retain: true,
  });
  source.end();
  const { routes } = await end;
  expect(acked).toBe(0);
  expect(source.acked).toHaveLength(1);
  expect(sink.written).toEqual([
    {
      topic: 'a/b',
      payload,
      time: 1000,
      headers: [['content-type', 'image/png']],
      key: Buffer.from('k'),
      retain: true,
    },
  ]);
  expect(routes[0]).toMatchObject({ received: 1, pending: 0, retries: 0 });
  expect(sink.closed && source.closed).toBe(true);
});

test.each<
  [string, Record<string, unknown>, Partial<Message>[], Partial<Record<keyof OutgoingMessage, unknown>>[]]
>([
  ['where', { where: 'a > 1' }, [json({ a: 1 }), json({ a: 2 })], [{ payload: '{"a":2}' }]],
  ['map to an object', { map: '{"x": a + 1}' }, [json({ a: 1 })], [{ payload: '{"x":2}' }]],
  ['map to text', { map: '"t=" & $string(a)' }, [json({ a: 1 })], [{ payload: 't=1' }]],
  ['map without a result', { map: 'b' }, [json({ a: 1 })], []],
  [
    'map to several messages',
    { map: 'a', each: true },
    [json({ a: [1, 'x', { b: 2 }] })],
    [{ payload: '1' }, { payload: 'x' }, { payload: '{"b":2}' }],
  ],
  ['an array without each', { map: 'a' }, [json({ a: [1, 2] })], [{ payload: '[1,2]' }]],
  [
    'map to a constant',
    { map: '{"variables": {"rnr": {"value": "123", "type": "long"}}}' },
    [{ payload: Buffer.from('alert: hall\0') }],
    [{ payload: '{"variables":{"rnr":{"value":"123","type":"long"}}}' }],
  ],
  ['topic', { topic: '"x/" & d' }, [json({ d: 'm1' })], [{ topic: 'x/m1', payload: '{"d":"m1"}' }]],
  ['key', { key: 'd' }, [json({ d: 'm1' })], [{ key: Buffer.from('m1') }]],
  [
    'headers',
    { headers: { unit: '"C"', n: 'a', gone: 'zz' } },
    [
      {
        ...json({ a: 5 }),
        headers: [
          ['n', 'old'],
          ['kept', 'yes'],
        ],
      },
    ],
    [
      {
        headers: [
          ['kept', 'yes'],
          ['unit', 'C'],
          ['n', '5'],
        ],
      },
    ],
  ],
  [
    'an expression that needs the library',
    { where: '$count($map([a], function($v) { $v })) = 1', map: '$map([a], function($v) { $v * 2 })' },
    [json({ a: 21 })],
    [{ payload: '42' }],
  ],
])('a route transforms messages: %s', async (_, fields, given, expected) => {
  const { source, sink, end } = start(fields);
  source.give(...given);
  source.end();
  await end;
  expect(source.acked).toHaveLength(given.length);
  const shown = sink.written.map((message) => ({ ...message, payload: text(message.payload) }));
  expect(shown).toHaveLength(expected.length);
  expected.forEach((each, index) => {
    expect(shown[index]).toMatchObject(each);
  });
});

test('a route keeps the order of messages whose expressions take different times', async () => {
  const { source, sink, end } = start({ map: 'slow ? $map([n], function($v) { $v }) : n' });
  source.give(...Array.from({ length: 50 }, (_, n) => json({ n, slow: n % 3 === 0 })));
  source.end();
  await end;
  expect(sink.payloads()).toEqual(Array.from({ length: 50 }, (_, n) => String(n)));
});

test('a route waits for every sink before it acknowledges a message', async () => {
  const slow = fakeSink('mqtt://slow');
  let release = () => {};
  slow.before = () =>
    new Promise<void>((resolve) => {
      release = resolve;
    });
  const { source, end, sinks } = start({}, { 'mqtt://fast': fakeSink('mqtt://fast'), 'mqtt://slow': slow });
  source.give({ payload: Buffer.from('1') });
  await until(() => sinks['mqtt://fast']?.written.length === 1);
  expect(source.acked).toEqual([]);
  release();
  source.end();
  await end;
  expect(source.acked).toEqual(['1']);
});

test('a route retries in order until the sink accepts, and shows the failure in its state', async () => {
  const { source, sink, end, seen } = start({ batch: { messages: 2 } });
  let failures = 3;
  sink.before = () => {
    if (failures-- > 0) throw new Error('gone');
  };
  source.give(...['1', '2', '3'].map((payload) => ({ payload: Buffer.from(payload) })));
  await until(() => seen.state[0]?.to[0]?.state === 'failing');
  expect(seen.state[0]?.to[0]?.error).toBe('gone');
  expect(source.acked).toEqual([]);
  source.end();
  const { routes } = await end;
  expect(sink.payloads()).toEqual(['1', '2', '3']);
  expect(source.acked).toEqual(['1', '2', '3']);
  expect(routes[0]?.retries).toBeGreaterThanOrEqual(3);
});

test('a route pauses the source while the sink does not accept messages', async () => {
  const { source, sink, seen, stop, end } = start({ batch: { messages: 10 } });
  sink.before = () => new Promise(() => {});
  for (let n = 0; n < 40; n++)
    source.give(...Array.from({ length: 500 }, () => ({ payload: Buffer.from('x') })));
  await until(() => (seen.state[0]?.received ?? 0) >= 4000);
  await new Promise((resolve) => setTimeout(resolve, 60));
  expect(seen.state[0]?.received).toBeLessThanOrEqual(4500);
  stop.abort();
  const { routes } = await end;
  expect(routes[0]?.pending).toBeGreaterThan(0);
  expect(source.acked).toEqual([]);
});

test('a route writes pending messages when stopped, and reads no more', async () => {
  const { source, sink, stop, end } = start({});
  let release: (() => void) | undefined;
  sink.before = () =>
    new Promise<void>((resolve) => {
      release = resolve;
    });
  source.give({ payload: Buffer.from('1') });
  await until(() => release !== undefined);
  stop.abort();
  source.give({ payload: Buffer.from('2') });
  sink.before = () => {};
  release?.();
  await end;
  expect(sink.payloads()).toEqual(['1']);
  expect(source.acked).toEqual(['1']);
});

const refused = () => new AiotError('AIOT_BROKER_REFUSED', 'not allowed');

test.each<[string, Record<string, unknown>, Partial<RouteState>, string[]]>([
  ['skip', { onError: 'skip' }, { skipped: 1, deadLettered: 0 }, []],
  ['dead-letter', { onError: { 'dead-letter': 'mqtt://dead' } }, { skipped: 0, deadLettered: 1 }, ['bad']],
])('%s: a message rejected by the sink does not block others', async (_, fields, counts, dead) => {
  const letters = fakeSink('mqtt://dead');
  const out = fakeSink();
  out.before = (messages) => {
    if (messages.some(({ payload }) => text(payload) === 'bad')) throw refused();
  };
  const { source, end } = start(
    { ...fields, to: 'mqtt://out' },
    { 'mqtt://out': out, 'mqtt://dead': letters },
  );
  source.give(...['1', '2', 'bad', '3'].map((payload) => ({ payload: Buffer.from(payload), topic: 'own' })));
  source.end();
  const { routes } = await end;
  expect(out.payloads()).toEqual(['1', '2', '3']);
  expect(source.acked.sort()).toEqual(['1', '2', '3', 'bad']);
  expect(routes[0]).toMatchObject(counts);
  expect(letters.payloads()).toEqual(dead);
  for (const { topic, headers } of letters.written) {
    expect(topic).toBe('own');
    expect(headers).toEqual([
      ['aiot-route', 'r'],
      ['aiot-topic', 'own'],
      ['aiot-error', 'AIOT_BROKER_REFUSED: not allowed'],
    ]);
  }
});

test.each<[string, Record<string, unknown>]>([
  ['skip', { onError: 'skip' }],
  ['dead-letter', { onError: { 'dead-letter': 'mqtt://dead' } }],
])('%s: a message that makes an expression fail does not block others', async (policy, fields) => {
  const letters = fakeSink('mqtt://dead');
  const { source, sink, end } = start(
    { map: 'a + 1', to: 'mqtt://out', ...fields },
    { 'mqtt://out': fakeSink(), 'mqtt://dead': letters },
  );
  source.give(json({ a: 1 }), json({ a: 'x' }), json({ a: 3 }));
  source.end();
  await end;
  expect(sink.payloads()).toEqual(['2', '4']);
  expect(source.acked).toHaveLength(3);
  expect(letters.payloads()).toEqual(policy === 'skip' ? [] : ['{"a":"x"}']);
});

test('retry: a message that makes an expression fail ends the route without an acknowledgment', async () => {
  const { source, sink, end } = start({ map: 'a + 1' });
  source.give(json({ a: 1 }), json({ a: 'x' }), json({ a: 3 }));
  await expect(end).rejects.toMatchObject({ code: 'AIOT_ROUTE_MESSAGE' });
  expect(sink.payloads()).toEqual(['2']);
  expect(source.acked).toEqual(['{"a":1}']);
});

test('a route reopens a source that fails, and continues', async () => {
  const first = fakeSource();
  const second = fakeSource();
  const sources = [first, second];
  const sink = fakeSink();
  const end = runRoutes([routeOf('r', { from: 'mqtt://in', to: 'mqtt://out' })], {
    open: { source: async () => sources.shift() as FakeSource, sink: async () => sink },
  });
  first.give({ payload: Buffer.from('1') });
  await until(() => sink.written.length === 1);
  first.end(new Error('torn'));
  second.give({ payload: Buffer.from('2') });
  second.end();
  await end;
  expect(sink.payloads()).toEqual(['1', '2']);
  expect(first.closed).toBe(true);
});

test('a route sends one message per dedupe key and window, then acknowledges its duplicates', async () => {
  const { source, sink, end, seen } = start({ dedupe: { key: 'id', window: '1m' } });
  let release = () => {};
  sink.before = () =>
    new Promise<void>((resolve) => {
      release = resolve;
    });
  source.give(json({ id: 1 }), json({ id: 1 }), json({ id: 2 }), json({ no: 'id' }), json({ no: 'id' }));
  await until(() => seen.state[0]?.received === 5);
  expect(source.acked).toEqual([]);
  sink.before = () => {};
  release();
  source.end();
  const { routes } = await end;
  expect(sink.payloads()).toEqual(['{"id":1}', '{"id":2}', '{"no":"id"}', '{"no":"id"}']);
  expect(source.acked).toHaveLength(5);
  expect(routes[0]?.duplicates).toBe(1);
});

test('exactlyOnce: a route asks the sink for stored messages at start and after a failed write', async () => {
  const sink = fakeSink('kafka://k');
  sink.recent = async function* () {
    yield sink.written.map((message) => ({ time: 0, source: '', ...message }));
  };
  sink.written.push({ topic: 'x', payload: Buffer.from('before'), headers: [['aiot-dedupe', '7']] });
  let fail = true;
  const write = sink.write;
  sink.write = async (messages) => {
    await write(messages);
    if (fail) {
      fail = false;
      throw new Error('the answer was lost');
    }
  };
  const { source, end } = start(
    { dedupe: { key: 'id', exactlyOnce: true }, batch: { messages: 10 } },
    { 'kafka://k/x': sink },
  );
  source.give(json({ id: '7' }), json({ id: '8' }), json({ id: '9' }));
  source.end();
  await end;
  expect(sink.payloads()).toEqual(['before', '{"id":"8"}', '{"id":"9"}']);
  expect(source.acked).toHaveLength(3);
});

/**
 * A log that is searched by the messages' own times, like Kafka's. Its first write is stored, but the response is
 * lost.
 */
function forgetfulLog(keeps: OutgoingMessage[] = []): FakeSink & { lose: boolean } {
  const sink = Object.assign(fakeSink('kafka://k'), { lose: true });
  sink.written.push(...keeps);
  sink.recent = async function* (since) {
    const at = sink.written.findIndex(({ time = 0 }) => time >= since);
    if (at >= 0) yield sink.written.slice(at).map((message) => ({ time: 0, source: '', ...message }));
  };
  const write = sink.write;
  sink.write = async (messages) => {
    await write(messages);
    const { lose } = sink;
    sink.lose = false;
    if (lose) throw new Error('the answer was lost');
  };
  return sink;
}

test('exactlyOnce: a route does not rewrite spooled messages after a write whose response was lost', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-spool-'));
  stops.push(() => rm(folder, { recursive: true }));
  const sink = forgetfulLog();
  const { source, end } = start(
    { dedupe: { key: 'id', exactlyOnce: true }, spool: { path: join(folder, 's') } },
    { 'kafka://k/x': sink },
  );
  source.give(json({ id: '8' }), json({ id: '9' }));
  source.end();
  await end;
  expect(sink.payloads()).toEqual(['{"id":"8"}', '{"id":"9"}']);
});

test.each([
  ['a minute ago', Date.now() - 60_000],
  ['last year', Date.now() - 3.2e10],
])(
  'exactlyOnce: a route does not rewrite messages from %s that a killed run had written',
  async (_when, time) => {
    const old = (id: string) => ({ ...json({ id }), time });
    const before = ['1', '2', '3'].map((id) => ({
      ...old(id),
      topic: 'x',
      headers: [['aiot-dedupe', id]] as [string, string][],
    }));
    const sink = forgetfulLog(before);
    const fields = { dedupe: { key: 'id', exactlyOnce: true }, batch: { messages: 2 } };
    const { source, end } = start(fields, { 'kafka://k/x': sink });
    source.give(old('1'), old('2'), old('3'), old('4'), old('5'));
    source.end();
    await end;
    expect(sink.payloads()).toEqual(['1', '2', '3', '4', '5'].map((id) => `{"id":"${id}"}`));
    expect(source.acked).toHaveLength(5);
  },
);

test('exactlyOnce: a route is rejected if its sink cannot be queried', async () => {
  const { end } = start({ dedupe: { key: 'id', exactlyOnce: true } });
  await expect(end).rejects.toMatchObject({ code: 'AIOT_ROUTE_INVALID' });
});

test('a route spools messages during an outage, then sends everything in order', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-spool-'));
  stops.push(() => rm(folder, { recursive: true }));
  const { source, sink, end, seen } = start({ spool: { path: join(folder, 's') }, batch: { messages: 3 } });
  let out = true;
  sink.before = () => {
    if (out) throw new Error('the link is down');
  };
  for (let n = 0; n < 20; n++) source.give({ payload: Buffer.from(String(n)), topic: `t/${n}` });
  await until(() => source.acked.length === 20);
  expect(sink.written).toEqual([]);
  await until(() => seen.state[0]?.to[0]?.spooled?.messages === 20);
  out = false;
  source.end();
  const { routes } = await end;
  expect(sink.payloads()).toEqual(Array.from({ length: 20 }, (_, n) => String(n)));
  expect(sink.written.map(({ topic }) => topic)).toEqual(Array.from({ length: 20 }, (_, n) => `t/${n}`));
  expect(routes[0]?.to[0]?.spooled).toEqual({ messages: 0, bytes: 0, dropped: 0 });
});

test('a route reduces the expiry of a message by the time it waited, and drops expired ones', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-spool-'));
  stops.push(() => rm(folder, { recursive: true }));
  vi.useFakeTimers({ toFake: ['Date'], now: 1_800_000_000_000 });
  stops.push(async () => vi.useRealTimers());
  const later = (seconds: number) => vi.setSystemTime(Date.now() + seconds * 1000);
  const expiry = 'mqtt-message-expiry-interval';
  const lasting = (payload: string, ...more: (readonly [string, string])[]) => ({
    payload: Buffer.from(payload),
    headers: [['unit', 'C'], ...more] as const,
  });
  const fields = { spool: { path: join(folder, 's') }, batch: { messages: 2 } };
  const down = () => {
    throw new Error('the link is down');
  };
  const first = start(fields);
  first.sink.before = down;
  first.source.give(
    lasting('a minute', [expiry, '60']),
    lasting('an hour', [expiry, '3600'], [expiry, '1']),
    lasting('forever'),
    lasting('at once', [expiry, '0']),
    lasting('a week', [expiry, '604800']),
  );
  await until(() => first.source.acked.length === 5);
  first.stop.abort();
  await first.end;
  // In the next run, the first chunk is read from the spool before the destination is back.
  later(59.5);
  const second = start(fields);
  second.sink.before = down;
  await until(() => second.seen.state[0]?.to[0]?.state === 'failing');
  later(0.5);
  second.source.give(lasting('two seconds', [expiry, '2']), lasting('a day', [expiry, '86400']));
  await until(() => second.source.acked.length === 2);
  later(10);
  second.sink.before = () => {};
  second.source.end();
  const { routes } = await second.end;
  expect(second.sink.written.map(({ payload, headers }) => [text(payload), headers?.slice(1)])).toEqual([
    [
      'an hour',
      [
        [expiry, '3530'],
        [expiry, '1'],
      ],
    ],
    ['forever', []],
    ['at once', [[expiry, '0']]],
    ['a week', [[expiry, '604730']]],
    ['a day', [[expiry, '86390']]],
  ]);
  expect(second.sink.written.every((message) => !('expires' in message))).toBe(true);
  expect(routes[0]?.to[0]).toMatchObject({
    written: 5,
    expired: 2,
    spooled: { messages: 0, dropped: 0 },
  });
  expect(stateText(routes[0]!)).toBe('2 messages in, 5 out, 2 expired');
});

test('a route without a spool drops and acknowledges a message that expires during an outage', async () => {
  const { source, sink, end, seen } = start({ dedupe: { key: 'id' } });
  const headers = [['mqtt-message-expiry-interval', '1']] as const;
  let out = true;
  sink.before = () => {
    if (out) throw new Error('the link is down');
  };
  source.give({ ...json({ id: 1 }), headers }, { ...json({ id: 1 }), headers }, json({ id: 2 }));
  await until(() => seen.state[0]?.to[0]?.state === 'failing');
  const real = Date.now;
  vi.spyOn(Date, 'now').mockImplementation(() => real() + 1000);
  stops.push(async () => vi.restoreAllMocks());
  out = false;
  source.end();
  const { routes } = await end;
  expect(sink.payloads()).toEqual(['{"id":2}']);
  expect(source.acked).toHaveLength(3);
  expect(routes[0]).toMatchObject({ pending: 0, duplicates: 1, to: [{ written: 1, expired: 1 }] });
});

test('a route sends the spooled messages of a stopped run first in the next run', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-spool-'));
  stops.push(() => rm(folder, { recursive: true }));
  const fields = { spool: { path: join(folder, 's') } };
  const first = start(fields);
  first.sink.before = () => {
    throw new Error('the link is down');
  };
  first.source.give({ payload: Buffer.from('1') }, { payload: Buffer.from('2') });
  await until(() => first.source.acked.length === 2);
  first.stop.abort();
  await first.end;
  const second = start(fields);
  second.source.give({ payload: Buffer.from('3') });
  second.source.end();
  await second.end;
  expect(second.sink.payloads()).toEqual(['1', '2', '3']);
});

test('a route fails immediately if a sink rejects the connection, and waits if the sink is unreachable', async () => {
  const wrong = runRoutes([routeOf('r', { from: 'mqtt://in', to: 'mqtt://out' })], {
    open: { source: async () => fakeSource(), sink: async () => Promise.reject(refused()) },
  });
  await expect(wrong).rejects.toMatchObject({ code: 'AIOT_BROKER_REFUSED' });
  let attempts = 0;
  const source = fakeSource();
  source.end();
  const late = runRoutes([routeOf('r', { from: 'mqtt://in', to: 'mqtt://out' })], {
    open: {
      source: async () => source,
      sink: async () => {
        attempts++;
        if (attempts < 3) throw new AiotError('AIOT_BROKER_UNREACHABLE', 'no', { retryable: true });
        return fakeSink();
      },
    },
  });
  await late;
  expect(attempts).toBe(3);
});
