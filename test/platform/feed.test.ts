import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PlatformEvent } from '../../src/lib/api/events/api.js';
import type { EventType } from '../../src/lib/api/events/types.js';
import { AiotError } from '../../src/lib/core/errors.js';
import { type Events, eventsIn, extentOf, startOf } from '../../src/lib/platform/events/events.js';
import { Relay } from '../../src/lib/platform/events/relay.js';
import type { JournalReader, PlacedEntry } from '../../src/lib/platform/journal/telemetry.js';
import { openStore, type Store } from '../../src/lib/platform/store/database.js';
import type { OutgoingMessage, Sink } from '../../src/lib/stream/message.js';

let folder: string;
let store: Store;
let events: Events;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-feed-'));
  store = await openStore(join(folder, 'state.db'));
  events = eventsIn(store, () => 1_700_000_000_000);
});
afterEach(async () => {
  events.feed.close();
  await store.destroy();
  await rm(folder, { recursive: true, force: true });
});

const who = 'somebody';
const record = (type: EventType, subject: string, transaction?: Store) =>
  events.record({ who, type, subject }, transaction);

/** Follows the feed until `count` events have arrived. */
async function take(count: number, after = 0, filter = {}): Promise<PlatformEvent[]> {
  const end = AbortSignal.timeout(30_000);
  const got: PlatformEvent[] = [];
  for await (const page of events.feed.follow(after, end, filter)) {
    got.push(...page.events);
    if (got.length >= count) break;
  }
  return got;
}

describe('the feed', () => {
  it('delivers existing and new events once and in order, from any starting position', async () => {
    for (let i = 0; i < 20; i++) await record('device.connect', `d${i}`);
    const early = take(60);
    const half = take(50, 10);
    for (let i = 20; i < 40; i++) await record('device.connect', `d${i}`);
    const late = take(25, 35);
    for (let i = 40; i < 60; i++) await record('device.connect', `d${i}`);
    const ids = (list: PlatformEvent[]) => list.map(({ id }) => id);
    const all = Array.from({ length: 60 }, (_, i) => i + 1);
    expect(ids(await early)).toEqual(all);
    expect(ids(await half)).toEqual(all.slice(10));
    expect(ids(await late)).toEqual(all.slice(35));
    expect(events.feed.listening).toBe(0);
  });

  it('omits changes that are rolled back, and delivers nothing before the commit', async () => {
    const got = take(2);
    await expect(
      store.transaction().execute(async (transaction) => {
        await record('device.suspend', 'never', transaction);
        throw new Error('no');
      }),
    ).rejects.toThrow('no');
    await store.transaction().execute(async (transaction) => {
      await record('device.suspend', 'one', transaction);
      await delay(50);
      await record('device.suspend', 'two', transaction);
    });
    expect((await got).map(({ subject }) => subject)).toEqual(['one', 'two']);
  });

  it('filters by type, by all types of a noun, and by a name with its versions', async () => {
    for (const [type, subject] of [
      ['model.push', 'har@1'],
      ['model.push', 'hard@1'],
      ['device.connect', 'har'],
      ['rollout.start', 'ro_1'],
    ] as const)
      await record(type, subject);
    const subjects = async (filter: object, count: number) =>
      (await take(count, 0, filter)).map(({ subject }) => subject);
    expect(await subjects({ types: ['model.*'] }, 2)).toEqual(['har@1', 'hard@1']);
    expect(await subjects({ types: ['device.connect', 'rollout.*'] }, 2)).toEqual(['har', 'ro_1']);
    expect(await subjects({ subject: 'har' }, 2)).toEqual(['har@1', 'har']);
    expect(await subjects({ subject: 'har', types: ['*'] }, 2)).toEqual(['har@1', 'har']);
  });

  it('supplies a thousand listeners with one read of new events', async () => {
    const everybody = Promise.all(Array.from({ length: 1000 }, () => take(10)));
    await delay(100);
    const before = process.cpuUsage();
    for (let i = 0; i < 10; i++) await record('device.connect', `d${i}`);
    const got = await everybody;
    expect(new Set(got.map((list) => list.map(({ id }) => id).join()))).toEqual(
      new Set(['1,2,3,4,5,6,7,8,9,10']),
    );
    expect(process.cpuUsage(before).user / 1e6).toBeLessThan(2);
  }, 60_000);

  it('resolves the starting position, and rejects one that is gone or never existed', async () => {
    for (let i = 0; i < 10; i++) await record('device.connect', `d${i % 2}`);
    expect(await startOf(store, { from: 0 })).toBe(0);
    expect(await startOf(store, { from: 'now' })).toBe(10);
    expect(await startOf(store, { newest: 2, subject: 'd0' })).toBe(6);
    expect(await startOf(store, { from: 3, after: 7 })).toBe(7);
    await store.deleteFrom('events').where('id', '<=', 5).execute();
    await store.insertInto('cursors').values({ name: 'pruned', position: 5 }).execute();
    expect(await extentOf(store)).toEqual({ pruned: 5, latest: 10 });
    expect(await startOf(store, { from: 0 })).toBe(5);
    expect(await startOf(store, { from: 5 })).toBe(5);
    await expect(startOf(store, { from: 4 })).rejects.toMatchObject({ code: 'AIOT_EVENTS_GONE' });
    await expect(startOf(store, { from: 11 })).rejects.toMatchObject({ code: 'AIOT_EVENTS_GONE' });
  });
});

/** A journal that starts with `count` entries and can be extended. */
function fakeJournal(count: number): JournalReader & { add(): void } {
  const all: PlacedEntry[] = [];
  let wake = () => {};
  const add = () => {
    const seq = all.length;
    const entry = {
      at: 1,
      device: `d${seq % 3}`,
      channel: 'telemetry' as const,
      stream: 's',
      payload: { seq },
    };
    all.push({ entry, position: String(seq) });
    wake();
  };
  for (let i = 0; i < count; i++) add();
  return {
    add,
    end: async () => String(all.length - 1),
    async *from(position, signal) {
      for (let next = position === null ? 0 : Number(position) + 1; !signal.aborted; ) {
        if (next < all.length) {
          yield all.slice(next, next + 100);
          next = Math.min(all.length, next + 100);
        } else {
          await new Promise<void>((resolve) => {
            wake = resolve;
            signal.addEventListener('abort', () => resolve());
          });
        }
      }
    },
  };
}

describe('the relay', () => {
  /** A fake destination that is unreachable while `away` is set, and rejects messages that contain `poison`. */
  function farSide() {
    const got: OutgoingMessage[] = [];
    const side = { away: false, poison: '', got };
    const open = async (): Promise<Sink> => {
      if (side.away) throw new AiotError('AIOT_BROKER_UNREACHABLE', 'away', { retryable: true });
      return {
        endpoint: 'kafka://fake',
        async write(messages) {
          await delay(1);
          if (side.away) throw new AiotError('AIOT_BROKER_UNREACHABLE', 'away', { retryable: true });
          const bad =
            side.poison !== '' && messages.some(({ payload }) => payload.toString().includes(side.poison));
          if (bad) throw new AiotError('AIOT_STREAM_MESSAGE_REFUSED', 'too large');
          got.push(...messages);
        },
        close: async () => {},
      };
    };
    return { side, open };
  }
  const seqs = (got: OutgoingMessage[], key: string) =>
    got
      .filter((message) => message.topic === 'aiot.telemetry' && message.key?.toString() === key)
      .map(({ payload }) => JSON.parse(payload.toString()).payload.seq as number);
  const relayOf = (journal: JournalReader, open: () => Promise<Sink>) =>
    new Relay({
      ...{ url: 'kafka://127.0.0.1:9', store, feed: events.feed, journal, platform: 'p', open },
      log: pino({ level: 'silent' }),
    });

  it('sends each message once and in order across an outage and a restart, and skips a rejected one', async () => {
    const { side, open } = farSide();
    const journal = fakeJournal(500);
    for (let i = 0; i < 5; i++) await record('device.connect', `d${i}`);
    side.poison = '"seq":77}';
    const first = new AbortController();
    const one = relayOf(journal, open);
    const running = one.run(first.signal);
    await expect.poll(() => one.figures.telemetry.sent + one.figures.events.sent).toBe(504);
    side.away = true;
    await record('device.connect', 'later');
    journal.add();
    await expect.poll(() => one.figures.state).toBe('disconnected');
    expect(one.figures.error).toBe('AIOT_BROKER_UNREACHABLE');
    side.away = false;
    await expect.poll(() => one.figures.events.sent).toBe(6);
    await expect.poll(() => one.figures.telemetry.sent).toBe(500);
    first.abort();
    await running;
    const second = new AbortController();
    const two = relayOf(journal, open);
    const again = two.run(second.signal);
    journal.add();
    await expect.poll(() => two.figures.telemetry.sent).toBe(1);
    second.abort();
    await again;
    const expected = (rest: number) =>
      Array.from({ length: 502 }, (_, i) => i).filter((i) => i % 3 === rest && i !== 77);
    for (const rest of [0, 1, 2]) {
      expect([...new Set(seqs(side.got, `d${rest}`))]).toEqual(expected(rest));
    }
    expect(one.figures.telemetry.refused).toBe(1);
    const told = side.got.filter(({ topic }) => topic === 'aiot.events').map(({ key }) => key?.toString());
    expect(told).toEqual(['d0', 'd1', 'd2', 'd3', 'd4', 'later']);
  }, 60_000);

  it('rejects an unsupported address', () => {
    const wrong = () =>
      new Relay({
        ...{ url: 'mqtt://127.0.0.1', store, feed: events.feed, journal: fakeJournal(0), platform: 'p' },
        log: pino({ level: 'silent' }),
      });
    expect(wrong).toThrow(expect.objectContaining({ code: 'AIOT_USAGE' }));
  });
});
