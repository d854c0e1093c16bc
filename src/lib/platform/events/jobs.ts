import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import {
  externalRequestSchema,
  type Job,
  type JobEnd,
  type JobProgress,
  type JobQuery,
  type JobState,
  type NewJob,
  newJobSchema,
} from '../../api/contract/jobs.js';
import { pageOfRows } from '../../api/page.js';
import { AiotError } from '../../core/errors.js';
import { issueText } from '../../core/issues.js';
import { newId } from '../../core/names.js';
import type { Store } from '../store/database.js';
import { serially } from '../store/engine.js';
import type { Schema } from '../store/schema.js';
import { every, type Worker } from '../workers.js';
import { type Events, extentOf, type NewEvent } from './events.js';
import type { JobKind } from './job-kinds.js';

interface JobParts {
  store: Store;
  events: Events;
  kinds: readonly JobKind[];
  /** ms since 1970 */
  now: () => number;
}

const external = 'external';
const defaultLeaseMs = 60_000;

/** Work that takes longer than a request, and its progress. `JobRunner` or an external program does the work. */
export class Jobs {
  constructor(private readonly parts: JobParts) {}

  /** @throws AIOT_REQUEST_INVALID for an unknown kind, or a request that does not match the kind */
  async create(job: NewJob, who: string): Promise<Job> {
    const { now } = this.parts;
    const { kind, request } = newJobSchema.parse(job);
    const checked = this.checked(kind, request);
    const created = now();
    const row = newRow({ id: newId('job', created), kind, who, created, request: JSON.stringify(checked) });
    if (kind === external) {
      const leaseUntil = created + leaseOf(row);
      Object.assign(row, { state: 'running', started: created, leaseUntil });
    }
    await this.change(row, who, 'job.create', {}, (store) => store.insertInto('jobs').values(row).execute());
    return jobOf(row);
  }

  /** Newest first. */
  async list({ limit, after, state, kind }: JobQuery): Promise<{ jobs: Job[]; next: string | null }> {
    const [, created = '', id = ''] = /^(\d{1,15})-(\w{1,60})$/.exec(after ?? '') ?? [];
    if (after !== undefined && id === '') {
      throw new AiotError(
        'AIOT_REQUEST_INVALID',
        'querystring: after: expected the `next` value of a previous page',
      );
    }
    const rows = await this.parts.store
      .selectFrom('jobs')
      .selectAll()
      .$if(state !== undefined, (query) => query.where('state', '=', state ?? ''))
      .$if(kind !== undefined, (query) => query.where('kind', '=', kind ?? ''))
      .$if(id !== '', (query) =>
        query.where((is) =>
          is.or([
            is('created', '<', Number(created)),
            is.and([is('created', '=', Number(created)), is('id', '<', id)]),
          ]),
        ),
      )
      .orderBy('created', 'desc')
      .orderBy('id', 'desc')
      .limit(limit + 1)
      .execute();
    const { entries, next } = pageOfRows(rows, limit, (row) => `${row.created}-${row.id}`);
    return { jobs: entries.map(jobOf), next };
  }

  /** @throws AIOT_NOT_FOUND */
  async get(id: string): Promise<Job> {
    return jobOf(await this.row(id));
  }

  /** @throws AIOT_NOT_FOUND, AIOT_JOB_ENDED, AIOT_REQUEST_INVALID (a rollout) */
  async cancel(id: string, who: string): Promise<Job> {
    const row = await this.open(id);
    if (row.kind === 'rollout') {
      throw new AiotError('AIOT_REQUEST_INVALID', 'a rollout cannot be canceled as a job', {
        next: 'Abort it with `aiot rollout abort ID`, or start another one for its devices.',
      });
    }
    if (row.cancelled !== null) return jobOf(row);
    const at = this.parts.now();
    const queued = row.state === 'queued';
    const set = { cancelled: at, updated: at, ...(queued ? { state: 'cancelled', ended: at } : {}) };
    await this.change(row, who, 'job.cancel', {}, async (store) => {
      const { numUpdatedRows } = await store
        .updateTable('jobs')
        .set(set)
        .where('id', '=', id)
        .where('state', '=', row.state)
        .executeTakeFirst();
      // The job's state has changed since it was read. A repeated request sees the new state.
      if (numUpdatedRows === 0n) throw ended(row);
      if (queued) await this.tellEnd({ ...row, ...set }, who, store);
    });
    return this.get(id);
  }

  /**
   * Called by the program that runs the job.
   * @throws AIOT_NOT_FOUND, AIOT_JOB_ENDED, AIOT_REQUEST_INVALID (not an external job)
   */
  async progress(id: string, progress: JobProgress): Promise<Job> {
    const row = await this.external(id);
    const updated = this.parts.now();
    await this.parts.store
      .updateTable('jobs')
      .set({ ...given(progress), updated, leaseUntil: updated + leaseOf(row) })
      .where('id', '=', id)
      .where('state', '=', 'running')
      .execute();
    return this.get(id);
  }

  /**
   * Called by the program that runs the job.
   * @throws AIOT_NOT_FOUND, AIOT_JOB_ENDED, AIOT_REQUEST_INVALID (not an external job)
   */
  async finish(id: string, { state, result, error }: JobEnd, who: string): Promise<Job> {
    const row = await this.external(id);
    await this.end(row, { state, result: result ?? null, error: error ?? null }, who);
    return this.get(id);
  }

  /** Called by the runner of the job. A job that has already ended stays unchanged. */
  async end(
    row: JobRow,
    { state, result, error }: { state: JobState; result: unknown; error: Job['error'] },
    who: string,
  ): Promise<void> {
    const at = this.parts.now();
    const set = {
      ...{ state, ended: at, updated: at, leaseUntil: null },
      // A failed job keeps its step, which shows where it failed.
      ...(state === 'done' ? { step: null } : {}),
      result: result === null || result === undefined ? null : JSON.stringify(result),
      error: error && JSON.stringify(error),
    };
    await this.parts.store.transaction().execute(async (store) => {
      const { numUpdatedRows } = await store
        .updateTable('jobs')
        .set(set)
        .where('id', '=', row.id)
        .where('state', 'in', ['queued', 'running'])
        .executeTakeFirst();
      if (numUpdatedRows > 0n) await this.tellEnd({ ...row, ...set }, who, store);
    });
  }

  private tellEnd({ id, kind, state, error }: JobRow, who: string, store: Store): Promise<void> {
    const data = { kind, state, error: error === null ? null : JSON.parse(error) };
    return this.parts.events.record({ who, type: 'job.end', subject: id, data }, store);
  }

  private async change(
    { id, kind }: JobRow,
    who: string,
    type: NewEvent['type'],
    data: Record<string, unknown>,
    write: (store: Store) => Promise<unknown>,
  ): Promise<void> {
    await this.parts.store.transaction().execute(async (store) => {
      await write(store);
      await this.parts.events.record({ who, type, subject: id, data: { kind, ...data } }, store);
    });
  }

  private checked(kind: string, request: Record<string, unknown>): unknown {
    const known = this.parts.kinds.find(({ name }) => name === kind);
    const schema = kind === external ? externalRequestSchema : known?.request;
    if (!schema) {
      const names = [...this.parts.kinds.map(({ name }) => name), external].sort().join(', ');
      throw new AiotError('AIOT_REQUEST_INVALID', `body: kind: expected one of ${names}, got "${kind}"`);
    }
    const parsed = schema.safeParse(request);
    if (parsed.success) return parsed.data;
    throw new AiotError('AIOT_REQUEST_INVALID', issueText(parsed.error, 'body: request', request));
  }

  private async external(id: string): Promise<JobRow> {
    const row = await this.open(id);
    if (row.kind === external) return row;
    throw new AiotError(
      'AIOT_REQUEST_INVALID',
      `the platform itself runs ${id}; other clients cannot report its progress`,
    );
  }

  private async open(id: string): Promise<JobRow> {
    const row = await this.row(id);
    if (row.ended === null) return row;
    throw ended(row);
  }

  private async row(id: string): Promise<JobRow> {
    const row = await this.parts.store.selectFrom('jobs').selectAll().where('id', '=', id).executeTakeFirst();
    if (row) return row;
    throw new AiotError('AIOT_NOT_FOUND', `the job ${id} does not exist`, {
      next: 'To see the jobs, run `aiot job list`.',
    });
  }
}

/** Copies only the fields that the report contains. */
function given({ step, done, total }: JobProgress): Partial<JobRow> {
  return {
    ...(step === undefined ? {} : { step }),
    ...(done === undefined ? {} : { done }),
    ...(total === undefined ? {} : { total }),
  };
}

function leaseOf({ request }: JobRow): number {
  const { leaseMs } = JSON.parse(request) as { leaseMs?: number };
  return leaseMs ?? defaultLeaseMs;
}

function ended({ id, state }: JobRow): AiotError {
  return new AiotError('AIOT_JOB_ENDED', `the job ${id} is already ${state}`);
}

type JobRow = Schema['jobs'];

function jobOf(row: JobRow): Job {
  const { id, kind, who, created, started, ended, updated, step, done, total } = row;
  return {
    ...{ id, kind, who, created, started, ended, updated, step, done, total },
    state: row.state as JobState,
    request: JSON.parse(row.request) as Job['request'],
    result: row.result === null ? null : JSON.parse(row.result),
    error: row.error === null ? null : (JSON.parse(row.error) as Job['error']),
    cancelled: row.cancelled !== null,
  };
}

/** A job that has not started. */
function newRow(job: Pick<JobRow, 'id' | 'kind' | 'who' | 'created' | 'request'>): JobRow {
  return {
    ...{ ...job, updated: job.created, state: 'queued', started: null, ended: null, step: null },
    ...{ done: 0, total: null, result: null, error: null, leaseUntil: null, cancelled: null },
  };
}

/** Maximum number of jobs that run at once. */
const most = 2;

/** How often a job's progress is saved and its cancellation is checked, ms. */
const saveEveryMs = 500;

/** Interval at which external jobs are checked, ms. */
const lookEveryMs = 1000;

/** Runs jobs of the platform's own kinds in order of creation. External jobs fail if their program stops reporting. */
export class JobRunner implements Worker {
  readonly name = 'jobs';
  private readonly running = new Map<string, Promise<void>>();

  constructor(private readonly parts: JobParts & { jobs: Jobs; log: Logger }) {}

  /** Running jobs would be restarted from the beginning, or would fail. */
  isBusy(): boolean {
    return this.running.size > 0;
  }

  async run(signal: AbortSignal): Promise<void> {
    await this.takeUp();
    const { store, events, log } = this.parts;
    const { latest } = await extentOf(store);
    // Stops the periodic check even if `run` fails; otherwise `finally` would wait for it forever.
    const ending = new AbortController();
    const watch = every(lookEveryMs, AbortSignal.any([signal, ending.signal]), () =>
      // Not awaited. If the database cannot be read now, the next check queries it again.
      this.giveUpLost().catch((err) => log.error({ err }, 'could not look for lost jobs')),
    );
    // Serialized, because two concurrent checks would start one job too many.
    const inTurn = serially();
    const begin = (): Promise<void> => inTurn(beginSome);
    const beginSome = async () => {
      for (;;) {
        const row = signal.aborted || this.running.size >= most ? undefined : await this.next();
        if (!row) return;
        const done = this.do(row, signal).finally(() => {
          this.running.delete(row.id);
          if (!signal.aborted) begin().catch((err) => log.error({ err }, 'could not start a job'));
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

  /** Restarts jobs that were running when the previous process was killed, or ends those that cannot be restarted. */
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

  /** The oldest waiting job, marked as running. */
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
          // Without a saved end, the next leader resumes the job.
          if (signal.aborted) return;
          log.error({ err, job: row.id }, 'could not save the end of a job; retrying');
          await delay(lookEveryMs, undefined, { signal }).catch(() => {});
        }
      }
    };
    try {
      const kind = kinds.find(({ name }) => name === row.kind);
      if (!kind)
        throw new AiotError('AIOT_REQUEST_INVALID', `the job type ${row.kind} is no longer supported`);
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
      // The next leader resumes the job.
      if (signal.aborted) return;
      if (!(error instanceof AiotError)) log.error({ err: error, job: row.id }, 'a job failed');
      await end('failed', null, toldOf(error));
    } finally {
      over.abort();
      await saving;
    }
  }

  /** Saves the job's progress and checks for cancellation, periodically. */
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
        log.error({ err, job: id }, "could not save a job's progress");
      }
      if (!last) await delay(saveEveryMs, undefined, { signal: over }).catch(() => {});
    }
  }
}

const lost = {
  code: 'AIOT_JOB_LOST',
  message: 'its worker ended before the job was done',
};

function toldOf(error: unknown): { code: string; message: string } {
  if (error instanceof AiotError) return { code: error.code, message: error.message };
  return { code: 'AIOT_PLATFORM_FAILED', message: 'the platform failed; see its log' };
}
