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

it('keeps a message that passes between members of a shared subscription while the file is compacted', async () => {
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
