import type { IPublishPacket, MqttClient } from 'mqtt';
import { AiotError } from '../../core/index.js';
import type { Delivery, Source } from '../message.js';
import type { StreamOptions } from '../options.js';
import { createQueue } from '../queue.js';
import type { StreamUrl } from '../url.js';
import { connectBroker, disconnectBroker } from './connect.js';
import { brokerError, subscriptionRefused } from './errors.js';

/** Members of mqtt.js that are not in its types; a test holds them to what is used here. */
interface Internals {
  _sendPacket(packet: { cmd: 'puback'; messageId: number }): void;
}

/**
 * A subscription. A QoS 1 message is PUBACKed when its delivery is acked, not before. When the queue is full, messages are
 * dropped and counted, and acknowledged: a broker that waited for them would send no others.
 * @throws AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED
 */
export async function openMqttSource(url: StreamUrl, options: StreamOptions): Promise<Source> {
  const { ca, cert, key, username, password, connectTimeoutMs } = options;
  const client = await connectBroker(url, { ca, cert, key, username, password, connectTimeoutMs });
  const { endpoint } = url;
  const queue = createQueue<Delivery>(options.queue ?? 10_000);
  let dropped = 0;
  let closed = false;
  /** Message ids mean something within one connection only. */
  let connection = 0;
  client.on('connect', () => {
    connection++;
    options.onState?.('connected');
  });
  const lost = () => options.onState?.('disconnected');
  client.on('close', lost);

  const puback = (packet: IPublishPacket, received: number) => {
    if (packet.qos !== 1 || packet.messageId === undefined) return;
    if (received !== connection || !client.connected) return;
    (client as unknown as Internals)._sendPacket({ cmd: 'puback', messageId: packet.messageId });
  };
  client.handleMessage = (packet, done) => {
    const received = connection;
    let settled = false;
    const ack = () => {
      if (!settled) puback(packet, received);
      settled = true;
    };
    const taken = queue.push(
      {
        message: {
          topic: packet.topic.toString(),
          payload: typeof packet.payload === 'string' ? Buffer.from(packet.payload) : packet.payload,
          time: Date.now(),
          qos: packet.qos,
          retain: packet.retain,
          source: endpoint,
        },
        ack,
        nack: () => {
          settled = true;
        },
      },
      packet.payload.length,
    );
    // mqtt.js sends the PUBACK itself, unless it is told of an error; it does nothing else with that.
    if (packet.qos === 1) done(new Error('acknowledged later'));
    else done();
    if (taken) return;
    // What comes after the end was not lost for want of room.
    if (!closed) dropped++;
    ack();
  };

  await subscribe(client, url.path === '' ? '#' : url.path, options.qos ?? 1, endpoint).catch(
    async (error: unknown) => {
      client.end(true);
      throw error;
    },
  );
  return {
    endpoint,
    get dropped() {
      return dropped;
    },
    [Symbol.asyncIterator]: () => queue[Symbol.asyncIterator](),
    async close() {
      closed = true;
      queue.end();
      client.off('close', lost);
      await disconnectBroker(client);
    },
  };
}

async function subscribe(
  client: MqttClient,
  filter: string,
  qos: 0 | 1 | 2,
  endpoint: string,
): Promise<void> {
  try {
    const granted = await client.subscribeAsync(filter, { qos });
    if (granted.every(({ qos }) => qos < 128)) return;
  } catch (error) {
    if (!subscriptionRefused(error)) throw brokerError(error, endpoint);
  }
  throw new AiotError('AIOT_BROKER_REFUSED', `${endpoint} does not let us subscribe to ${filter}`, {
    endpoint,
  });
}
