import {
  type PipelineRun,
  pipelineRunSchema,
  type RunSummary,
  runSummarySchema,
  type ToldRun,
} from '../../api/contract/jobs.js';
import type { PageQuery } from '../../api/page.js';
import { AiotError } from '../../core/errors.js';
import type { Events, NewEvent } from '../events/events.js';
import type { Store } from '../store/database.js';
import { RunTable } from './run-table.js';

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
  private readonly table: RunTable<RunSummary>;

  constructor(private readonly parts: Parts) {
    this.table = new RunTable(parts.store, { table: 'pipelineRuns', owner: 'project', content: 'summary' });
  }

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
      if (!before) await this.table.forgetOld(project, kept, transaction);
    });
    return whole;
  }

  /** Sorted by name, each project with its newest run. */
  async projects(query: PageQuery): Promise<{ pipelines: RunSummary[]; next: string | null }> {
    const { entries, next } = await this.table.owners(query);
    return { pipelines: entries.map(({ newest }) => newest), next };
  }

  /** Newest first. */
  async list(project: string, query: PageQuery): Promise<{ runs: RunSummary[]; next: string | null }> {
    const { entries, next } = await this.table.page(project, query);
    return { runs: entries, next };
  }

  /** @throws AIOT_NOT_FOUND */
  async get(project: string, run: string): Promise<PipelineRun> {
    const row = await this.parts.store
      .selectFrom('pipelineRuns')
      .select('data')
      .where('project', '=', project)
      .where('run', '=', run)
      .executeTakeFirst();
    if (row) return pipelineRunSchema.parse(JSON.parse(row.data));
    throw new AiotError('AIOT_NOT_FOUND', `the platform has no run ${run} of ${project}`, {
      subject: 'run',
    });
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
