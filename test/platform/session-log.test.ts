import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Retained } from '../../src/lib/platform/broker/retained.js';
import { type LogRecord, SessionLog } from '../../src/lib/platform/broker/session-log.js';
import { BrokerState } from '../../src/lib/platform/broker/sessions.js';
import { Subscriptions } from '../../src/lib/platform/broker/topics.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-session-log-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const share = '$share/group/t';
const newState = () =>
  new BrokerState(new Subscriptions(), new Retained({ messages: 10, bytes: 1e6 }, Date.now), 60_000);
const session = (s: string): LogRecord => ({ k: 'session', s, off: 1, sent: [] });
const message = (n: number, s: string, bytes: number, g?: string): LogRecord => ({
  ...{ k: 'message', n, m: ['t', Buffer.alloc(bytes).toString('base64'), 1, false] },
  to: [g === undefined ? [s, 1, 0] : [s, 1, 0, { g }]],
});
const queued = (state: BrokerState, key: string) =>
  [...(state.sessions.get(key)?.entries() ?? [])].map(({ number }) => number);

it('the session log keeps a message that passes between members of a shared subscription while the file is compacted', async () => {
  const state = newState();
  for (const record of [
    session('first'),
    session('between'),
    session('second'),
    // Larger than a block, so that the sessions before and after it are written in separate steps.
    message(1, 'between', 2_000_000),
    message(2, 'second', 10, share),
  ])
    state.apply(record);
  const pass = () => {
    const move: LogRecord = { k: 'move', s: 'second', n: 2, to: ['first', 1, 0, { g: share }] };
    state.apply(move);
    log.append(move);
  };
  let steps = 0;
  const snapshot = function* () {
    for (const make of state.snapshot())
      yield () => {
        const record = make();
        if (record.k === 'message' && record.n === 1 && ++steps === 1) queueMicrotask(pass);
        return record;
      };
  };
  const { log } = await SessionLog.open({ folder, snapshot, compactBytes: 1 }, () => {});
  const written = () =>
    new Promise<unknown>((resolve) => log.commit({ k: 'release', s: 'first', id: 9 }, resolve));
  expect([await written(), await written()]).toEqual([null, null]);
  await log.close();
  expect(steps).toBe(1);
  expect([queued(state, 'first'), queued(state, 'second')]).toEqual([[2], []]);

  const restored = newState();
  const again = await SessionLog.open({ folder, snapshot: () => [] }, (record) => restored.apply(record));
  await again.log.close();
  expect([queued(restored, 'first'), queued(restored, 'second')]).toEqual([[2], []]);
});

/** Commits records, and returns the ones that a new start reads, with the file's lines. */
async function readBack(records: readonly LogRecord[]) {
  const { log } = await SessionLog.open({ folder, snapshot: () => [] }, () => {});
  await new Promise<void>((resolve, reject) =>
    log.commitAll(records, (error) => (error ? reject(error) : resolve())),
  );
  await log.close();
  const read: LogRecord[] = [];
  const { damaged } = await SessionLog.open({ folder, snapshot: () => [] }, (record) => read.push(record));
  expect(damaged).toBe(0);
  return read;
}

it('the session log reads every kind of record back as it was written', async () => {
  const payload = Buffer.from([0, 255, 10, 13, 34, 92]).toString('base64');
  const long = Buffer.alloc(300_000, 'ß').toString('base64');
  const records: LogRecord[] = [
    { k: 'session', s: 'operator a:"quoted\\" 😀', off: null, x: 5 },
    { k: 'message', n: 1, m: ['t/"a\\b"/ü\n😀', payload, 1, false], to: [['s', 1, 7]] },
    { k: 'message', n: 2, m: ['', '', 0, true], to: [], r: true, from: ['ü', 65_535], state: 'released' },
    {
      k: 'message',
      n: 3,
      m: ['t', long, 2, false, payload],
      to: [['s', 2, 0, { g: share, i: [1], r: true }]],
    },
    { k: 'message', n: 4, m: ['t', payload, 1, false, '', 1_900_000_000_000], to: [], state: 'sent' },
    { k: 'sub', s: 's', f: [['a/#', 1, 2, 3]] },
    { k: 'received', s: 's', n: 3, g: share },
    { k: 'will', s: 's', m: ['t', payload, 1, true], d: 5 },
    { k: 'will', s: 's', m: null },
    { k: 'end', s: 's' },
  ];
  expect(await readBack(records)).toEqual(records);
});

it('the session log records acknowledgments of one session that arrive together as one line, in order', async () => {
  const { log } = await SessionLog.open({ folder, snapshot: () => [] }, () => {});
  const done = (s: string, n: number, g?: string): LogRecord =>
    g === undefined ? { k: 'done', s, n } : { k: 'done', s, n, g };
  for (const n of [1, 2, 3]) log.append(done('first', n));
  log.append(done('second', 4));
  log.append(done('second', 5, share));
  log.append({ k: 'release', s: 'second', id: 9 });
  log.append(done('second', 6));
  await log.close();
  const state = newState();
  state.apply(session('first'));
  for (const n of [1, 2, 3, 7]) state.apply(message(n, 'first', 10));
  const read: LogRecord[] = [];
  await SessionLog.open({ folder, snapshot: () => [] }, (record) => {
    read.push(record);
    state.apply(record);
  });
  expect(read).toEqual([
    { ...done('first', 1), more: [2, 3] },
    done('second', 4),
    done('second', 5, share),
    { k: 'release', s: 'second', id: 9 },
    done('second', 6),
  ]);
  expect(queued(state, 'first')).toEqual([7]);
});
