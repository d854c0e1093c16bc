import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { finished } from 'node:stream/promises';
import { nativePart } from '../../core/index.js';
import type { Store } from '../store/database.js';
import { migrations, type Schema } from '../store/schema.js';

export interface Table {
  name: keyof Schema;
  /** Columns of its primary key. */
  key: string[];
  columns: string[];
}

/** Secrets and what tells of them: sealed with the passphrase. */
export const sealedTables: ReadonlySet<string> = new Set([
  'answers',
  'claims',
  'devices',
  'logins',
  'tokens',
  'webhooks',
]);

/** Rows read, or written, at a time. */
export const pageRows = 500;

/** All tables of the schema in the order in which they may be filled, whichever engine has them. */
export async function tablesOf(schema = migrations.length): Promise<Table[]> {
  const { default: Database } = await nativePart('libsql', () => import('libsql'));
  const database = new Database(':memory:');
  try {
    for (const sql of migrations.slice(0, schema)) database.exec(sql);
    const tables = database
      .prepare(
        `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY rowid`,
      )
      .all() as { name: keyof Schema }[];
    return tables.map(({ name }) => {
      const columns = database.prepare(`PRAGMA table_info("${name}")`).all() as {
        name: string;
        pk: number;
      }[];
      const key = columns.filter(({ pk }) => pk > 0).sort((a, b) => a.pk - b.pk);
      return { name, key: key.map((column) => column.name), columns: columns.map((column) => column.name) };
    });
  } finally {
    database.close();
  }
}

/** Rows of a table in the order of its key, some at a time. */
export async function* rowsOf(store: Store, { name, key }: Table): AsyncGenerator<Record<string, unknown>[]> {
  const { sql } = await import('kysely');
  const columns = sql.join(key.map((column) => sql.ref(column)));
  for (let last: Record<string, unknown> | undefined; ; ) {
    const after = last && sql.join(key.map((column) => sql.val(last?.[column])));
    const { rows } = await sql<Record<string, unknown>>`
      SELECT * FROM ${sql.table(name)} ${after ? sql`WHERE (${columns}) > (${after})` : sql``}
      ORDER BY ${columns} LIMIT ${sql.lit(pageRows)}`.execute(store);
    if (rows.length > 0) yield rows;
    if (rows.length < pageRows) return;
    last = rows.at(-1);
  }
}

/** A line for each row. What one platform's process keeps for itself is left out. */
export async function writeTable(store: Store, table: Table, path: string): Promise<number> {
  const out = createWriteStream(path, { mode: 0o600 });
  let count = 0;
  for await (const rows of rowsOf(store, table)) {
    // The CA, sealed for processes that share a database: it is in the backup as a file. And logs are of another moment than tables.
    const kept = rows.filter(
      ({ key }) => table.name !== 'logFiles' && (table.name !== 'meta' || key !== 'pki'),
    );
    count += kept.length;
    if (!out.write(kept.map((row) => `${JSON.stringify(row)}\n`).join(''))) {
      await once(out, 'drain');
    }
    // Requests go on meanwhile.
    await new Promise(setImmediate);
  }
  out.end();
  await finished(out);
  return count;
}
