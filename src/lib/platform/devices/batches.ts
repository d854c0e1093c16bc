import { randomBytes } from 'node:crypto';
import type { Selectable } from 'kysely';
import type { z } from 'zod';
import type { Batch, batchRequestSchema, EnrollmentState, MadeBatch } from '../../api/contract/batches.js';
import { type PageQuery, pageOfRows } from '../../api/page.js';
import { sha256Hex } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import type { Events } from '../events/events.js';
import { isUniqueViolation, type Store } from '../store/database.js';
import type { Schema } from '../store/schema.js';

export type BatchRow = Selectable<Schema['batches']>;

interface BatchParts {
  store: Store;
  events: Events;
  /** ms since 1970 */
  now: () => number;
}

/** Serial numbers per statement; a statement has a limited number of parameters. */
const atOnce = 400;

/**
 * Batches of devices that share a key in their factory image: 256 random bits, of which only the digest is stored. The key alone gives a
 * device no access; see `Enrollments`.
 */
export class Batches {
  constructor(private readonly parts: BatchParts) {}

  /** @throws AIOT_ALREADY_EXISTS */
  async create(
    { name, type, size, validMs, serials, ...more }: z.output<typeof batchRequestSchema>,
    who: string,
  ): Promise<MadeBatch> {
    const { store, events, now } = this.parts;
    const key = `batch_${randomBytes(32).toString('base64url')}`;
    const created = now();
    const pattern = more.pattern ?? null;
    const expires = created + validMs;
    const row: BatchRow = {
      ...{ name, type, size, created, expires, who, pattern },
      ...{ digest: sha256Hex(key), revoked: null, tags: JSON.stringify(more.tags) },
      groups: JSON.stringify([...new Set(more.groups)].sort()),
    };
    const expected = [...new Set(serials)];
    try {
      await store.transaction().execute(async (transaction) => {
        await transaction.insertInto('batches').values(row).execute();
        for (let i = 0; i < expected.length; i += atOnce) {
          const part = expected.slice(i, i + atOnce).map((serial) => ({ batch: name, serial }));
          await transaction.insertInto('batchSerials').values(part).execute();
        }
        const data = { type, size, expires, pattern, expected: expected.length };
        await events.record({ who, type: 'batch.create', subject: name, data }, transaction);
      });
    } catch (cause) {
      if (!isUniqueViolation(cause)) throw cause;
      throw new AiotError('AIOT_ALREADY_EXISTS', `the batch ${name} exists, and its name cannot be reused`, {
        subject: 'batch',
        next: `Choose another name, or look at the batch with \`aiot device batch show ${name}\`.`,
        cause,
      });
    }
    return { batch: await this.get(name), key };
  }

  async list({ limit, after }: PageQuery): Promise<{ batches: Batch[]; next: string | null }> {
    const all = this.parts.store.selectFrom('batches').selectAll().orderBy('name');
    const rows = await all
      .$if(after !== undefined, (query) => query.where('name', '>', after ?? ''))
      .limit(limit + 1)
      .execute();
    const { entries, next } = pageOfRows(rows, limit, ({ name }) => name);
    return { batches: await this.described(entries), next };
  }

  /** @throws AIOT_NOT_FOUND */
  async get(name: string): Promise<Batch> {
    const [batch] = await this.described([await this.row(name)]);
    return batch!;
  }

  /** Revokes the key. A revoked batch stays revoked. @throws AIOT_NOT_FOUND */
  async revoke(name: string, who: string): Promise<Batch> {
    const { store, events, now } = this.parts;
    await this.row(name);
    await store.transaction().execute(async (transaction) => {
      const { numUpdatedRows } = await transaction
        .updateTable('batches')
        .set({ revoked: now() })
        .where('name', '=', name)
        .where('revoked', 'is', null)
        .executeTakeFirst();
      if (numUpdatedRows === 0n) return;
      await events.record({ who, type: 'batch.revoke', subject: name }, transaction);
    });
    return this.get(name);
  }

  /** @throws AIOT_NOT_FOUND */
  async row(name: string): Promise<BatchRow> {
    const all = this.parts.store.selectFrom('batches').selectAll();
    const row = await all.where('name', '=', name).executeTakeFirst();
    if (row) return row;
    throw new AiotError('AIOT_NOT_FOUND', `there is no batch ${name}`, {
      next: 'To see the batches, run `aiot device batch list`.',
    });
  }

  /** The batch with this key. @throws AIOT_BATCH_INVALID */
  async withKey(key: string): Promise<BatchRow> {
    const all = this.parts.store.selectFrom('batches').selectAll();
    const row = await all.where('digest', '=', sha256Hex(key)).executeTakeFirst();
    if (row) return row;
    throw new AiotError('AIOT_BATCH_INVALID', 'no batch of this platform has this key');
  }

  private async described(rows: readonly BatchRow[]): Promise<Batch[]> {
    if (rows.length === 0) return [];
    const names = rows.map(({ name }) => name);
    const { store, now } = this.parts;
    const counts = await store
      .selectFrom('enrollments')
      .select(['batch', 'state', (is) => is.fn.countAll().as('count')])
      .where('batch', 'in', names)
      .groupBy(['batch', 'state'])
      .execute();
    const expected = await store
      .selectFrom('batchSerials')
      .select(['batch', (is) => is.fn.countAll().as('count')])
      .where('batch', 'in', names)
      .groupBy('batch')
      .execute();
    const at = now();
    return rows.map((row) => {
      const { name, type, size, created, expires, who, pattern } = row;
      const devices = { waiting: 0, approved: 0, issued: 0, rejected: 0 };
      for (const { batch, state, count } of counts)
        if (batch === name) devices[state as EnrollmentState] = Number(count);
      return {
        ...{ name, type, size, created, expires, who, pattern, devices },
        state: row.revoked !== null ? 'revoked' : expires <= at ? 'expired' : 'open',
        tags: JSON.parse(row.tags) as Batch['tags'],
        groups: JSON.parse(row.groups) as Batch['groups'],
        expected: Number(expected.find(({ batch }) => batch === name)?.count ?? 0),
      };
    });
  }
}
