import { setTimeout as delay } from 'node:timers/promises';
import type { MqttClient } from 'mqtt';
import { AiotError, untilAborted } from '../../core/index.js';
import type { Delivery, Source } from '../message.js';
import type { StreamOptions } from '../options.js';
import { createQueue, defaultQueue, type Queue } from '../queue.js';
import type { StreamUrl } from '../url.js';
import { connectStream, disconnectBroker } from './connect.js';
import { brokerError, subscriptionRefused } from './errors.js';
import { createReceiver } from './receiver.js';
import { type MqttSettings, mqttSettings } from './settings.js';

/** Another client came with our client id (MQTT 5, table 2-6): coming back would only throw that one out. */
const sessionTakenOver = 142;

/**
 * A subscription, at QoS 1 unless told otherwise. A message is acknowledged to the broker when its delivery is acked, not before;
 * any number may be under way. When the queue is full, messages are dropped, counted and acknowledged; with `overflow: 'wait'` the
 * connection is not read from until there is room.
 * @throws AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED, AIOT_STREAM_URL
 */
export async function openMqttSource(url: StreamUrl, options: StreamOptions): Promise<Source> {
  const settings = mqttSettings(url, options);
  const { endpoint } = url;
  const queue = createQueue<Delivery>(options.queue ?? defaultQueue);
  let dropped = 0;
  let closed = false;
  const receiver = createReceiver({
    endpoint,
    queue,
    wait: options.overflow === 'wait',
    // What comes after the end was not lost for want of room.
    onDrop: () => !closed && dropped++,
  });
  const client = await connectStream(url, options, settings, receiver);
  client.on('connect', () => options.onState?.('connected'));
  const lost = () => options.onState?.('disconnected');
  client.on('close', lost);
  receiver.dismissed = (reason) => {
    if (reason !== sessionTakenOver) return;
    const message = `${endpoint}: another client connected with the client id ${client.options.clientId}`;
    const next = 'Give each its own: ?clientId=NAME';
    queue.end(new AiotError('AIOT_BROKER_REFUSED', message, { endpoint, next }));
    client.off('close', lost);
    client.end(true);
  };
  const leave = () => {
    client.off('close', lost);
    client.end(true);
  };
  const subscribed = subscribe(client, filterOf(url, settings), settings, endpoint);
  // Whoever reads already hears of a refusal by the end of what there is.
  subscribed.catch((error: unknown) => {
    queue.end(error);
    leave();
  });
  const { connectTimeoutMs = 10_000, signal } = options;
  try {
    await answered(subscribed, queue, connectTimeoutMs, endpoint, signal);
  } catch (error) {
    leave();
    throw error;
  }
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

/**
 * Waits until the broker has said yes to the subscription. A session that outlived its connection may bring more messages than the
 * queue has room for before that word comes; it would never be read if nobody began to take them, so a message is word enough.
 */
async function answered(
  subscribed: Promise<void>,
  queue: Queue<Delivery>,
  timeoutMs: number,
  endpoint: string,
  signal?: AbortSignal,
): Promise<void> {
  const limit = new AbortController();
  const late = delay(timeoutMs, undefined, { signal: limit.signal }).then(() => {
    const message = `${endpoint}: no answer to the subscription within ${timeoutMs} ms`;
    throw new AiotError('AIOT_BROKER_UNREACHABLE', message, { endpoint, retryable: true });
  });
  late.catch(() => {});
  try {
    await untilAborted(Promise.race([subscribed, queue.whenAny(), late]), signal);
  } finally {
    limit.abort();
  }
}

/** A shared subscription has its group in the filter (MQTT 5, section 4.8.2). */
function filterOf({ path }: StreamUrl, { group }: MqttSettings): string {
  const filter = path === '' ? '#' : path;
  return group === undefined ? filter : `$share/${group}/${filter}`;
}

async function subscribe(
  client: MqttClient,
  filter: string,
  settings: MqttSettings,
  endpoint: string,
): Promise<void> {
  const { qos, noLocal, retainAsPublished, retained } = settings;
  try {
    const granted = await client.subscribeAsync(filter, {
      qos,
      ...(noLocal === undefined ? {} : { nl: noLocal }),
      ...(retainAsPublished === undefined ? {} : { rap: retainAsPublished }),
      // 2 = none at the subscription (section 3.8.3.1).
      ...(retained === false ? { rh: 2 as const } : {}),
    });
    if (granted.every(({ qos }) => qos < 128)) return;
  } catch (error) {
    if (error instanceof Error && error.message.startsWith('Invalid topic')) {
      throw new AiotError(
        'AIOT_STREAM_URL',
        `${endpoint}: expected a filter such as a/+/b or a/#, got ${JSON.stringify(filter)}`,
        { cause: error },
      );
    }
    if (!subscriptionRefused(error)) throw brokerError(error, endpoint);
  }
  throw new AiotError('AIOT_BROKER_REFUSED', `${endpoint} does not let us subscribe to ${filter}`, {
    endpoint,
  });
}
