import * as z from 'zod';
import { eventTypeSchema } from '../events/api.js';
import { time } from '../fields.js';
import { pageQuerySchema, pageSchema } from '../page.js';
import { endpoint } from './endpoint.js';

const types = z.array(eventTypeSchema).min(1).max(50);
const url = z.string().max(2000);

/**
 * POST /webhooks → {webhook, secret}. Each future event of these types is sent to the URL by POST, signed according to
 * Standard Webhooks. With `allowPrivate`, the target may be on this machine or on a private network, and may use plain
 * HTTP.
 */
export const newWebhookSchema = z.strictObject({
  url,
  types: types.default(['*']),
  allowPrivate: z.boolean().default(false),
});
export type NewWebhook = z.input<typeof newWebhookSchema>;

/** PATCH /webhooks/{id}. `enabled: true` resumes delivery of pending events immediately. */
export const webhookChangeSchema = z.strictObject({
  url: url.optional(),
  types: types.optional(),
  allowPrivate: z.boolean().optional(),
  enabled: z.boolean().optional(),
});
export type WebhookChange = z.output<typeof webhookChangeSchema>;

/** GET /webhooks, GET /webhooks/{id} */
export const webhookSchema = z.object({
  id: z.string(),
  url: z.string(),
  types: z.array(z.string()),
  allowPrivate: z.boolean(),
  enabled: z.boolean(),
  created: time,
  /** Id of the last event that was sent or skipped, as were all earlier events. */
  position: z.int(),
  /** Number of events of any type after that position. */
  behind: z.int(),
  /**
   * Number of consecutive failed attempts, the time of the first one, the last error, and the time of the next attempt.
   */
  failures: z.int(),
  failingSince: time.nullable(),
  error: z.string().nullable(),
  retryAt: time.nullable(),
});
export type Webhook = z.output<typeof webhookSchema>;
export const webhooksSchema = pageSchema('webhooks', webhookSchema);

/** POST /webhooks and POST /webhooks/{id}/secret: the only responses that contain the secret. A replaced secret remains valid for a day. */
export const webhookSecretSchema = z.object({ webhook: webhookSchema, secret: z.string() });
export type WebhookSecret = z.output<typeof webhookSecretSchema>;

/** POST /webhooks/{id}/test: the target's response to an event of the type `webhook.test`. */
export const webhookTestSchema = z.object({
  id: z.string(),
  delivered: z.boolean(),
  status: z.int().nullable(),
  ms: z.number(),
  error: z.string().nullable(),
});
export type WebhookTest = z.output<typeof webhookTestSchema>;

/** DELETE /webhooks/{id} */
export const removedWebhookSchema = z.object({ id: z.string(), url: z.string() });

const params = z.object({ id: z.string().max(100) });

/** Only operators may call these endpoints, because a webhook's URL may contain a third party's secret. */
const access = 'operator';

export const webhooks = {
  list: endpoint('GET /webhooks', {
    summary: 'Webhooks',
    access,
    query: pageQuerySchema,
    result: webhooksSchema,
    list: 'webhooks',
  }),
  get: endpoint('GET /webhooks/:id', { summary: 'One webhook', access, params, result: webhookSchema }),
  /** Adds a webhook. Only this response contains its secret. */
  add: endpoint('POST /webhooks', {
    summary: 'Add a webhook that sends signed events to a URL; the secret is shown only once',
    access,
    body: newWebhookSchema,
    result: webhookSecretSchema,
    location: ({ webhook }) => ['webhooks', webhook.id],
    errors: ['AIOT_WEBHOOK_TARGET'],
  }),
  change: endpoint('PATCH /webhooks/:id', {
    summary: 'Change a webhook, or enable it again',
    access,
    params,
    body: webhookChangeSchema,
    result: webhookSchema,
    errors: ['AIOT_WEBHOOK_TARGET'],
  }),
  /** Replaces the secret. For a day, events are also signed with the previous secret. */
  rotate: endpoint('POST /webhooks/:id/secret', {
    summary: "Replace a webhook's secret; the new one is shown only once",
    access,
    params,
    result: webhookSecretSchema,
  }),
  test: endpoint('POST /webhooks/:id/test', {
    summary: 'Send a test event now',
    access,
    params,
    result: webhookTestSchema,
  }),
  remove: endpoint('DELETE /webhooks/:id', {
    summary: 'Remove a webhook',
    access,
    params,
    result: removedWebhookSchema,
  }),
};
