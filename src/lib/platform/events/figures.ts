import type { Exposition } from '../figures/exposition.js';
import type { Events } from '../services/events.js';
import type { Store } from '../store/database.js';
import { extentOf } from './read.js';
import type { Relay } from './relay/relay.js';
import { cursorName } from './webhooks/rows.js';
import type { WebhookSender } from './webhooks/sender.js';

export interface FigureParts {
  store: Store;
  events: Events;
  relay: Relay | null;
  sender: WebhookSender;
}

/** What /metrics says of events, and of where they go. @param now ms since 1970 */
export async function tellEvents(out: Exposition, parts: FigureParts, now: number): Promise<void> {
  const { store, events, relay, sender } = parts;
  const { latest } = await extentOf(store);
  out.gauge('aiot_events_last_id', 'Id of the newest event.', latest);
  out.gauge('aiot_events_listeners', 'Who follows the events just now.', events.feed.listening);
  await tellWebhooks(out, store, latest);
  out.counter('aiot_webhook_delivered_total', 'Events that webhooks took.', sender.figures.delivered);
  out.counter('aiot_webhook_failed_total', 'Attempts that failed.', sender.figures.failed);
  if (relay) await tellRelay(out, relay, latest, now);
}

async function tellWebhooks(out: Exposition, store: Store, latest: number): Promise<void> {
  const rows = await store
    .selectFrom('webhooks')
    .select(['id', 'enabled', 'failures'])
    .orderBy('id')
    .execute();
  const cursors = await store.selectFrom('cursors').selectAll().execute();
  const at = new Map(cursors.map(({ name, position }) => [name, Number(position)]));
  const enabled = rows.filter((row) => row.enabled !== 0);
  const failing = enabled.filter(({ failures }) => failures > 0).length;
  out.family('gauge', 'aiot_webhooks', 'Webhooks, by how they are.', [
    [{ state: 'well' }, enabled.length - failing],
    [{ state: 'failing' }, failing],
    [{ state: 'disabled' }, rows.length - enabled.length],
  ]);
  out.family(
    'gauge',
    'aiot_webhook_backlog_events',
    'Events that a webhook has not been sent or passed by.',
    enabled.map(({ id }) => [{ webhook: id }, Math.max(0, latest - (at.get(cursorName(id)) ?? 0))]),
  );
}

async function tellRelay(out: Exposition, relay: Relay, latest: number, now: number): Promise<void> {
  const { state, events, telemetry } = relay.figures;
  const lag = (since: number | null) => (since === null ? 0 : Math.max(0, (now - since) / 1000));
  out.gauge('aiot_relay_connected', 'Whether Kafka or NATS is there.', state === 'connected' ? 1 : 0);
  out.counter('aiot_relay_events_sent_total', 'Events that were sent on.', events.sent);
  out.counter('aiot_relay_telemetry_sent_total', 'Messages of telemetry that were sent on.', telemetry.sent);
  out.counter(
    'aiot_relay_refused_total',
    'What the far side will never take.',
    events.refused + telemetry.refused,
  );
  out.gauge(
    'aiot_relay_events_lag',
    'Events that are not known to be there.',
    latest - (await relay.position()),
  );
  out.gauge('aiot_relay_events_lag_seconds', 'Age of the oldest that waits.', lag(events.waitingSince));
  out.gauge('aiot_relay_telemetry_lag_seconds', 'Age of the oldest that waits.', lag(telemetry.waitingSince));
}
