import { type PageQuery, pageOfRows } from '../../api/page.js';
import type { Store } from '../store/database.js';

/** A table of runs whose IDs sort by time, and its columns. */
interface Columns {
  table: 'trainingRuns' | 'pipelineRuns';
  /** Column with the name of the model or project that runs belong to. */
  owner: 'model' | 'project';
  /** Column with the JSON that lists show. */
  content: 'data' | 'summary';
}

interface Page<Entry> {
  entries: Entry[];
  next: string | null;
}

/** Lists and limits of the runs that clients reported, with entries of this type. */
export class RunTable<Entry> {
  constructor(
    private readonly store: Store,
    private readonly columns: Columns,
  ) {}

  /** A page of an owner's runs, newest first. */
  async page(owner: string, { limit, after }: PageQuery): Promise<Page<Entry>> {
    const { table, content } = this.columns;
    const rows = await this.store
      .selectFrom(table)
      .select(['run', `${content} as content` as const])
      .where(this.columns.owner, '=', owner)
      .$if(after !== undefined, (query) => query.where('run', '<', after ?? ''))
      .orderBy('run', 'desc')
      .limit(limit + 1)
      .execute();
    const page = pageOfRows(rows, limit, ({ run }) => run);
    return { entries: page.entries.map(({ content }) => JSON.parse(content) as Entry), next: page.next };
  }

  /** A page of owners, sorted by name, each with its number of runs and its newest run. */
  async owners({
    limit,
    after = '',
  }: PageQuery): Promise<Page<{ owner: string; runs: number; newest: Entry }>> {
    const { table, owner } = this.columns;
    const rows = await this.store
      .selectFrom(table)
      .select(({ fn }) => [`${owner} as owner` as const, fn.countAll().as('runs')])
      .where(owner, '>', after)
      .groupBy(owner)
      .orderBy(owner)
      .limit(limit + 1)
      .execute();
    const page = pageOfRows(rows, limit, (row) => row.owner);
    const entries: { owner: string; runs: number; newest: Entry }[] = [];
    for (const row of page.entries) {
      const [newest] = (await this.page(row.owner, { limit: 1 })).entries;
      if (newest) entries.push({ owner: row.owner, runs: Number(row.runs), newest });
    }
    return { entries, next: page.next };
  }

  /** Deletes an owner's oldest runs except for the newest `kept`. */
  async forgetOld(owner: string, kept: number, transaction: Store): Promise<void> {
    const { table } = this.columns;
    const oldest = await transaction
      .selectFrom(table)
      .select('run')
      .where(this.columns.owner, '=', owner)
      .orderBy('run', 'desc')
      .offset(kept)
      .limit(1)
      .executeTakeFirst();
    if (!oldest) return;
    await transaction
      .deleteFrom(table)
      .where(this.columns.owner, '=', owner)
      .where('run', '<=', oldest.run)
      .execute();
  }
}
