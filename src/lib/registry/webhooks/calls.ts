import { everyPage } from '../page.js';
import type { Transport } from '../transport.js';
import {
  type NewWebhook,
  removedWebhookSchema,
  type Webhook,
  type WebhookChange,
  type WebhookSecret,
  type WebhookTest,
  webhookSchema,
  webhookSecretSchema,
  webhooksSchema,
  webhookTestSchema,
} from './api.js';

export function webhookCalls(transport: Transport) {
  const path = (id: string) => `/webhooks/${encodeURIComponent(id)}`;
  return {
    /** The secret is told this once. @throws AIOT_WEBHOOK_TARGET for a target that may not be asked */
    add: (webhook: NewWebhook): Promise<WebhookSecret> =>
      transport.json('POST', '/webhooks', webhookSecretSchema, webhook),
    list: (): Promise<Webhook[]> =>
      everyPage(async (query) => {
        const { webhooks: entries, next } = await transport.json('GET', `/webhooks?${query}`, webhooksSchema);
        return { entries, next };
      }),
    get: (id: string): Promise<Webhook> => transport.json('GET', path(id), webhookSchema),
    change: (id: string, change: WebhookChange): Promise<Webhook> =>
      transport.json('PATCH', path(id), webhookSchema, change),
    /** Another secret, told this once; the one before signs too for a day. */
    rotate: (id: string): Promise<WebhookSecret> =>
      transport.json('POST', `${path(id)}/secret`, webhookSecretSchema, {}),
    test: (id: string): Promise<WebhookTest> =>
      transport.json('POST', `${path(id)}/test`, webhookTestSchema, {}),
    remove: (id: string): Promise<{ id: string; url: string }> =>
      transport.json('DELETE', path(id), removedWebhookSchema),
  };
}
