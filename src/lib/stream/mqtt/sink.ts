import { AiotError } from '../../core/errors.js';
import type { OutgoingMessage, Sink, StreamOptions } from '../message.js';
import type { StreamUrl } from '../url.js';
import { connectStream, disconnectBroker, mqttSettings } from './connect.js';
import { createOutbox } from './outbox.js';

/** Longest time that `close` waits for messages in flight, ms. */
const closeMs = 5000;

/**
 * Publishes, by default at QoS 1: `write` resolves at the acknowledgements, at QoS 0 once the system has accepted the bytes. A
 * message without a topic goes to the URL's. Headers are sent as properties to brokers that support MQTT 5.
 * @throws AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED, AIOT_STREAM_URL, AIOT_STREAM_MESSAGE_REFUSED
 */
export async function openMqttSink(url: StreamUrl, options: StreamOptions): Promise<Sink> {
  const settings = mqttSettings(url, options);
  const { endpoint, path } = url;
  const outbox = createOutbox(endpoint);
  const client = await connectStream(url, options, settings, outbox);
  const ready = () => outbox.ready(client.serverProperties ?? {});
  client.on('connect', () => {
    options.onState?.('connected');
    ready();
  });
  client.on('reconnect', outbox.trying);
  const lost = () => {
    outbox.over();
    options.onState?.('disconnected');
  };
  client.on('close', lost);
  ready();
  return {
    endpoint,
    write: async (messages) => outbox.write(messages.map(publishable)),
    async close() {
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, client.connected ? closeMs : 0);
      });
      await Promise.race([outbox.idle(), late]);
      clearTimeout(timer);
      outbox.end();
      client.off('close', lost);
      await disconnectBroker(client);
    },
  };

  function publishable(message: OutgoingMessage): OutgoingMessage & { qos: 0 | 1 | 2 } {
    const topic = message.topic || path;
    if (topic === '' || /[+#\0]/.test(topic)) {
      throw new AiotError('AIOT_STREAM_URL', `${endpoint}: expected a topic without + and #, got "${topic}"`);
    }
    // The URL's QoS applies to every message; without one, a message's own takes precedence over the default.
    const qos = settings.asked ?? message.qos ?? settings.qos;
    const most = (client.serverProperties?.maximumQoS ?? 2) as 0 | 1 | 2;
    const retain = message.retain ?? settings.retain ?? false;
    return { ...message, topic, qos: qos < most ? qos : most, retain };
  }
}
