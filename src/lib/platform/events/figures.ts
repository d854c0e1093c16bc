import type { Events } from '../services/events.js';
import type { Store } from '../store/database.js';
import { extentOf } from './read.js';
import type { Relay } from './relay/relay.js';
import type { WebhookSender } from './webhooks/sender.js';

export interface FigureParts {
  store: Store;
  events: Events;
  relay: Relay | null;
  sender: WebhookSender;
  /** ms since 1970 */
  now: number;
}

type Figure = [name: string, type: 'counter' | 'gauge', help: string, value: number];

/** What /metrics says of events, and of where they go. */
export async function eventFigures({ store, events, relay, sender, now }: FigureParts): Promise<Figure[]> {
  const { latest } = await extentOf(store);
  const { delivered, failed } = sender.figures;
  const own: Figure[] = [
    ['aiot_events_last_id', 'gauge', 'Id of the newest event.', latest],
    ['aiot_events_listeners', 'gauge', 'Who follows the events just now.', events.feed.listening],
    ['aiot_webhook_delivered_total', 'counter', 'Events that webhooks took.', delivered],
    ['aiot_webhook_failed_total', 'counter', 'Attempts that failed.', failed],
  ];
  if (!relay) return own;
  const { state, events: told, telemetry } = relay.figures;
  const lag = (since: number | null) => (since === null ? 0 : Math.max(0, (now - since) / 1000));
  return [
    ...own,
    ['aiot_relay_connected', 'gauge', 'Whether Kafka or NATS is there.', state === 'connected' ? 1 : 0],
    ['aiot_relay_events_sent_total', 'counter', 'Events that were sent on.', told.sent],
    [
      'aiot_relay_telemetry_sent_total',
      'counter',
      'Messages of telemetry that were sent on.',
      telemetry.sent,
    ],
    [
      'aiot_relay_refused_total',
      'counter',
      'What the far side will never take.',
      told.refused + telemetry.refused,
    ],
    [
      'aiot_relay_events_lag',
      'gauge',
      'Events that are not known to be there.',
      latest - (await relay.position()),
    ],
    ['aiot_relay_events_lag_seconds', 'gauge', 'Age of the oldest that waits.', lag(told.waitingSince)],
    [
      'aiot_relay_telemetry_lag_seconds',
      'gauge',
      'Age of the oldest that waits.',
      lag(telemetry.waitingSince),
    ],
  ];
}
