import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { AiotError } from '../../../src/lib/core/errors.js';
import { routeOf } from '../../../src/lib/stream/route/load.js';
import { createOutlet } from '../../../src/lib/stream/route/outlet.js';
import { runRoutes } from '../../../src/lib/stream/route/run.js';
import { openSpool } from '../../../src/lib/stream/spool/spool.js';
import {
  type FakeSink,
  type FakeSource,
  fakeSink,
  fakeSource,
  text,
  until,
} from '../../support/fake-streams.js';

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});

test.each([
  ['is unavailable', () => Promise.reject(new Error('refused'))],
  ['never responds', () => new Promise<FakeSource>(() => {})],
])('a route stops normally while reopening a source that %s', async (_, reopen) => {
  const first = fakeSource();
  const opened: string[] = [];
  const stop = new AbortController();
  const sink = fakeSink();
  const end = runRoutes([routeOf('r', { from: 'mqtt://in', to: 'mqtt://out' })], {
    signal: stop.signal,
    open: {
      source: () => {
        opened.push('source');
        return opened.length === 1 ? Promise.resolve(first) : reopen();
      },
      sink: async () => sink,
    },
  });
  first.give({ payload: Buffer.from('1') });
  await until(() => sink.written.length === 1);
  first.end(new Error('torn'));
  await until(() => opened.length > 1);
  await new Promise((resolve) => setTimeout(resolve, 20));
  stop.abort(new Error('SIGTERM'));
  const { routes } = await end;
  expect(routes[0]).toMatchObject({ received: 1, pending: 0 });
  expect(sink.closed).toBe(true);
});

test.each([
  ['is unavailable', () => Promise.reject(new AiotError('AIOT_BROKER_UNREACHABLE', 'refused'))],
  ['never responds', () => new Promise<FakeSink>(() => {})],
])('a route stops while waiting for a first sink that %s', async (_, sink) => {
  const stop = new AbortController();
  let opened = 0;
  const end = runRoutes([routeOf('r', { from: 'mqtt://in', to: 'mqtt://out' })], {
    signal: stop.signal,
    open: {
      source: async () => fakeSource(),
      sink: () => {
        opened++;
        return sink();
      },
    },
  });
  await until(() => opened > 0);
  await new Promise((resolve) => setTimeout(resolve, 20));
  stop.abort(new Error('SIGTERM'));
  const { routes } = await end;
  expect(routes[0]).toMatchObject({ received: 0, pending: 0 });
});

test('a route acknowledges a duplicate only after every sink has stored or rejected the original', async () => {
  const [picky, slow] = [fakeSink('mqtt://picky'), fakeSink('mqtt://slow')];
  picky.before = () => {
    throw new AiotError('AIOT_BROKER_REFUSED', 'not allowed');
  };
  let release = () => {};
  slow.before = () =>
    new Promise<void>((resolve) => {
      release = resolve;
    });
  const source = fakeSource();
  let skipped = 0;
  const sinks: Record<string, FakeSink> = { 'mqtt://picky': picky, 'mqtt://slow': slow };
  const fields = { dedupe: { key: 'id', window: '1m' }, onError: 'skip' };
  const end = runRoutes([routeOf('r', { from: 'mqtt://in', to: Object.keys(sinks), ...fields })], {
    stateMs: 20,
    open: { source: async () => source, sink: async (url) => sinks[url] as FakeSink },
    onState: ([state]) => {
      skipped = state?.skipped ?? 0;
    },
  });
  source.give({ payload: Buffer.from('{"id":1}') }, { payload: Buffer.from('{"id":1}') });
  await until(() => skipped === 1);
  expect(source.acked).toEqual([]);
  release();
  source.end();
  await end;
  expect(slow.payloads()).toEqual(['{"id":1}']);
  expect(source.acked).toHaveLength(2);
});

test.each([
  ['holds messages', 2],
  ['is empty', 0],
])('a route delays messages but loses none if the disk is full and the spool %s', async (_, before) => {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-spool-'));
  folders.push(folder);
  const spool = await openSpool({ path: join(folder, 's'), limit: 1e9, full: 'wait' });
  const messages = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, n) => ({ topic: 't', payload: Buffer.from(String(from + n)) }));
  if (before > 0) await spool.append(messages(0, before));
  const { append } = spool;
  // Fails like a full disk until the spool has been emptied.
  spool.append = async (all, signal) => {
    if (spool.messages > 0 || before === 0) throw new AiotError('AIOT_DISK_FULL', 'no room (ENOSPC)');
    return append(all, signal);
  };
  const sink = fakeSink();
  let down = true;
  sink.before = () => {
    if (down) throw new Error('the link is down');
  };
  const failures: unknown[] = [];
  const giveUp = new AbortController();
  const outlet = createOutlet({
    ...{ endpoint: 'mqtt://out', exactlyOnce: false, giveUp: giveUp.signal, spool, batch: { messages: 10 } },
    ...{
      open: async () => sink,
      onChange: () => {},
      onRetry: () => {},
      onFailure: (error) => failures.push(error),
    },
  });
  await outlet.ready();
  let done = 0;
  for (const message of messages(before, before + 3))
    outlet.push({ message, of: { ...message, time: 0, source: '' }, flight: { done: () => done++ } });
  await until(() => outlet.state().spooled?.error !== undefined);
  expect({ done, error: outlet.state().spooled?.error }).toEqual({ done: 0, error: 'no room (ENOSPC)' });
  down = false;
  await until(() => done === 3 && spool.messages === 0);
  await outlet.idle(true);
  expect(sink.payloads()).toEqual(messages(0, before + 3).map(({ payload }) => text(payload)));
  expect(outlet.state().spooled).toEqual({ messages: 0, bytes: 0, dropped: 0 });
  expect(failures).toEqual([]);
  await outlet.close();
});
