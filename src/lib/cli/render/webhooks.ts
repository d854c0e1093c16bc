import type { Webhook, WebhookTest } from '../../registry/index.js';
import { bold, dim, green, red } from './style.js';
import { elapsed, facts, table } from './text.js';
import { minute } from './time.js';

export function webhooksTable(webhooks: Webhook[]): string {
  const rows = webhooks.map((webhook) => {
    const { id, url, types, behind, error } = webhook;
    return [id, url, types.join(', '), stateOf(webhook), behind, error];
  });
  return table(['id', 'url', 'events', 'state', 'behind', 'last error'], rows, 'No webhooks yet.');
}

/** @param secret where it is told, this once */
export function webhookText(webhook: Webhook, secret?: string): string {
  const { id, url, types, created, behind, failures, failingSince, error, retryAt } = webhook;
  const lines: [string, string | number][] = [
    ['url', url],
    ['events', types.join(', ')],
    ['state', stateOf(webhook)],
    ['added', minute(created)],
    ['behind', behind],
  ];
  if (secret !== undefined) lines.push(['secret', `${secret}  ${dim('(shown once)')}`]);
  if (failingSince !== null) lines.push(['failing', `since ${minute(failingSince)}, ${failures} times`]);
  if (error !== null) lines.push(['last error', error]);
  if (retryAt !== null) lines.push(['next attempt', minute(retryAt)]);
  return `${bold(id)}\n${facts(lines)}`;
}

export function webhookTestText({ id, delivered, status, ms, error }: WebhookTest): string {
  const told = delivered ? green(`it answered ${status}`) : red(error ?? 'it did not arrive');
  return `${bold(id)}: ${told} ${dim(`after ${elapsed(ms)}`)}`;
}

function stateOf({ enabled, failures }: Webhook): string {
  if (!enabled) return red('given up');
  return failures > 0 ? red('failing') : green('sending');
}
