import type { PublishedRun } from '../../api/contract/training-runs.js';
import type { PageQuery } from '../../api/page.js';
import { AiotError } from '../../core/errors.js';
import type { Events } from '../events/events.js';
import type { Store } from '../store/database.js';
import { RunTable } from './run-table.js';

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
  private readonly table: RunTable<PublishedRun>;

  constructor(private readonly parts: Parts) {
    this.table = new RunTable(parts.store, { table: 'trainingRuns', owner: 'model', content: 'data' });
  }

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
      await this.table.forgetOld(model, kept, transaction);
      return { added };
    });
  }

  /** Sorted by name. */
  async models(query: PageQuery): Promise<{ models: RunsOfModel[]; next: string | null }> {
    const { entries, next } = await this.table.owners(query);
    return { models: entries.map(({ owner, ...rest }) => ({ model: owner, ...rest })), next };
  }

  /** Newest first. */
  async list(model: string, query: PageQuery): Promise<{ runs: PublishedRun[]; next: string | null }> {
    const { entries, next } = await this.table.page(model, query);
    return { runs: entries, next };
  }
}
