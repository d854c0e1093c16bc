import type { Webhook } from '../../../registry/index.js';
import type { Store } from '../../store/database.js';
import type { Schema } from '../../store/schema.js';

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

export function webhookOf(row: WebhookRow, position: number, latest: number): Webhook {
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
