import type { Soundness, Store } from '../store/database.js';

/** A file of an append-only log, in its last known durable state. */
export interface LogFile<Counts> {
  number: number;
  /** Generation of the file; −1 = it was deleted deliberately, or its loss was reported. */
  generation: number;
  bytes: number;
  /** CRC-32 of the file's first `bytes` bytes. */
  crc: number;
  /** SHA-256 in hex of a file that gets no more lines; null while it is being written to. */
  digest: string | null;
  counts: Counts;
}

/**
 * The state database's record of a log's files, which reveals losses that the log itself cannot reveal. Written after
 * the log, never before, so it records only durable data.
 */
export interface Ledger<Counts> {
  /** Files sorted by number, then generation. */
  load(): Promise<LogFile<Counts>[]>;
  save(files: readonly LogFile<Counts>[]): Promise<void>;
  forget(files: readonly Pick<LogFile<Counts>, 'number' | 'generation'>[]): Promise<void>;
}

/** Interval between records of a file that is being written, ms. After SIGKILL, losses within this interval go unnoticed. */
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
 * Wraps a ledger so that writes wait, in order, until the database is known to be sound. If the database is
 * damaged, nothing more is recorded.
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
