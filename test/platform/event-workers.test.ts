import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { targetsCursor } from '../../src/lib/platform/events/alarm-targets.js';
import { auditCursor } from '../../src/lib/platform/events/audit.js';
import { type Events, eventsIn, startOf } from '../../src/lib/platform/events/events.js';
import { jobKind } from '../../src/lib/platform/events/job-kinds.js';
import { JobRunner, Jobs } from '../../src/lib/platform/events/jobs.js';
import { pruneEvents } from '../../src/lib/platform/events/prune.js';
import {
  type Delivery,
  givesUpAfterMs,
  type Outcome,
  WebhookSender,
  Webhooks,
  waitAfter,
} from '../../src/lib/platform/events/webhooks.js';
import { openStore, type Store } from '../../src/lib/platform/store/database.js';

let folder: string;
let store: Store;
let events: Events;
let clock = 1_700_000_000_000;
const now = () => clock;
const log = pino({ level: 'silent' });
beforeEach(async () => {
  clock = 1_700_000_000_000;
  folder = await mkdtemp(join(tmpdir(), 'aiot-workers-'));
  store = await openStore(join(folder, 'state.db'));
  events = eventsIn(store, now);
});
afterEach(async () => {
  events.feed.close();
  await store.destroy();
  await rm(folder, { recursive: true, force: true });
});
const record = (subject: string) => events.record({ who: 'x', type: 'device.connect', subject });
const typesOf = async () =>
  (await store.selectFrom('events').select(['type', 'subject']).orderBy('id').execute()).map(
    ({ type, subject }) => `${type} ${subject}`,
  );

describe('the job runner', () => {
  const any = z.looseObject({});
  let ran: string[] = [];
  const kinds = [
    jobKind({
      name: 'a.again',
      about: '',
      request: any,
      resumable: true,
      run: async ({ id }) => ran.push(id),
    }),
    jobKind({
      name: 'a.once',
      about: '',
      request: any,
      resumable: false,
      run: async ({ id }) => ran.push(id),
    }),
    jobKind({
      ...{ name: 'a.long', about: '', request: any, resumable: true },
      async run({ signal, progress }) {
        progress({ step: 'waiting', done: 1, total: 2 });
        await delay(60_000, undefined, { signal });
      },
    }),
  ];
  beforeEach(() => {
    ran = [];
  });
  /** Runs the job runner while `body` runs. */
  async function during(body: (jobs: Jobs) => Promise<void>): Promise<void> {
    const jobs = new Jobs({ store, events, kinds, now });
    const runner = new JobRunner({ store, events, kinds, jobs, log, now });
    const stop = new AbortController();
    const running = runner.run(stop.signal);
    try {
      await body(jobs);
    } finally {
      stop.abort();
      await running;
    }
  }

  it('restarts resumable jobs of a killed process, and fails the others', async () => {
    const jobs = new Jobs({ store, events, kinds, now });
    const [again, once] = [
      await jobs.create({ kind: 'a.again' }, 'x'),
      await jobs.create({ kind: 'a.once' }, 'x'),
    ];
    await store.updateTable('jobs').set({ state: 'running', started: now(), done: 7 }).execute();
    await during(async () => {
      await expect.poll(async () => (await jobs.get(again.id)).state).toBe('done');
    });
    expect(ran).toEqual([again.id]);
    expect(await jobs.get(once.id)).toMatchObject({ state: 'failed', error: { code: 'AIOT_JOB_LOST' } });
    expect(await typesOf()).toEqual([
      `job.create ${again.id}`,
      `job.create ${once.id}`,
      `job.end ${once.id}`,
      `job.start ${again.id}`,
      `job.end ${again.id}`,
    ]);
  });

  it('saves the result of a job once the database recovers, and keeps polling', async () => {
    const away = new Error('the database does not answer');
    const end = vi.spyOn(Jobs.prototype, 'end').mockRejectedValueOnce(away);
    const look = vi.spyOn(JobRunner.prototype as unknown as { giveUpLost(): Promise<void> }, 'giveUpLost');
    look.mockRejectedValueOnce(away);
    try {
      await during(async (jobs) => {
        const { id } = await jobs.create({ kind: 'a.again' }, 'x');
        await expect.poll(async () => (await jobs.get(id)).state).toBe('done');
        await expect.poll(() => look.mock.calls.length).toBeGreaterThan(1);
      });
      expect(end).toHaveBeenCalledTimes(2);
    } finally {
      vi.restoreAllMocks();
    }
  });

  it('ends a canceled job, and leaves a running one to the next process when it stops', async () => {
    let left = '';
    await during(async (jobs) => {
      const { id } = await jobs.create({ kind: 'a.long' }, 'x');
      await expect.poll(async () => (await jobs.get(id)).step).toBe('waiting');
      await jobs.cancel(id, 'y');
      await expect.poll(async () => (await jobs.get(id)).state).toBe('cancelled');
      left = (await jobs.create({ kind: 'a.long' }, 'x')).id;
      await expect.poll(async () => (await jobs.get(left)).state).toBe('running');
      for (let i = 0; i < 4; i++) await jobs.create({ kind: 'a.long' }, 'x');
      const list = async () => (await jobs.list({ limit: 100 })).jobs;
      const states = async () => (await list()).map(({ state }) => state).sort();
      const expected = ['cancelled', 'queued', 'queued', 'queued', 'running', 'running'];
      await expect.poll(states).toEqual(expected);
      await delay(50);
      expect(await states()).toEqual(expected);
      const all = await list();
      const queued = all.find(({ state }) => state === 'queued');
      expect((await jobs.cancel(queued?.id ?? '', 'x')).state).toBe('cancelled');
    });
    const jobs = new Jobs({ store, events, kinds, now });
    expect((await jobs.get(left)).state).toBe('running');
  }, 60_000);
});

describe('old events', () => {
  const read = (name: string, position: number) =>
    store
      .insertInto('cursors')
      .values({ name, position })
      .onConflict((conflict) => conflict.column('name').doUpdateSet({ position }))
      .execute();
  /** The audit log has read everything. */
  beforeEach(() => read(auditCursor, 1e9));
  const prune = (kept: { forMs: number; events: number }, relayed: number | null = null) =>
    pruneEvents({ store, events, now, relayed: async () => relayed }, kept);
  const ids = async () =>
    (await store.selectFrom('events').select('id').orderBy('id').execute()).map(({ id }) => id);

  it('are removed by age and by number; readers positioned before them get an error', async () => {
    for (let i = 1; i <= 10; i++) {
      await record(`d${i}`);
      clock += 1000;
    }
    expect(await prune({ forMs: 1e9, events: 100 })).toEqual({ events: 0 });
    expect(await prune({ forMs: 1e9, events: 8 })).toEqual({ events: 2 });
    expect(await ids()).toEqual([3, 4, 5, 6, 7, 8, 9, 10, 11]);
    expect(await prune({ forMs: 6500, events: 100 })).toEqual({ events: 2 });
    await expect(startOf(store, { from: 3 })).rejects.toMatchObject({ code: 'AIOT_EVENTS_GONE' });
    expect(await startOf(store, { from: 0 })).toBe(4);
    expect((await typesOf()).at(-1)).toBe('events.prune events');
  });

  it('are kept until the audit log and the targets of alarms have read them', async () => {
    for (let i = 1; i <= 5; i++) await record(`d${i}`);
    await read(auditCursor, 0);
    expect(await prune({ forMs: 1e9, events: 1 })).toEqual({ events: 0 });
    await read(auditCursor, 3);
    await read(targetsCursor, 2);
    expect(await prune({ forMs: 1e9, events: 1 })).toEqual({ events: 2 });
    expect((await ids())[0]).toBe(3);
  });

  it('are kept until the relay and the webhooks have sent them', async () => {
    for (let i = 1; i <= 5; i++) await record(`d${i}`);
    expect(await prune({ forMs: 1e9, events: 1 }, 2)).toEqual({ events: 2 });
    await new Webhooks({ store, events, now }).add({ url: 'https://example.com/' }, 'x');
    for (let i = 1; i <= 5; i++) await record(`e${i}`);
    await prune({ forMs: 1e9, events: 1 });
    expect((await ids())[0]).toBe(8);
  });
});

describe('the webhook sender', () => {
  it('waits longer after each failure, and at least as long as the target asks, up to a limit', () => {
    const half = () => 0.5;
    expect([1, 2, 3, 9, 50].map((failures) => waitAfter(failures, 0, half) / 875)).toEqual([
      5, 30, 120, 14_400, 14_400,
    ]);
    expect(waitAfter(1, 60_000, half)).toBe(60_000);
    expect(waitAfter(1, 1e12, half)).toBe(14_400_000);
  });

  it('keeps events in order across failures, reuses message ids, and gives up after days', async () => {
    const sent: string[] = [];
    let answer: Partial<Outcome> = { delivered: true };
    const send = async ({ id, body }: Delivery): Promise<Outcome> => {
      sent.push(`${id} ${JSON.parse(body).subject}`);
      const error = answer.delivered ? null : 'it answered 500';
      return { delivered: false, status: 500, ms: 1, error, ...answer };
    };
    const webhooks = new Webhooks({ store, events, now });
    const { webhook } = await webhooks.add({ url: 'https://example.com/', types: ['device.*'] }, 'x');
    const run = async (body: () => Promise<unknown>) => {
      const stop = new AbortController();
      const running = new WebhookSender({ store, events, log, platform: 'p', now, send }).run(stop.signal);
      await body();
      stop.abort();
      await running;
    };
    await run(async () => {
      await record('one');
      await expect.poll(() => sent.length).toBe(1);
      answer = { delivered: false };
      await record('two');
      await expect.poll(async () => (await webhooks.get(webhook.id)).failures).toBe(1);
      await record('three');
    });
    // The next process waits as long as the previous one would have.
    await run(() => delay(100));
    expect(sent).toEqual(['evt_p_2 one', 'evt_p_3 two']);
    clock += 60_000;
    answer = { delivered: true };
    await run(() => expect.poll(() => sent.length).toBe(4));
    expect(sent.slice(2)).toEqual(['evt_p_3 two', 'evt_p_4 three']);
    answer = { delivered: false };
    await record('four');
    await run(() => expect.poll(async () => (await webhooks.get(webhook.id)).failures).toBe(1));
    clock += givesUpAfterMs + 1000;
    await run(() => expect.poll(async () => (await webhooks.get(webhook.id)).enabled).toBe(false));
    expect((await typesOf()).at(-1)).toBe(`webhook.disable ${webhook.id}`);
  });
});
