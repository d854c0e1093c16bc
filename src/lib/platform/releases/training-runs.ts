import type { PublishedRun } from '../../api/contract/training-runs.js';
import { type PageQuery, pageOfRows } from '../../api/page.js';
import { AiotError } from '../../core/errors.js';
import type { Events } from '../events/events.js';
import type { Store } from '../store/database.js';

/** Number of runs stored for each model. */
const kept = 1000;

interface Parts {
  store: Store;
  events: Events;
}

interface RunsOfModel {
  model: string;
  /** Number of stored runs. */
  runs: number;
  newest: PublishedRun;
}

/** Training runs that users published, stored only for display. */
export class TrainingRuns {
  constructor(private readonly parts: Parts) {}

  /** Stores runs that have ended. They never change afterwards. @throws AIOT_REQUEST_INVALID (runs of another model) */
  async publish(model: string, runs: readonly PublishedRun[], who: string): Promise<{ added: number }> {
    const other = runs.findIndex((run) => run.model !== model);
    if (other >= 0) {
      throw new AiotError(
        'AIOT_REQUEST_INVALID',
        `body: runs.${other}.model: expected ${model}, got ${runs[other]?.model}`,
      );
    }
    const { store, events } = this.parts;
    return await store.transaction().execute(async (transaction) => {
      let added = 0;
      for (const run of runs) {
        const { numInsertedOrUpdatedRows = 0n } = await transaction
          .insertInto('trainingRuns')
          .values({ model, run: run.run, data: JSON.stringify(run) })
          .onConflict((conflict) => conflict.columns(['model', 'run']).doNothing())
          .executeTakeFirstOrThrow();
        added += Number(numInsertedOrUpdatedRows);
      }
      if (added === 0) return { added };
      await events.record({ type: 'model.runs', subject: model, who, data: { added } }, transaction);
      await this.forgetOld(model, transaction);
      return { added };
    });
  }

  /** Sorted by name. */
  async models({ limit, after = '' }: PageQuery): Promise<{ models: RunsOfModel[]; next: string | null }> {
    const rows = await this.parts.store
      .selectFrom('trainingRuns')
      .select(({ fn }) => ['model', fn.max('run').as('run'), fn.countAll().as('runs')])
      .where('model', '>', after)
      .groupBy('model')
      .orderBy('model')
      .limit(limit + 1)
      .execute();
    const page = pageOfRows(rows, limit, ({ model }) => model);
    const models: RunsOfModel[] = [];
    for (const { model, runs } of page.entries) {
      const newest = (await this.list(model, { limit: 1 })).runs[0];
      if (newest) models.push({ model, runs: Number(runs), newest });
    }
    return { models, next: page.next };
  }

  /** Newest first. */
  async list(
    model: string,
    { limit, after }: PageQuery,
  ): Promise<{ runs: PublishedRun[]; next: string | null }> {
    const rows = await this.parts.store
      .selectFrom('trainingRuns')
      .select(['run', 'data'])
      .where('model', '=', model)
      .$if(after !== undefined, (query) => query.where('run', '<', after ?? ''))
      .orderBy('run', 'desc')
      .limit(limit + 1)
      .execute();
    const page = pageOfRows(rows, limit, ({ run }) => run);
    return { runs: page.entries.map(({ data }) => JSON.parse(data) as PublishedRun), next: page.next };
  }

  private async forgetOld(model: string, transaction: Store): Promise<void> {
    const oldest = await transaction
      .selectFrom('trainingRuns')
      .select('run')
      .where('model', '=', model)
      .orderBy('run', 'desc')
      .offset(kept)
      .limit(1)
      .executeTakeFirst();
    if (!oldest) return;
    await transaction
      .deleteFrom('trainingRuns')
      .where('model', '=', model)
      .where('run', '<=', oldest.run)
      .execute();
  }
}
