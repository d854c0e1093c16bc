import {
  type LoggedRequest,
  mostRequestLines,
  type NewPipelineRequest,
  type PipelineRequest,
  type PipelineRunner,
  type PutRunner,
  type RequestEnd,
  type RequestProgress,
  type RequestState,
  type RequestsQuery,
  runnerLeaseMs,
} from '../../api/contract/pipeline-requests.js';
import { type PageQuery, pageOfRows } from '../../api/page.js';
import { AiotError } from '../../core/errors.js';
import { newId } from '../../core/names.js';
import { didYouMean } from '../../core/text.js';
import type { Events } from '../events/events.js';
import type { Store } from '../store/database.js';
import type { Schema } from '../store/schema.js';
import { every, type Worker } from '../workers.js';

interface Parts {
  store: Store;
  events: Events;
  /** ms since 1970 */
  now: () => number;
}

/** Maximum number of connected runners. */
const mostRunners = 200;
/** Maximum number of waiting requests of a project, and number of ended requests that are stored of it. */
const mostWaiting = 20;
const keptEnded = 100;
/** Maximum number of ended requests of all projects, how long they are stored, ms, and how often old ones are deleted, ms. */
const keptInTotal = 2000;
const keptMs = 90 * 86_400_000;
const forgetEveryMs = 60_000;
/** How long a request waits for a runner, ms. A run that starts days after its request would surprise its requester. */
const longestWaitMs = 86_400_000;
/** How often leases are checked, ms. */
const lookEveryMs = 2000;
/** Maximum size of a request's stored log, characters. */
const mostLog = 65_536;

type RunnerRow = Schema['pipelineRunners'];
type RequestRow = Schema['pipelineRequests'];

const open = ['waiting', 'running', 'lost'] as const;

/**
 * Runs that users request, and the runners that run them. A request is claimed with a conditional update of its row, so that one
 * runner gets it, whichever replica it asks. A request whose runner stops reporting is lost: it is never given to another runner, because
 * its steps may have had effects. If the runner was only disconnected, its next report corrects the state.
 */
export class PipelineRequests {
  private forgotten = Number.NEGATIVE_INFINITY;

  constructor(private readonly parts: Parts) {}

  /**
   * Registers a runner, or renews its lease.
   * @throws AIOT_NOT_ALLOWED (the id belongs to another user's runner), AIOT_RATE_LIMITED
   */
  async putRunner(
    id: string,
    { name, project, aiot, steps }: PutRunner,
    who: string,
  ): Promise<PipelineRunner> {
    const { store, events, now } = this.parts;
    const seen = now();
    const set = {
      name,
      project,
      seen,
      leaseUntil: seen + runnerLeaseMs,
      data: JSON.stringify({ aiot, steps }),
    };
    return await store.transaction().execute(async (transaction) => {
      const before = await runnerRow(transaction, id);
      if (before) requireOwner(before, who);
      else await this.requireUnused(transaction, id, who);
      if (before === undefined) {
        const { count } = await transaction
          .selectFrom('pipelineRunners')
          .select(({ fn }) => fn.countAll().as('count'))
          .executeTakeFirstOrThrow();
        if (Number(count) >= mostRunners)
          throw new AiotError('AIOT_RATE_LIMITED', `${mostRunners} pipeline runners are already connected`, {
            next: 'Stop runners that are not needed. To see them, use GET /api/v1/pipeline-runners.',
          });
      }
      const row: RunnerRow = { ...set, id, who, created: before?.created ?? seen };
      await transaction
        .insertInto('pipelineRunners')
        .values(row)
        .onConflict((conflict) => conflict.column('id').doUpdateSet(set))
        .execute();
      if (!before) await events.record(runnerEvent(row, 'connected', who), transaction);
      return runnerOf(row, await runningOf(transaction, id));
    });
  }

  /** Connected runners. */
  async runners({ limit, after, project }: PageQuery & { project?: string | undefined }): Promise<{
    runners: PipelineRunner[];
    next: string | null;
  }> {
    const [, afterProject = '', afterName = '', afterId = ''] =
      /^([^/]+)\/([^/]+)\/([^/]+)$/.exec(after ?? '') ?? [];
    if (after !== undefined && afterId === '')
      throw new AiotError(
        'AIOT_REQUEST_INVALID',
        'querystring: after: expected the `next` value of a previous page',
      );
    const rows = await this.connected()
      .$if(project !== undefined, (query) => query.where('project', '=', project ?? ''))
      .$if(afterId !== '', (query) =>
        query.where((is) =>
          is.or([
            is('project', '>', afterProject),
            is.and([is('project', '=', afterProject), is('name', '>', afterName)]),
            is.and([is('project', '=', afterProject), is('name', '=', afterName), is('id', '>', afterId)]),
          ]),
        ),
      )
      .orderBy('project')
      .orderBy('name')
      .orderBy('id')
      .limit(limit + 1)
      .execute();
    const page = pageOfRows(rows, limit, (row) => `${row.project}/${row.name}/${row.id}`);
    const runners: PipelineRunner[] = [];
    for (const row of page.entries) runners.push(runnerOf(row, await runningOf(this.parts.store, row.id)));
    return { runners, next: page.next };
  }

  /** Disconnects a runner. @throws AIOT_NOT_FOUND, AIOT_NOT_ALLOWED */
  async removeRunner(id: string, who: string): Promise<PipelineRunner> {
    const { store } = this.parts;
    return await store.transaction().execute(async (transaction) => {
      const row = await this.ownRunner(transaction, id, who);
      const running = await runningOf(transaction, id);
      await this.dropRunner(row, 'disconnected', who, transaction);
      if (running !== null) await this.lose(await requestRow(transaction, running), transaction);
      return runnerOf(row, null);
    });
  }

  /**
   * Stores a request until a runner claims it.
   * @throws AIOT_PIPELINE_RUNNER (no such runner is connected), AIOT_REQUEST_INVALID (no such step), AIOT_RATE_LIMITED
   */
  async create(asked: NewPipelineRequest, who: string): Promise<PipelineRequest> {
    const { store, events, now } = this.parts;
    const { project, runner: wanted, until, force = false } = asked;
    await this.requireRunner(asked);
    const created = now();
    const row: RequestRow = {
      ...{ id: newId('request', created), project, state: 'waiting', who, created },
      ...{ wanted: wanted ?? null, until: until ?? null, force: force ? 1 : 0 },
      ...{
        runner: null,
        runnerName: null,
        claimed: null,
        claimedBy: null,
        leaseUntil: null,
        ended: null,
        run: null,
      },
      ...{ cancelledBy: null, error: null, lines: 0, log: '[]' },
    };
    await store.transaction().execute(async (transaction) => {
      const { count } = await transaction
        .selectFrom('pipelineRequests')
        .select(({ fn }) => fn.countAll().as('count'))
        .where('project', '=', project)
        .where('state', '=', 'waiting')
        .executeTakeFirstOrThrow();
      if (Number(count) >= mostWaiting)
        throw new AiotError('AIOT_RATE_LIMITED', `${count} requests of ${project} are already waiting`, {
          retryable: true,
          next: 'Wait until a runner has claimed some of them, or cancel some.',
        });
      await transaction.insertInto('pipelineRequests').values(row).execute();
      await events.record(requestEvent(row, who), transaction);
      await this.forgetOld(project, transaction);
    });
    return requestOf(row);
  }

  /** Newest first. */
  async list({ limit, after, project, state }: RequestsQuery): Promise<{
    requests: PipelineRequest[];
    next: string | null;
  }> {
    const rows = await this.parts.store
      .selectFrom('pipelineRequests')
      .select(columns)
      .$if(project !== undefined, (query) => query.where('project', '=', project ?? ''))
      .$if(state !== undefined, (query) => query.where('state', '=', state ?? ''))
      .$if(after !== undefined, (query) => query.where('id', '<', after ?? ''))
      .orderBy('id', 'desc')
      .limit(limit + 1)
      .execute();
    const { entries, next } = pageOfRows(rows, limit, ({ id }) => id);
    return { requests: entries.map(requestOf), next };
  }

  /** @throws AIOT_NOT_FOUND */
  async get(id: string): Promise<LoggedRequest> {
    const row = await requestRow(this.parts.store, id);
    return { ...requestOf(row), lines: row.lines, log: JSON.parse(row.log) as string[] };
  }

  /**
   * Gives the oldest waiting request to a runner. A runner that has a request already gets the same one: it asks only while it runs none,
   * so it never received the first response.
   * @throws AIOT_NOT_FOUND (the runner is not connected), AIOT_NOT_ALLOWED
   */
  async claim(id: string, who: string): Promise<{ request: PipelineRequest | null }> {
    const { store, events, now } = this.parts;
    const runner = await this.ownRunner(store, id, who);
    const running = await runningOf(store, id);
    if (running !== null) {
      const row = await requestRow(store, running);
      requireOwner({ id, who: row.claimedBy }, who);
      return { request: requestOf(row) };
    }
    const waiting = await store
      .selectFrom('pipelineRequests')
      .select('id')
      .where('project', '=', runner.project)
      .where('state', '=', 'waiting')
      .where((is) => is.or([is('wanted', 'is', null), is('wanted', '=', runner.name)]))
      .orderBy('id')
      .execute();
    for (const candidate of waiting) {
      const at = now();
      const request = await store.transaction().execute(async (transaction) => {
        const { numUpdatedRows } = await transaction
          .updateTable('pipelineRequests')
          .set({
            ...{ state: 'running', runner: id, runnerName: runner.name },
            ...{ claimed: at, claimedBy: who, leaseUntil: at + runnerLeaseMs },
          })
          .where('id', '=', candidate.id)
          .where('state', '=', 'waiting')
          // The periodic check may not have cancelled an old request yet.
          .where('created', '>', at - longestWaitMs)
          // A repeated request of the same runner must not claim a second one.
          .where(({ not, exists, selectFrom }) =>
            not(
              exists(
                selectFrom('pipelineRequests as other')
                  .select('other.id')
                  .where('other.runner', '=', id)
                  .where('other.state', '=', 'running'),
              ),
            ),
          )
          .executeTakeFirst();
        // Another runner was faster, or the request was cancelled.
        if (numUpdatedRows === 0n) return null;
        const row = await requestRow(transaction, candidate.id);
        await events.record(requestEvent(row, who), transaction);
        return requestOf(row);
      });
      if (request) return { request };
    }
    return { request: null };
  }

  /** Cancels a waiting request. Asks the runner to cancel a running one. @throws AIOT_NOT_FOUND, AIOT_JOB_ENDED */
  async cancel(id: string, who: string): Promise<PipelineRequest> {
    const { store, events, now } = this.parts;
    for (;;) {
      const row = await requestRow(store, id);
      if (!isOpen(row)) throw hasEnded(row);
      if (row.cancelledBy !== null) return requestOf(row);
      const set =
        row.state === 'waiting'
          ? { cancelledBy: who, state: 'cancelled', ended: now() }
          : { cancelledBy: who };
      const changed = await store.transaction().execute(async (transaction) => {
        const { numUpdatedRows } = await transaction
          .updateTable('pipelineRequests')
          .set(set)
          .where('id', '=', id)
          .where('state', '=', row.state)
          .where('cancelledBy', 'is', null)
          .executeTakeFirst();
        if (numUpdatedRows === 0n) return null;
        const data = { request: id };
        await events.record({ who, type: 'pipeline.cancel', subject: row.project, data }, transaction);
        const now = { ...row, ...set };
        if (now.state === 'cancelled') await events.record(requestEvent(now, who), transaction);
        return now;
      });
      if (changed) return requestOf(changed);
      // The request was claimed or ended meanwhile, so its new state decides.
    }
  }

  /** @throws AIOT_NOT_FOUND, AIOT_NOT_ALLOWED (another runner has the request), AIOT_JOB_ENDED */
  async progress(id: string, report: RequestProgress, who: string): Promise<PipelineRequest> {
    const { store, now, events } = this.parts;
    return await store.transaction().execute(async (transaction) => {
      const row = await this.claimed(transaction, id, report.runner, who);
      const set = {
        ...{ state: 'running', leaseUntil: now() + runnerLeaseMs, ended: null, error: null },
        ...{ run: report.run ?? row.run, ...withLines(row, report) },
      };
      const { numUpdatedRows } = await transaction
        .updateTable('pipelineRequests')
        .set(set)
        .where('id', '=', id)
        .where('state', 'in', ['running', 'lost'])
        .executeTakeFirst();
      if (numUpdatedRows === 0n) throw hasEnded(await requestRow(transaction, id));
      const after = { ...row, ...set };
      // The runner was only disconnected.
      if (row.state === 'lost' || row.run !== after.run)
        await events.record(requestEvent(after, who), transaction);
      return requestOf(after);
    });
  }

  /**
   * Stores the outcome. A repeated report of the same outcome changes nothing.
   * @throws AIOT_NOT_FOUND, AIOT_NOT_ALLOWED (another runner has the request), AIOT_JOB_ENDED
   */
  async end(id: string, report: RequestEnd, who: string): Promise<PipelineRequest> {
    const { store, now, events } = this.parts;
    return await store.transaction().execute(async (transaction) => {
      const known = await requestRow(transaction, id);
      if (isOf(known, report.runner, who) && known.state === report.state) return requestOf(known);
      const row = await this.claimed(transaction, id, report.runner, who);
      const { state, error } = report;
      const set = {
        ...{ state, ended: now(), leaseUntil: null, error: error && JSON.stringify(error) },
        ...{ run: report.run ?? row.run, ...withLines(row, report) },
      };
      const { numUpdatedRows } = await transaction
        .updateTable('pipelineRequests')
        .set(set)
        .where('id', '=', id)
        .where('state', 'in', ['running', 'lost'])
        .executeTakeFirst();
      if (numUpdatedRows === 0n) throw hasEnded(await requestRow(transaction, id));
      const after = { ...row, ...set };
      await events.record(requestEvent(after, who), transaction);
      return requestOf(after);
    });
  }

  /** Ends leases and long waits. */
  worker(): Worker {
    return {
      name: 'pipelines',
      run: (signal) => {
        const since = this.parts.now();
        return every(lookEveryMs, signal, () => this.sweep(since));
      },
    };
  }

  /**
   * Ends leases that have expired, and requests that no runner has claimed in a day.
   * @param since when this process began to check. Runners cannot renew leases while the platform is stopped, so they first get the time
   * of a lease to return.
   */
  async sweep(since: number): Promise<void> {
    const { store, events, now } = this.parts;
    const at = now();
    const stale = await store
      .selectFrom('pipelineRequests')
      .selectAll()
      .where('state', '=', 'waiting')
      .where('created', '<', at - longestWaitMs)
      .execute();
    for (const row of stale) {
      const message = 'no runner has claimed the request within a day';
      const error = JSON.stringify({ code: 'AIOT_PIPELINE_RUNNER', message });
      const set = { state: 'cancelled', ended: at, error };
      await store.transaction().execute(async (transaction) => {
        const { numUpdatedRows } = await transaction
          .updateTable('pipelineRequests')
          .set(set)
          .where('id', '=', row.id)
          .where('state', '=', 'waiting')
          .executeTakeFirst();
        if (numUpdatedRows > 0n)
          await events.record(requestEvent({ ...row, ...set }, 'platform'), transaction);
      });
    }
    await this.forgetAncient(at);
    if (at < since + runnerLeaseMs) return;
    const silent = await store
      .selectFrom('pipelineRequests')
      .selectAll()
      .where('state', '=', 'running')
      .where('leaseUntil', '<', at)
      .execute();
    for (const row of silent)
      await store.transaction().execute((transaction) => this.lose(row, transaction, at));
    const gone = await store.selectFrom('pipelineRunners').selectAll().where('leaseUntil', '<', at).execute();
    for (const row of gone)
      await store
        .transaction()
        .execute((transaction) => this.dropRunner(row, 'lost', 'platform', transaction));
  }

  /** @param expired only if its lease has ended before this time */
  private async lose(row: RequestRow, transaction: Store, expired?: number): Promise<void> {
    const { events, now } = this.parts;
    const message = `the runner ${row.runnerName} stopped reporting, so the outcome of its run is unknown`;
    const set = {
      state: 'lost',
      ended: now(),
      error: JSON.stringify({ code: 'AIOT_JOB_LOST', message, next: lostNext }),
    };
    const { numUpdatedRows } = await transaction
      .updateTable('pipelineRequests')
      .set(set)
      .where('id', '=', row.id)
      .where('state', '=', 'running')
      .$if(expired !== undefined, (query) => query.where('leaseUntil', '<', expired ?? 0))
      .executeTakeFirst();
    if (numUpdatedRows > 0n) await events.record(requestEvent({ ...row, ...set }, 'platform'), transaction);
  }

  private async dropRunner(
    row: RunnerRow,
    state: 'disconnected' | 'lost',
    who: string,
    transaction: Store,
  ): Promise<void> {
    const { numDeletedRows } = await transaction
      .deleteFrom('pipelineRunners')
      .where('id', '=', row.id)
      .where('leaseUntil', '=', row.leaseUntil)
      .executeTakeFirst();
    if (numDeletedRows > 0n) await this.parts.events.record(runnerEvent(row, state, who), transaction);
  }

  private connected() {
    const { store, now } = this.parts;
    return store.selectFrom('pipelineRunners').selectAll().where('leaseUntil', '>', now());
  }

  /** @throws AIOT_NOT_FOUND, AIOT_NOT_ALLOWED */
  private async ownRunner(store: Store, id: string, who: string): Promise<RunnerRow> {
    const row = await runnerRow(store, id);
    if (!row)
      throw new AiotError('AIOT_NOT_FOUND', `the runner ${id} is not connected`, {
        next: 'Register it again with PUT /api/v1/pipeline-runners/ID.',
      });
    requireOwner(row, who);
    return row;
  }

  /** A request in the state running or lost that belongs to this runner. */
  private async claimed(store: Store, id: string, runner: string, who: string): Promise<RequestRow> {
    const row = await requestRow(store, id);
    if (!isOf(row, runner, who))
      throw new AiotError('AIOT_NOT_ALLOWED', `${id} was not claimed by the runner ${runner} of this user`, {
        next: 'Only the runner that claimed a request reports about it.',
      });
    if (row.state !== 'running' && row.state !== 'lost') throw hasEnded(row);
    return row;
  }

  /** The id of a runner whose lease ended must not pass to another user while a request names it. @throws AIOT_NOT_ALLOWED */
  private async requireUnused(store: Store, id: string, who: string): Promise<void> {
    const row = await store
      .selectFrom('pipelineRequests')
      .select('claimedBy')
      .where('runner', '=', id)
      .where('claimedBy', '!=', who)
      .limit(1)
      .executeTakeFirst();
    if (row) requireOwner({ id, who: row.claimedBy }, who);
  }

  private async requireRunner({ project, runner, until }: NewPipelineRequest): Promise<void> {
    const rows = await this.connected()
      .where('project', '=', project)
      .$if(runner !== undefined, (query) => query.where('name', '=', runner ?? ''))
      .execute();
    if (rows.length === 0) {
      const which = runner === undefined ? 'no runner' : `no runner named ${runner}`;
      throw new AiotError('AIOT_PIPELINE_RUNNER', `${which} of the project ${project} is connected`);
    }
    if (until === undefined) return;
    const steps = rows.flatMap((row) => runnerOf(row, null).steps.map(({ name }) => name));
    if (steps.includes(until)) return;
    const known = [...new Set(steps)];
    throw new AiotError(
      'AIOT_REQUEST_INVALID',
      `body: until: expected a step (${known.join(', ')}), got ${until}${didYouMean(until, known)}`,
    );
  }

  /** Bounds the ended requests of all projects together. */
  private async forgetAncient(at: number): Promise<void> {
    if (at < this.forgotten + forgetEveryMs) return;
    this.forgotten = at;
    const { store } = this.parts;
    const ended = store.deleteFrom('pipelineRequests').where('state', 'not in', ['waiting', 'running']);
    await ended.where('ended', '<', at - keptMs).execute();
    const excess = await store
      .selectFrom('pipelineRequests')
      .select('id')
      .where('state', 'not in', ['waiting', 'running'])
      .orderBy('id', 'desc')
      .offset(keptInTotal)
      .limit(1)
      .executeTakeFirst();
    if (excess) await ended.where('id', '<=', excess.id).execute();
  }

  private async forgetOld(project: string, transaction: Store): Promise<void> {
    const oldest = await transaction
      .selectFrom('pipelineRequests')
      .select('id')
      .where('project', '=', project)
      .where('state', 'not in', ['waiting', 'running'])
      .orderBy('id', 'desc')
      .offset(keptEnded)
      .limit(1)
      .executeTakeFirst();
    if (!oldest) return;
    await transaction
      .deleteFrom('pipelineRequests')
      .where('project', '=', project)
      .where('state', 'not in', ['waiting', 'running'])
      .where('id', '<=', oldest.id)
      .execute();
  }
}

const lostNext =
  'Check that machine with `aiot pipeline status`. The request is not run again: make a new one if necessary.';

const columns = [
  ...(['id', 'project', 'state', 'who', 'created', 'wanted', 'until', 'force', 'runner'] as const),
  ...(['runnerName', 'claimed', 'ended', 'run', 'cancelledBy', 'error'] as const),
];

function requestOf(row: Pick<RequestRow, (typeof columns)[number]>): PipelineRequest {
  const { id, project, who, created, wanted, until, claimed, ended, run, cancelledBy } = row;
  return {
    ...{ id, project, who, created, wanted, until, claimed, ended, run, cancelledBy },
    state: row.state as RequestState,
    force: row.force !== 0,
    runner: row.runner === null ? null : { id: row.runner, name: row.runnerName ?? '' },
    error: row.error === null ? null : (JSON.parse(row.error) as PipelineRequest['error']),
  };
}

function runnerOf(row: RunnerRow, request: string | null): PipelineRunner {
  const { id, name, project, who, created, seen } = row;
  const { aiot, steps } = JSON.parse(row.data) as Pick<PutRunner, 'aiot' | 'steps'>;
  return { id, name, project, aiot, steps, who, created, seen, request };
}

async function runnerRow(store: Store, id: string): Promise<RunnerRow | undefined> {
  return await store.selectFrom('pipelineRunners').selectAll().where('id', '=', id).executeTakeFirst();
}

/** @throws AIOT_NOT_FOUND */
async function requestRow(store: Store, id: string): Promise<RequestRow> {
  const row = await store.selectFrom('pipelineRequests').selectAll().where('id', '=', id).executeTakeFirst();
  if (row) return row;
  throw new AiotError('AIOT_NOT_FOUND', `the platform has no pipeline request ${id}`, {
    next: 'To see the requests, open the page Pipelines of the dashboard, or use GET /api/v1/pipeline-requests.',
  });
}

/** Id of the request that a runner has; null = none. */
async function runningOf(store: Store, runner: string): Promise<string | null> {
  const row = await store
    .selectFrom('pipelineRequests')
    .select('id')
    .where('runner', '=', runner)
    .where('state', '=', 'running')
    .executeTakeFirst();
  return row?.id ?? null;
}

/** Another user's runner could otherwise be renamed, or its requests taken. @throws AIOT_NOT_ALLOWED */
function requireOwner(row: { id: string; who: string | null }, who: string): void {
  if (row.who === who) return;
  throw new AiotError('AIOT_NOT_ALLOWED', `the runner ${row.id} belongs to another user`, {
    next: "Use that user's token, or register a runner with a new id.",
  });
}

/** Whether this user's runner claimed the request. The runner's registration may have ended since. */
function isOf(row: Pick<RequestRow, 'runner' | 'claimedBy'>, runner: string, who: string): boolean {
  return row.runner === runner && row.claimedBy === who;
}

function isOpen({ state }: Pick<RequestRow, 'state'>): boolean {
  return (open as readonly string[]).includes(state);
}

function hasEnded({ id, state }: Pick<RequestRow, 'id' | 'state'>): AiotError {
  return new AiotError('AIOT_JOB_ENDED', `the pipeline request ${id} is already ${state}`, {
    next: 'To run the pipeline again, make a new request.',
  });
}

/** Adds the lines that the platform does not have yet, and keeps the newest. */
function withLines(
  row: Pick<RequestRow, 'lines' | 'log'>,
  { from, lines }: Pick<RequestProgress, 'from' | 'lines'>,
): Pick<RequestRow, 'lines' | 'log'> {
  const fresh = lines.slice(Math.max(0, row.lines - from));
  if (fresh.length === 0) return { lines: row.lines, log: row.log };
  const all = [...(JSON.parse(row.log) as string[]), ...fresh].slice(-mostRequestLines);
  let size = 0;
  const first = all.findLastIndex((line) => {
    size += line.length;
    return size > mostLog;
  });
  return { lines: from + lines.length, log: JSON.stringify(all.slice(first + 1)) };
}

function requestEvent(row: RequestRow, who: string) {
  const { id: request, state, runnerName: runner, run, until, force } = row;
  const data = { request, state, runner, run, until, force: force !== 0 };
  return { who, type: 'pipeline.request' as const, subject: row.project, data };
}

function runnerEvent({ id: runner, name, project }: RunnerRow, state: string, who: string) {
  return { who, type: 'pipeline.runner' as const, subject: project, data: { runner, name, state } };
}
