import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { AiotError } from '../../../core/index.js';
import type { Job, JobProgress } from '../../../registry/index.js';
import { serially } from '../../store/turns.js';
import { every, type Worker } from '../../workers/index.js';
import { extentOf } from '../read.js';
import { external, given, type JobParts, type Jobs } from './jobs.js';
import type { JobRow } from './rows.js';

/** Jobs that run at once. */
const most = 2;
/** Between two saves of how far a job is, ms; also how often it is asked whether somebody wants it to end. */
const saveEveryMs = 500;
/** How often external jobs are looked at, ms. */
const lookEveryMs = 1000;

/** Does the jobs of kinds that the platform knows, in the order in which they were made, and gives up those that nobody does. */
export class JobRunner implements Worker {
  readonly name = 'jobs';
  private readonly running = new Map<string, Promise<void>>();

  constructor(private readonly parts: JobParts & { jobs: Jobs; log: Logger }) {}

  async run(signal: AbortSignal): Promise<void> {
    await this.takeUp();
    const { store, events, log } = this.parts;
    const { latest } = await extentOf(store);
    // Ends with what is around it, or it would be waited for where that has failed.
    const ending = new AbortController();
    const watch = every(lookEveryMs, AbortSignal.any([signal, ending.signal]), () =>
      // Nobody waits for it yet: a database that does not answer now is asked again.
      this.giveUpLost().catch((err) => log.error({ err }, 'lost jobs could not be looked for')),
    );
    // One look at a time: two would begin one more than there may be.
    const inTurn = serially();
    const begin = (): Promise<void> => inTurn(beginSome);
    const beginSome = async () => {
      for (;;) {
        const row = signal.aborted || this.running.size >= most ? undefined : await this.next();
        if (!row) return;
        const done = this.do(row, signal).finally(() => {
          this.running.delete(row.id);
          if (!signal.aborted) begin().catch((err) => log.error({ err }, 'a job could not be begun'));
        });
        this.running.set(row.id, done);
      }
    };
    try {
      await begin();
      for await (const page of events.feed.follow(latest, signal, { types: ['job.create'] })) {
        if (page.events.length > 0) await begin();
      }
    } finally {
      ending.abort();
      await Promise.all([watch, ...this.running.values()]);
    }
  }

  /** What ran when the process before was killed: begun anew where that may be. */
  private async takeUp(): Promise<void> {
    const { store, jobs, kinds, now } = this.parts;
    const rows = await store.selectFrom('jobs').selectAll().where('state', '=', 'running').execute();
    for (const row of rows) {
      if (row.kind === external || row.kind === 'rollout') continue;
      const kind = kinds.find(({ name }) => name === row.kind);
      if (row.cancelled !== null)
        await jobs.end(row, { state: 'cancelled', result: null, error: null }, 'platform');
      else if (!kind?.resumable)
        await jobs.end(row, { state: 'failed', result: null, error: lost }, 'platform');
      else {
        const set = { state: 'queued', updated: now(), step: null, done: 0, total: null };
        await store.updateTable('jobs').set(set).where('id', '=', row.id).execute();
      }
    }
  }

  private async giveUpLost(): Promise<void> {
    const { store, jobs, now } = this.parts;
    const rows = await store
      .selectFrom('jobs')
      .selectAll()
      .where('kind', '=', external)
      .where('state', '=', 'running')
      .where('leaseUntil', '<', now())
      .execute();
    for (const row of rows) await jobs.end(row, { state: 'failed', result: null, error: lost }, 'platform');
  }

  /** The oldest that waits, as one that runs. */
  private async next(): Promise<JobRow | undefined> {
    const { store, events, now } = this.parts;
    return store.transaction().execute(async (transaction) => {
      const row = await transaction
        .selectFrom('jobs')
        .selectAll()
        .where('state', '=', 'queued')
        .orderBy('created')
        .orderBy('id')
        .limit(1)
        .executeTakeFirst();
      if (!row) return undefined;
      const set = { state: 'running', started: now(), updated: now() };
      await transaction.updateTable('jobs').set(set).where('id', '=', row.id).execute();
      const event = {
        who: 'platform',
        type: 'job.start' as const,
        subject: row.id,
        data: { kind: row.kind },
      };
      await events.record(event, transaction);
      return { ...row, ...set };
    });
  }

  private async do(row: JobRow, signal: AbortSignal): Promise<void> {
    const { kinds, jobs, log } = this.parts;
    const cancelled = new AbortController();
    const over = new AbortController();
    let news: JobProgress = {};
    const saving = this.keepSaving(row, over.signal, cancelled, () => {
      const told = news;
      news = {};
      return told;
    });
    const end = async (state: Job['state'], result: unknown, error: Job['error']) => {
      over.abort();
      await saving;
      for (;;) {
        try {
          return await jobs.end(row, { state, result, error }, 'platform');
        } catch (err) {
          // Who leads next takes it up. Till then it has ended only when that is written.
          if (signal.aborted) return;
          log.error({ err, job: row.id }, 'the end of a job could not be written, and is again');
          await delay(lookEveryMs, undefined, { signal }).catch(() => {});
        }
      }
    };
    try {
      const kind = kinds.find(({ name }) => name === row.kind);
      if (!kind) throw new AiotError('AIOT_REQUEST_INVALID', `nobody knows the kind ${row.kind} any more`);
      const result = await kind.run({
        ...{ id: row.id, who: row.who, signal: AbortSignal.any([signal, cancelled.signal]) },
        request: kind.request.parse(JSON.parse(row.request)),
        progress: (told) => {
          news = { ...news, ...told };
        },
      });
      await end('done', result ?? null, null);
    } catch (error) {
      over.abort();
      if (cancelled.signal.aborted) return await end('cancelled', null, null);
      // Whoever leads next takes it up.
      if (signal.aborted) return;
      if (!(error instanceof AiotError)) log.error({ err: error, job: row.id }, 'a job failed');
      await end('failed', null, toldOf(error));
    } finally {
      over.abort();
      await saving;
    }
  }

  /** Writes down how far it is, and hears whether somebody wants it to end. */
  private async keepSaving(
    { id }: JobRow,
    over: AbortSignal,
    cancelled: AbortController,
    news: () => JobProgress,
  ): Promise<void> {
    const { store, now, log } = this.parts;
    for (let last = false; !last; ) {
      last = over.aborted;
      try {
        const set = { ...given(news()), updated: now() };
        await store
          .updateTable('jobs')
          .set(set)
          .where('id', '=', id)
          .where('state', '=', 'running')
          .execute();
        const row = await store
          .selectFrom('jobs')
          .select('cancelled')
          .where('id', '=', id)
          .executeTakeFirst();
        if (row?.cancelled) cancelled.abort();
      } catch (err) {
        log.error({ err, job: id }, 'how far a job is could not be saved');
      }
      if (!last) await delay(saveEveryMs, undefined, { signal: over }).catch(() => {});
    }
  }
}

const lost = {
  code: 'AIOT_JOB_LOST',
  message: 'whoever did it was gone before it was done',
};

function toldOf(error: unknown): { code: string; message: string } {
  if (error instanceof AiotError) return { code: error.code, message: error.message };
  return { code: 'AIOT_PLATFORM_FAILED', message: 'the platform failed; its log says more' };
}
