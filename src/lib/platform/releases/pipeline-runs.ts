import {
  type PipelineRun,
  pipelineRunSchema,
  type RunSummary,
  runSummarySchema,
  type ToldRun,
} from '../../api/contract/jobs.js';
import { type PageQuery, pageOfRows } from '../../api/page.js';
import { AiotError } from '../../core/errors.js';
import type { Events, NewEvent } from '../events/events.js';
import type { Store } from '../store/database.js';

/** Number of runs stored for each project. */
const kept = 100;

interface Parts {
  store: Store;
  events: Events;
  /** ms since 1970 */
  now: () => number;
}

/** Runs reported by pipeline runners, stored only for display. */
export class PipelineRuns {
  constructor(private readonly parts: Parts) {}

  /** Stores the current state of a run. Each step's change is recorded as an event. */
  async tell(project: string, run: string, told: ToldRun, who: string): Promise<PipelineRun> {
    const { store, events, now } = this.parts;
    const whole: PipelineRun = { ...told, project, run, told: now() };
    const row = {
      state: told.state,
      told: whole.told,
      summary: JSON.stringify(runSummarySchema.parse(whole)),
      data: JSON.stringify(whole),
    };
    await store.transaction().execute(async (transaction) => {
      const before = await transaction
        .selectFrom('pipelineRuns')
        .select('summary')
        .where('project', '=', project)
        .where('run', '=', run)
        .executeTakeFirst();
      await transaction
        .insertInto('pipelineRuns')
        .values({ project, run, ...row })
        .onConflict((conflict) => conflict.columns(['project', 'run']).doUpdateSet(row))
        .execute();
      const known = before ? (JSON.parse(before.summary) as RunSummary) : null;
      for (const event of changesOf(known, whole, who)) await events.record(event, transaction);
      if (!before) await this.forgetOld(project, transaction);
    });
    return whole;
  }

  /** Sorted by name, each project with its newest run. */
  async projects({
    limit,
    after = '',
  }: PageQuery): Promise<{ pipelines: RunSummary[]; next: string | null }> {
    const rows = await this.parts.store
      .selectFrom('pipelineRuns')
      .select(({ fn }) => ['project', fn.max('run').as('run')])
      .where('project', '>', after)
      .groupBy('project')
      .orderBy('project')
      .limit(limit + 1)
      .execute();
    const page = pageOfRows(rows, limit, ({ project }) => project);
    const pipelines: RunSummary[] = [];
    for (const { project, run } of page.entries) pipelines.push(await this.summary(project, String(run)));
    return { pipelines, next: page.next };
  }

  /** Newest first. */
  async list(
    project: string,
    { limit, after }: PageQuery,
  ): Promise<{ runs: RunSummary[]; next: string | null }> {
    const rows = await this.parts.store
      .selectFrom('pipelineRuns')
      .select(['run', 'summary'])
      .where('project', '=', project)
      .$if(after !== undefined, (query) => query.where('run', '<', after ?? ''))
      .orderBy('run', 'desc')
      .limit(limit + 1)
      .execute();
    const page = pageOfRows(rows, limit, ({ run }) => run);
    return { runs: page.entries.map(({ summary }) => JSON.parse(summary) as RunSummary), next: page.next };
  }

  /** @throws AIOT_NOT_FOUND */
  async get(project: string, run: string): Promise<PipelineRun> {
    const row = await this.row(project, run);
    return pipelineRunSchema.parse(JSON.parse(row.data));
  }

  private async summary(project: string, run: string): Promise<RunSummary> {
    return JSON.parse((await this.row(project, run)).summary) as RunSummary;
  }

  private async row(project: string, run: string) {
    const row = await this.parts.store
      .selectFrom('pipelineRuns')
      .selectAll()
      .where('project', '=', project)
      .where('run', '=', run)
      .executeTakeFirst();
    if (row) return row;
    throw new AiotError('AIOT_NOT_FOUND', `the platform has no run ${run} of ${project}`, {
      subject: 'run',
    });
  }

  private async forgetOld(project: string, transaction: Store): Promise<void> {
    const oldest = await transaction
      .selectFrom('pipelineRuns')
      .select('run')
      .where('project', '=', project)
      .orderBy('run', 'desc')
      .offset(kept)
      .limit(1)
      .executeTakeFirst();
    if (!oldest) return;
    await transaction
      .deleteFrom('pipelineRuns')
      .where('project', '=', project)
      .where('run', '<=', oldest.run)
      .execute();
  }
}

/** Changes in a run since its last report. */
function changesOf(
  before: RunSummary | null,
  { project, run, state, steps }: PipelineRun,
  who: string,
): NewEvent[] {
  const known = new Map(before?.steps.map((step) => [step.name, step.state]));
  const about = { subject: project, who };
  const events: NewEvent[] = [];
  if (!before) events.push({ ...about, type: 'pipeline.start', data: { run } });
  for (const step of steps) {
    if (step.state === (known.get(step.name) ?? 'waiting')) continue;
    events.push({ ...about, type: 'pipeline.step', data: { run, step: step.name, state: step.state } });
  }
  if (state !== 'running' && before?.state !== state) {
    events.push({ ...about, type: 'pipeline.end', data: { run, state } });
  }
  return events;
}
