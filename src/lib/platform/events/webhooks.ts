import { randomBytes } from 'node:crypto';
import { AiotError, newId } from '../../core/index.js';
import {
  type NewWebhook,
  newWebhookSchema,
  type PageQuery,
  pageOfRows,
  type Webhook,
  type WebhookChange,
  type WebhookSecret,
  type WebhookTest,
} from '../../registry/index.js';
import type { Store } from '../store/database.js';
import type { Schema } from '../store/schema.js';
import { type Events, extentOf, type NewEvent } from './events.js';
import { deliver } from './webhook-delivery.js';
import { checkTarget } from './webhook-targets.js';

interface Parts {
  store: Store;
  events: Events;
  /** ms since 1970 */
  now: () => number;
}

/** How long the secret before a rotation signs too, ms. */
const graceMs = 86_400_000;

const most = 100;

/** Who is told of events by a request. What sends them is `WebhookSender`. */
export class Webhooks {
  constructor(private readonly parts: Parts) {}

  /** It gets the events to come. @throws AIOT_WEBHOOK_TARGET, AIOT_REQUEST_INVALID (too many) */
  async add(request: NewWebhook, who: string): Promise<WebhookSecret> {
    const { store, events, now } = this.parts;
    const { url, types, allowPrivate } = newWebhookSchema.parse(request);
    checkTarget(url, allowPrivate);
    const created = now();
    const secret = newSecret();
    const row: WebhookRow = {
      ...{ id: newId('wh', created), url, types: JSON.stringify(types), secret, created, updated: created },
      ...{
        enabled: 1,
        allowPrivate: allowPrivate ? 1 : 0,
        failures: 0,
        retryAt: null,
        error: null,
        failingSince: null,
      },
      ...{ secretBefore: null, secretBeforeUntil: null },
    };
    await store.transaction().execute(async (transaction) => {
      const { count } = await transaction
        .selectFrom('webhooks')
        .select(({ fn }) => fn.countAll<number>().as('count'))
        .executeTakeFirstOrThrow();
      if (Number(count) >= most) {
        throw new AiotError('AIOT_REQUEST_INVALID', `expected at most ${most} webhooks, there are ${count}`);
      }
      await transaction.insertInto('webhooks').values(row).execute();
      const data = { url: originOf(url), types };
      await events.record({ who, type: 'webhook.add', subject: row.id, data }, transaction);
      // Behind its own event, which this transaction alone can see.
      await savePosition(transaction, row.id, (await extentOf(transaction)).latest);
    });
    return { webhook: await this.get(row.id), secret };
  }

  async list({ limit, after }: PageQuery): Promise<{ webhooks: Webhook[]; next: string | null }> {
    const { store } = this.parts;
    const { latest } = await extentOf(store);
    const rows = await store
      .selectFrom('webhooks')
      .selectAll()
      .$if(after !== undefined, (query) => query.where('id', '>', after ?? ''))
      .orderBy('id')
      .limit(limit + 1)
      .execute();
    const { entries, next } = pageOfRows(rows, limit, ({ id }) => id);
    const webhooks: Webhook[] = [];
    for (const row of entries) webhooks.push(webhookOf(row, await positionOf(store, row.id), latest));
    return { webhooks, next };
  }

  /** @throws AIOT_NOT_FOUND */
  async get(id: string): Promise<Webhook> {
    const { store } = this.parts;
    return webhookOf(await this.row(id), await positionOf(store, id), (await extentOf(store)).latest);
  }

  /** @throws AIOT_NOT_FOUND, AIOT_WEBHOOK_TARGET */
  async change(id: string, change: WebhookChange, who: string): Promise<Webhook> {
    const row = await this.row(id);
    const { url = row.url, types, allowPrivate = row.allowPrivate !== 0, enabled } = change;
    checkTarget(url, allowPrivate);
    // Whoever changes it wants it tried at once.
    const anew = { failures: 0, failingSince: null, retryAt: null, error: null };
    const set = {
      ...anew,
      ...{
        url,
        allowPrivate: allowPrivate ? 1 : 0,
        types: types === undefined ? row.types : JSON.stringify(types),
      },
      enabled: enabled === undefined ? row.enabled : enabled ? 1 : 0,
    };
    await this.update(id, set, {
      who,
      type: 'webhook.update',
      data: { url: originOf(url), ...change, ...urlHidden(change) },
    });
    return await this.get(id);
  }

  /** @throws AIOT_NOT_FOUND */
  async rotate(id: string, who: string): Promise<WebhookSecret> {
    const { secret: before, url } = await this.row(id);
    const secret = newSecret();
    const set = { secret, secretBefore: before, secretBeforeUntil: this.parts.now() + graceMs };
    await this.update(id, set, { who, type: 'webhook.rotate', data: { url: originOf(url) } });
    return { webhook: await this.get(id), secret };
  }

  /** Sends an event that is no change, now. @throws AIOT_NOT_FOUND */
  async test(id: string, who: string, signal: AbortSignal): Promise<WebhookTest> {
    const row = await this.row(id);
    const now = this.parts.now();
    const event = {
      id: 0,
      at: now,
      type: 'webhook.test',
      subject: id,
      who,
      data: { url: originOf(row.url) },
    };
    const { delivered, status, ms, error } = await deliver({
      ...{ url: row.url, secrets: secretsOf(row, now), allowPrivate: row.allowPrivate !== 0, now, signal },
      id: `test_${newId('wh', now)}`,
      body: bodyOf(event),
    });
    return { id, delivered, status, ms, error };
  }

  /** @throws AIOT_NOT_FOUND */
  async remove(id: string, who: string): Promise<{ id: string; url: string }> {
    const { store, events } = this.parts;
    const { url } = await this.row(id);
    await store.transaction().execute(async (transaction) => {
      await transaction.deleteFrom('webhooks').where('id', '=', id).execute();
      await transaction.deleteFrom('cursors').where('name', '=', cursorName(id)).execute();
      const data = { url: originOf(url) };
      await events.record({ who, type: 'webhook.remove', subject: id, data }, transaction);
    });
    return { id, url };
  }

  private async update(
    id: string,
    set: Partial<WebhookRow>,
    event: Omit<NewEvent, 'subject'>,
  ): Promise<void> {
    const { store, events, now } = this.parts;
    await store.transaction().execute(async (transaction) => {
      await transaction
        .updateTable('webhooks')
        .set({ ...set, updated: now() })
        .where('id', '=', id)
        .execute();
      await events.record({ ...event, subject: id }, transaction);
    });
  }

  private async row(id: string): Promise<WebhookRow> {
    const row = await this.parts.store
      .selectFrom('webhooks')
      .selectAll()
      .where('id', '=', id)
      .executeTakeFirst();
    if (row) return row;
    throw new AiotError('AIOT_NOT_FOUND', `there is no webhook ${id}`, { next: 'aiot webhook list' });
  }
}

/** What is sent: Standard Webhooks wants `type`, `timestamp` and `data`. */
export function bodyOf({
  id,
  at,
  type,
  subject,
  who,
  data,
}: {
  id: number;
  at: number;
  type: string;
  subject: string;
  who: string;
  data: object;
}): string {
  return JSON.stringify({ type, timestamp: new Date(at).toISOString(), id, subject, who, data });
}

/** 256 bits, as Standard Webhooks writes them. */
function newSecret(): string {
  return `whsec_${randomBytes(32).toString('base64')}`;
}

function urlHidden({ url }: WebhookChange): { url?: string } {
  return url === undefined ? {} : { url: originOf(url) };
}

export type WebhookRow = Schema['webhooks'];

/** Name of its cursor: the id up to which its events were sent. */
export function cursorName(id: string): string {
  return `webhook:${id}`;
}

export async function savePosition(store: Store, id: string, position: number): Promise<void> {
  await store
    .insertInto('cursors')
    .values({ name: cursorName(id), position })
    // What was written down of a later one counts.
    .onConflict((conflict) =>
      conflict.column('name').doUpdateSet({ position }).where('cursors.position', '<', position),
    )
    .execute();
}

export async function positionOf(store: Store, id: string): Promise<number> {
  const cursors = store.selectFrom('cursors').select('position');
  return Number((await cursors.where('name', '=', cursorName(id)).executeTakeFirst())?.position ?? 0);
}

function webhookOf(row: WebhookRow, position: number, latest: number): Webhook {
  const { id, url, created, failures, failingSince, error, retryAt } = row;
  return {
    ...{ id, url, created, failures, failingSince, error, retryAt, position },
    types: JSON.parse(row.types) as string[],
    allowPrivate: row.allowPrivate !== 0,
    enabled: row.enabled !== 0,
    behind: Math.max(0, latest - position),
  };
}

/** What may be told of its address: a path may hold a secret. */
export function originOf(url: string): string {
  return new URL(url).origin;
}

/** The secrets that sign now. */
export function secretsOf({ secret, secretBefore, secretBeforeUntil }: WebhookRow, now: number): string[] {
  const both = secretBefore !== null && secretBeforeUntil !== null && secretBeforeUntil > now;
  return both ? [secret, secretBefore] : [secret];
}
