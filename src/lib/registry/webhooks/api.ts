import * as z from 'zod';
import { eventTypeSchema } from '../events/api.js';
import { time } from '../fields.js';
import { pageSchema } from '../page.js';

const types = z.array(eventTypeSchema).min(1).max(50);
const url = z.string().max(2000);

/**
 * POST /webhooks → {webhook, secret}. Events of these types are sent to the URL, one POST each, signed as Standard Webhooks says; they
 * begin with those to come. `allowPrivate`: the target may be this machine, or in a private network, and speak plain HTTP.
 */
export const newWebhookSchema = z.strictObject({
  url,
  types: types.default(['*']),
  allowPrivate: z.boolean().default(false),
});
export type NewWebhook = z.input<typeof newWebhookSchema>;

/** PATCH /webhooks/{id}. `enabled: true` begins again at once with what is due. */
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
  /** Id up to which all events were sent, or were not wanted. */
  position: z.int(),
  /** Events of any type behind it. */
  behind: z.int(),
  /** Attempts in a row that failed, since when, what the last one met, and when the next one is. */
  failures: z.int(),
  failingSince: time.nullable(),
  error: z.string().nullable(),
  retryAt: time.nullable(),
});
export type Webhook = z.output<typeof webhookSchema>;
export const webhooksSchema = pageSchema('webhooks', webhookSchema);

/** POST /webhooks and POST /webhooks/{id}/secret: told once. The secret before is good for a day more. */
export const webhookSecretSchema = z.object({ webhook: webhookSchema, secret: z.string() });
export type WebhookSecret = z.output<typeof webhookSecretSchema>;

/** POST /webhooks/{id}/test: what its target answered to an event of the type `webhook.test`. */
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
