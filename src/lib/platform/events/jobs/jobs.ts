import { AiotError, issueText, newId } from '../../../core/index.js';
import {
  externalRequestSchema,
  type Job,
  type JobEnd,
  type JobProgress,
  type JobQuery,
  type JobState,
  type NewJob,
  newJobSchema,
  pageOfRows,
} from '../../../registry/index.js';
import type { Events, NewEvent } from '../../services/events.js';
import type { Store } from '../../store/database.js';
import type { JobKind } from './kinds.js';
import { type JobRow, jobOf, newRow } from './rows.js';

export interface JobParts {
  store: Store;
  events: Events;
  kinds: readonly JobKind[];
  /** ms since 1970 */
  now: () => number;
}

export const external = 'external';
const defaultLeaseMs = 60_000;

/** Work that takes longer than a request, with how far it is. What does it is `JobRunner`, or a program elsewhere. */
export class Jobs {
  constructor(private readonly parts: JobParts) {}

  /** @throws AIOT_REQUEST_INVALID for a kind that is not known, or a request that is not one of it */
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
      throw new AiotError('AIOT_REQUEST_INVALID', 'querystring: after: expected the `next` of a page before');
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
      throw new AiotError(
        'AIOT_REQUEST_INVALID',
        'a rollout is not cancelled: start another one for its devices',
      );
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
      // Begun, or ended, meanwhile: asked again it is seen as it is.
      if (numUpdatedRows === 0n) throw ended(row);
      if (queued) await this.tellEnd({ ...row, ...set }, who, store);
    });
    return this.get(id);
  }

  /** By the program that does it. @throws AIOT_NOT_FOUND, AIOT_JOB_ENDED, AIOT_REQUEST_INVALID (not an external one) */
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

  /** By the program that does it. @throws AIOT_NOT_FOUND, AIOT_JOB_ENDED, AIOT_REQUEST_INVALID (not an external one) */
  async finish(id: string, { state, result, error }: JobEnd, who: string): Promise<Job> {
    const row = await this.external(id);
    await this.end(row, { state, result: result ?? null, error: error ?? null }, who);
    return this.get(id);
  }

  /** To be called by what does the job. One that has ended already stays as it is. */
  async end(
    row: JobRow,
    { state, result, error }: { state: JobState; result: unknown; error: Job['error'] },
    who: string,
  ): Promise<void> {
    const at = this.parts.now();
    const set = {
      ...{ state, ended: at, updated: at, leaseUntil: null },
      // Where it was when it failed is worth knowing.
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
      `the platform does ${id} itself: nobody else says how far it is`,
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
    throw new AiotError('AIOT_NOT_FOUND', `there is no job ${id}`, { next: 'aiot job list' });
  }
}

/** Members that were named. */
export function given({ step, done, total }: JobProgress): Partial<JobRow> {
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
  return new AiotError('AIOT_JOB_ENDED', `the job ${id} is ${state} already`);
}
