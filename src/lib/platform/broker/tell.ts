import type { Exposition } from '../figures/exposition.js';
import type { Broker } from './broker.js';

/** What /metrics says of the broker; what it holds only where it is in this process. */
export function tellBroker(out: Exposition, { figures, depths }: Pick<Broker, 'figures' | 'depths'>): void {
  out.gauge('aiot_mqtt_clients', 'Open MQTT connections.', figures.clients);
  out.counter('aiot_mqtt_connections_total', 'Sockets that came.', figures.connections);
  out.counter('aiot_mqtt_received_total', 'Messages that came and were allowed.', figures.received);
  out.counter('aiot_mqtt_sent_total', 'Messages that went out.', figures.sent);
  out.counter('aiot_mqtt_received_bytes_total', 'Bytes that came.', figures.bytesIn);
  out.counter('aiot_mqtt_sent_bytes_total', 'Bytes that went out.', figures.bytesOut);
  out.counter('aiot_mqtt_dropped_total', 'Messages that there was no room for.', figures.dropped);
  out.counter('aiot_mqtt_malformed_total', 'Messages that could not be read.', figures.malformed);
  out.counter('aiot_mqtt_refused_total', 'Connections and topics refused.', figures.refused);
  out.counter(
    'aiot_mqtt_timed_out_total',
    'Connections that were cut for what they did not do.',
    figures.timedOut,
  );
  out.counter('aiot_mqtt_sessions_expired_total', 'Sessions that nobody came back to.', figures.expired);
  const held = depths();
  if (!held) return;
  out.family('gauge', 'aiot_mqtt_sessions', 'Sessions, by whether somebody has them.', [
    [{ connected: 'true' }, held.sessionsConnected],
    [{ connected: 'false' }, held.sessions - held.sessionsConnected],
  ]);
  out.gauge('aiot_mqtt_subscriptions', 'Subscriptions of all sessions.', held.subscriptions);
  out.gauge('aiot_mqtt_queued_messages', 'Messages that wait for a session.', held.queuedMessages);
  out.gauge('aiot_mqtt_queued_bytes', 'The same, as of the last sweep.', held.queuedBytes);
  out.gauge('aiot_mqtt_retained_messages', 'Retained messages.', held.retainedMessages);
  out.gauge('aiot_mqtt_retained_bytes', 'Bytes of retained messages.', held.retainedBytes);
}
