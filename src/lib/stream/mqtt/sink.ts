import { AiotError } from '../../core/errors.js';
import type { OutgoingMessage, Sink, StreamOptions } from '../message.js';
import type { StreamUrl } from '../url.js';
import { connectStream, disconnectBroker, mqttSettings, refusalOf } from './connect.js';
import { type BrokerLimits, createOutbox } from './outbox.js';
import { dismissal, sessionTakenOver, takenOver } from './reasons.js';

/** How long `close` waits for messages in flight, ms. */
const closeMs = 5000;

/**
 * Publishes messages, by default at QoS 1. `write` resolves when all of them have been acknowledged or, at QoS 0, when
 * the system has accepted the bytes. A message without a topic is sent to the URL's topic. In MQTT 5, headers are sent
 * as properties. In MQTT 3.1.1, a message with headers is rejected if `requireHeaders` is set; otherwise, it is sent
 * without the headers and counted.
 * @throws AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED, AIOT_STREAM_URL, AIOT_STREAM_MESSAGE_REFUSED
 */
export async function openMqttSink(url: StreamUrl, options: StreamOptions): Promise<Sink> {
  const settings = mqttSettings(url, options);
  const { endpoint, path } = url;
  const outbox = createOutbox(endpoint);
  /** Set when another client has taken our client id; this sink can then no longer write. */
  let ended: AiotError | undefined;
  /** Why the connection was lost, or could not be restored. */
  let why: AiotError | undefined;
  let stop = () => {};
  const client = await connectStream(url, options, settings, {
    ...outbox,
    dismissed(reason) {
      outbox.dismissed?.(reason);
      if (reason.code === sessionTakenOver) {
        // The error is retryable, because no message caused it. A route reopens the sink after a while.
        ended = takenOver(settings.clientId, endpoint, true);
        stop();
        outbox.end(ended);
      } else if (reason.code >= 128) why = dismissal(reason, endpoint);
    },
  });
  stop = () => void client.end(true);
  if (ended) stop();
  const carriesHeaders = (client.options.protocolVersion ?? 4) >= 5;
  let limits: BrokerLimits = {};
  const ready = () => {
    limits = client.serverProperties ?? {};
    outbox.ready(limits);
  };
  client.on('connect', () => {
    options.onState?.('connected');
    ready();
  });
  client.on('reconnect', outbox.trying);
  const lost = () => {
    outbox.over();
    options.onState?.('disconnected', ended ?? why);
    why = undefined;
  };
  client.on('close', lost);
  client.on('error', (error) => {
    why = refusalOf(error, endpoint) ?? why;
  });
  ready();
  return {
    endpoint,
    async write(messages) {
      if (ended) throw ended;
      let headless = 0;
      if (!carriesHeaders) for (const { headers } of messages) if (headers?.length) headless++;
      await outbox.write(messages.map(publishable));
      if (headless > 0) options.onHeadersDropped?.(headless);
    },
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
      throw new AiotError('AIOT_STREAM_URL', `${endpoint}: expected a topic without + or #, got "${topic}"`);
    }
    const refuse = (problem: string, next: string) => {
      throw new AiotError('AIOT_STREAM_MESSAGE_REFUSED', `${endpoint}: ${problem}`, { endpoint, next });
    };
    const { headers } = message;
    if (!carriesHeaders && options.requireHeaders && headers?.length) {
      const [name] = headers[0]!;
      refuse(
        `the message for ${topic} has the header ${name}, and the connection uses MQTT 3.1.1, which has no headers`,
        'Publish without headers, or with MQTT 5, if the broker supports it (see `aiot stream check`).',
      );
    }
    // The URL's QoS applies to every message; without one, a message's own QoS takes precedence over the default.
    const qos = settings.asked ?? message.qos ?? settings.qos;
    const retain = message.retain ?? settings.retain ?? false;
    const { maximumQoS: most = 2, retainAvailable = true } = limits;
    if (most === 0 && qos > 0)
      refuse(
        'the broker accepts messages only at QoS 0, which it does not acknowledge',
        'Add ?qos=0 to the address to send without acknowledgments.',
      );
    if (retain && !retainAvailable)
      refuse(`the broker does not retain messages, such as the one for ${topic}`, 'Publish without retain.');
    return { ...message, topic, qos: qos < most ? qos : (most as 0 | 1 | 2), retain };
  }
}
