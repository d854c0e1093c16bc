import type { Soundness, Store } from '../store/database.js';

/** A file of an append-only log, as it was last known to be durable. */
export interface LogFile<Counts> {
  number: number;
  /** −1: it went on purpose, with all that was in it, or its loss was reported. */
  generation: number;
  bytes: number;
  /** CRC-32 of these bytes. */
  crc: number;
  /** SHA-256 in hex of a file that gets no more lines; null while it is written to. */
  digest: string | null;
  counts: Counts;
}

/**
 * What the state database knows of a log's files: what a log itself has lost it cannot tell. Written behind the log and never before
 * it, so it knows of nothing that was not durable.
 */
export interface Ledger<Counts> {
  /** By number, then generation. */
  load(): Promise<LogFile<Counts>[]>;
  save(files: readonly LogFile<Counts>[]): Promise<void>;
  forget(files: readonly Pick<LogFile<Counts>, 'number' | 'generation'>[]): Promise<void>;
}

/** Seconds between two notes of a file that is written to, in ms: so much may be lost without a word after SIGKILL. */
export const noteEveryMs = 5000;

export function ledgerIn<Counts>(store: Store, log: 'journal' | 'broker'): Ledger<Counts> {
  return {
    async load() {
      const rows = await store
        .selectFrom('logFiles')
        .selectAll()
        .where('log', '=', log)
        .orderBy('number')
        .orderBy('generation')
        .execute();
      return rows.map(({ log: _, counts, ...row }) => ({ ...row, counts: JSON.parse(counts) as Counts }));
    },
    async save(files) {
      await store.transaction().execute(async (transaction) => {
        for (const { counts, ...file } of files) {
          const row = { log, ...file, counts: JSON.stringify(counts) };
          await transaction
            .insertInto('logFiles')
            .values(row)
            .onConflict((conflict) => conflict.columns(['log', 'number', 'generation']).doUpdateSet(row))
            .execute();
        }
      });
    },
    async forget(files) {
      for (const { number, generation } of files) {
        await store
          .deleteFrom('logFiles')
          .where('log', '=', log)
          .where('number', '=', number)
          .where('generation', '=', generation)
          .execute();
      }
    },
  };
}

/**
 * The same ledger, which keeps its writes back, in their order, while the database can only be read. In one that is damaged nothing is
 * noted any more.
 */
export function ledgerWhenSound<Counts>(ledger: Ledger<Counts>, soundness: Soundness): Ledger<Counts> {
  let before: Promise<unknown> | null = null;
  const write = async (task: () => Promise<void>): Promise<void> => {
    if (soundness.damage !== null) return;
    if (!soundness.pending && before === null) return task();
    const waiting = (before ?? soundness.known()).then(() =>
      soundness.damage === null ? task().catch(() => {}) : undefined,
    );
    before = waiting;
    void waiting.then(() => {
      if (before === waiting) before = null;
    });
  };
  return {
    load: () => ledger.load(),
    save: (files) => write(() => ledger.save(files)),
    forget: (files) => write(() => ledger.forget(files)),
  };
}
