import { randomBytes } from 'node:crypto';
import { isIP } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Agent } from 'undici';
import {
  type NewWebhook,
  newWebhookSchema,
  type Webhook,
  type WebhookChange,
  type WebhookSecret,
  type WebhookTest,
} from '../../api/contract/webhooks.js';
import type { PlatformEvent } from '../../api/events/api.js';
import { type PageQuery, pageOfRows } from '../../api/page.js';
import { AiotError, systemCode } from '../../core/errors.js';
import { httpAgent } from '../../core/http-agent.js';
import { newId } from '../../core/names.js';
import { withTimeLimit } from '../../core/tasks.js';
import { didYouMean } from '../../core/text.js';
import { retryAfterMs } from '../../core/time.js';
import { signatureHeaders } from '../../stream/http/headers.js';
import type { Store } from '../store/database.js';
import type { Schema } from '../store/schema.js';
import type { Worker } from '../workers.js';
import { type Events, extentOf, type NewEvent, type Page } from './events.js';
import { sendOn, untilDone } from './outbox.js';
import { checkTarget, lookupFor, type Resolve } from './webhook-targets.js';

interface Parts {
  store: Store;
  events: Events;
  /** ms since 1970 */
  now: () => number;
}

/** How long after a rotation the previous secret also signs, ms. */
const graceMs = 86_400_000;

const most = 100;

/** Subscriptions to events, which `WebhookSender` sends by HTTP request. */
export class Webhooks {
  constructor(private readonly parts: Parts) {}

  /** Adds a webhook for future events. @throws AIOT_WEBHOOK_TARGET, AIOT_REQUEST_INVALID (too many) */
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
        throw new AiotError(
          'AIOT_REQUEST_INVALID',
          `expected at most ${most} webhooks; there are already ${count}`,
        );
      }
      await transaction.insertInto('webhooks').values(row).execute();
      const data = { url: originOf(url), types };
      await events.record({ who, type: 'webhook.add', subject: row.id, data }, transaction);
      // Begins after the event for the webhook's own creation, which only this transaction can see so far.
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
    // A change by a user triggers an immediate attempt.
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

  /** Sends a test event, which is not a change, immediately. @throws AIOT_NOT_FOUND */
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
    const known = await this.parts.store.selectFrom('webhooks').select('id').execute();
    const near = didYouMean(
      id,
      known.map((each) => each.id),
      2,
    );
    throw new AiotError('AIOT_NOT_FOUND', `the webhook ${id} does not exist${near}`, {
      next: 'To see the webhooks, run `aiot webhook list`.',
    });
  }
}

/** Request body: Standard Webhooks requires `type`, `timestamp` and `data`. */
function bodyOf({
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

/** 256 bits, in the format of Standard Webhooks. */
function newSecret(): string {
  return `whsec_${randomBytes(32).toString('base64')}`;
}

function urlHidden({ url }: WebhookChange): { url?: string } {
  return url === undefined ? {} : { url: originOf(url) };
}

type WebhookRow = Schema['webhooks'];

/** Name of a webhook's cursor, which stores the highest id that was sent. */
export function cursorName(id: string): string {
  return `webhook:${id}`;
}

async function savePosition(store: Store, id: string, position: number): Promise<void> {
  await store
    .insertInto('cursors')
    .values({ name: cursorName(id), position })
    // Keeps the higher position if another process has saved one in the meantime.
    .onConflict((conflict) =>
      conflict.column('name').doUpdateSet({ position }).where('cursors.position', '<', position),
    )
    .execute();
}

async function positionOf(store: Store, id: string): Promise<number> {
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

/** The part of a webhook's URL that may be displayed; the path may contain a secret. */
function originOf(url: string): string {
  return new URL(url).origin;
}

/** The secrets currently used for signing. */
function secretsOf({ secret, secretBefore, secretBeforeUntil }: WebhookRow, now: number): string[] {
  const both = secretBefore !== null && secretBeforeUntil !== null && secretBeforeUntil > now;
  return both ? [secret, secretBefore] : [secret];
}

interface SenderParts {
  store: Store;
  events: Events;
  log: Logger;
  /** Distinguishes this platform's events from another's. */
  platform: string;
  /** ms since 1970 */
  now: () => number;
  send?: typeof deliver;
}

/** Interval at which the position is saved while all new events are of types that the webhook did not request, ms. */
const passedByMs = 1000;

const pauses = { firstPauseMs: 1000, longestPauseMs: 1000 };

/** Sends events to many webhooks concurrently. Each webhook gets its events in order, one at a time, from its position in the database. */
export class WebhookSender implements Worker {
  readonly name = 'webhooks';
  readonly figures = { delivered: 0, failed: 0 };
  /** Number of requests in progress. */
  private sending = 0;

  constructor(private readonly parts: SenderParts) {}

  /** An interrupted request would be sent again by another process. */
  isBusy(): boolean {
    return this.sending > 0;
  }

  /** Runs until the signal is aborted. Events report webhooks that are added, changed or removed in the meantime. */
  async run(signal: AbortSignal): Promise<void> {
    const { store, events } = this.parts;
    const running = new Map<string, { updated: number; stop: AbortController; done: Promise<void> }>();
    const { latest } = await extentOf(store);
    const look = async () => {
      const rows = await store.selectFrom('webhooks').selectAll().where('enabled', '=', 1).execute();
      for (const [id, { updated, stop, done }] of running) {
        if (rows.some((row) => row.id === id && row.updated === updated)) continue;
        stop.abort();
        await done;
        running.delete(id);
      }
      for (const row of rows) {
        if (running.has(row.id)) continue;
        const stop = new AbortController();
        const done = this.keepSending(row, AbortSignal.any([signal, stop.signal]));
        running.set(row.id, { updated: row.updated, stop, done });
      }
    };
    try {
      await look();
      for await (const page of events.feed.follow(latest, signal, { types: ['webhook.*'] })) {
        if (page.events.length > 0) await look();
      }
    } finally {
      for (const { stop } of running.values()) stop.abort();
      await Promise.all([...running.values()].map(({ done }) => done));
    }
  }

  private async keepSending(row: WebhookRow, signal: AbortSignal): Promise<void> {
    await untilDone(
      () => this.sendAll(row, signal),
      signal,
      pauses,
      (err) => {
        this.parts.log.error({ err, webhook: row.id }, 'could not process a webhook; retrying');
        return true;
      },
    );
  }

  /** Runs until the signal is aborted, or the webhook is disabled after failures. */
  private async sendAll(row: WebhookRow, signal: AbortSignal): Promise<void> {
    const { store, events } = this.parts;
    const types = JSON.parse(row.types) as string[];
    await sendOn<Page, number>(
      {
        cursor: {
          read: async () => Math.max(await positionOf(store, row.id), (await extentOf(store)).pruned),
          // A removed webhook no longer has a position.
          save: async (position) => {
            if (!signal.aborted) await savePosition(store, row.id, position);
          },
        },
        source: (after, ended) => events.feed.follow(after ?? 0, ended, { types }),
        deliver: async (page, arrived) => {
          for (const event of page.events) {
            if (!(await this.sendOne(row, event, signal))) return false;
            arrived(event.id);
          }
          arrived(page.last);
          return true;
        },
        saveEveryMs: passedByMs,
      },
      signal,
    );
  }

  /**
   * Sends an event, retrying until it is delivered. False = the event cannot be delivered, or not by this process; the position stays
   * before it.
   */
  private async sendOne(row: WebhookRow, event: PlatformEvent, signal: AbortSignal): Promise<boolean> {
    const { now, platform, send = deliver } = this.parts;
    for (;;) {
      const waitMs = (row.retryAt ?? 0) - now();
      if (waitMs > 0) await delay(Math.min(waitMs, 2 ** 31 - 1), undefined, { signal }).catch(() => {});
      if (signal.aborted) return false;
      this.sending++;
      try {
        const outcome = await send({
          ...{
            url: row.url,
            secrets: secretsOf(row, now()),
            allowPrivate: row.allowPrivate !== 0,
            now: now(),
            signal,
          },
          ...{ id: `evt_${platform}_${event.id}`, body: bodyOf(event) },
        });
        if (outcome.delivered) {
          await this.arrived(row, event.id);
          return true;
        }
        if (signal.aborted) return false;
        if (await this.failed(row, outcome)) return false;
      } finally {
        this.sending--;
      }
    }
  }

  private async arrived(row: WebhookRow, id: number): Promise<void> {
    this.figures.delivered++;
    const clear = { failures: 0, failingSince: null, retryAt: null, error: null };
    await this.parts.store.transaction().execute(async (transaction) => {
      await savePosition(transaction, row.id, id);
      if (row.failures > 0)
        await transaction.updateTable('webhooks').set(clear).where('id', '=', row.id).execute();
    });
    Object.assign(row, clear);
  }

  /** Records a failed delivery. Returns whether the webhook is now disabled. */
  private async failed(row: WebhookRow, { error, waitMs, gone }: Outcome): Promise<boolean> {
    const { store, events, now, log } = this.parts;
    this.figures.failed++;
    const at = now();
    const failingSince = row.failingSince ?? at;
    const over = gone === true || at - failingSince > givesUpAfterMs;
    const failures = row.failures + 1;
    const retryAt = over ? null : at + waitAfter(failures, waitMs);
    const set = { failures, failingSince, retryAt, error, ...(over ? { enabled: 0 } : {}) };
    await store.transaction().execute(async (transaction) => {
      await transaction.updateTable('webhooks').set(set).where('id', '=', row.id).execute();
      if (!over) return;
      const data = { url: originOf(row.url), reason: error ?? '' };
      await events.record({ who: 'platform', type: 'webhook.disable', subject: row.id, data }, transaction);
    });
    Object.assign(row, set);
    log.warn({ webhook: row.id, failures, error }, over ? 'disabled a webhook' : 'a webhook delivery failed');
    return over;
  }
}

export interface Delivery {
  url: string;
  /** The secrets used for signing: one, or two for a while after a rotation. */
  secrets: readonly string[];
  allowPrivate: boolean;
  /** Id of the message, the same for every attempt. */
  id: string;
  body: string;
  /** ms since 1970 */
  now: number;
  signal: AbortSignal;
  resolve?: Resolve;
}

export interface Outcome {
  delivered: boolean;
  status: number | null;
  ms: number;
  error: string | null;
  /** Delay requested by the target, ms. */
  waitMs?: number | undefined;
  /** Whether the target is permanently gone (410). */
  gone?: boolean;
}

const connectMs = 5000;

/** Timeout of a whole attempt, ms. */
const totalMs = 20_000;

/** Maximum number of bytes read from a response; only its status is needed. */
const mostAnswer = 64 * 1024;

/** Sends one signed POST. Never throws. */
export function deliver(delivery: Delivery): Promise<Outcome> {
  return postJson({ ...delivery, headers: headersOf(delivery) });
}

/** Sends one POST. Redirects are not followed, and no proxy is used. Never throws. */
export async function postJson({
  url,
  allowPrivate,
  body,
  headers,
  signal,
  resolve,
  now = Date.now(),
}: Pick<Delivery, 'url' | 'allowPrivate' | 'body' | 'signal' | 'resolve'> & {
  headers: Record<string, string>;
  now?: number;
}): Promise<Outcome> {
  const started = performance.now();
  const outcome = (status: number | null, error: string | null): Outcome => ({
    ...{ status, error, delivered: error === null },
    ms: Math.round(performance.now() - started),
  });
  const { request } = await import('undici');
  let agent: Agent | undefined;
  try {
    const target = checkTarget(url, allowPrivate);
    const lookup =
      isIP(target.hostname.replace(/^\[|\]$/g, '')) === 0 ? { lookup: lookupFor(allowPrivate, resolve) } : {};
    agent = await httpAgent({
      connect: { timeout: connectMs, ...lookup },
      pipelining: 0,
      maxHeaderSize: 16 * 1024,
    });
    const dispatcher = agent;
    const { statusCode, headers: answered } = await withTimeLimit(totalMs, signal, async (limit) => {
      const answer = await request(target, {
        ...{ method: 'POST', body, dispatcher },
        headers: { 'content-type': 'application/json', 'user-agent': 'aiot', ...headers },
        signal: limit,
        ...{ headersTimeout: totalMs, bodyTimeout: totalMs },
      });
      let bytes = 0;
      for await (const chunk of answer.body as AsyncIterable<Buffer>) {
        bytes += chunk.length;
        if (bytes > mostAnswer) break;
      }
      return answer;
    });
    if (statusCode >= 200 && statusCode < 300) return outcome(statusCode, null);
    const told = { ...outcome(statusCode, `it answered ${statusCode}`), gone: statusCode === 410 };
    return { ...told, waitMs: retryAfterMs(answered['retry-after'], now) };
  } catch (error) {
    return outcome(null, reasonOf(error));
  } finally {
    await agent?.destroy().catch(() => {});
  }
}

/** Signs with each secret; the signatures are separated by spaces (Standard Webhooks, "Signature scheme"). */
function headersOf({ secrets, body, id, now }: Delivery): Record<string, string> {
  const signed = secrets.map((secret) => signatureHeaders(secret, Buffer.from(body), id, now));
  const signatures = signed.map((headers) => headers['webhook-signature']).join(' ');
  return {
    ...signed[0],
    'webhook-signature': signatures,
    'content-type': 'application/json',
    'user-agent': 'aiot-webhooks',
  };
}

function reasonOf(error: unknown): string {
  if (error instanceof AiotError) return error.message;
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (cause instanceof AiotError) return cause.message;
  if (error instanceof Error && error.name === 'TimeoutError') return 'it took too long';
  return `no response (${systemCode(cause) ?? systemCode(error) ?? 'unknown error'})`;
}

/** Delays between attempts, ms: short at first, then longer in case of a long outage. */
const waits = [5, 30, 120, 300, 900, 1800, 3600, 7200, 14_400].map((seconds) => seconds * 1000);

/** Sending stops after this long without a success, ms. */
export const givesUpAfterMs = 5 * 86_400_000;

/**
 * Delay after a number of consecutive failures, ms. Randomly shortened by up to a quarter, so that webhooks that failed
 * at the same time do not retry at the same time.
 * @param wanted delay requested by the target; limited to the longest delay
 */
export function waitAfter(failures: number, wanted = 0, random: () => number = Math.random): number {
  const longest = waits.at(-1) ?? 0;
  const own = waits[Math.min(failures, waits.length) - 1] ?? longest;
  return Math.round(Math.max(own * (1 - random() / 4), Math.min(wanted, longest)));
}
