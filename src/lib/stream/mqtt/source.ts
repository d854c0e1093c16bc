import { setTimeout as delay } from 'node:timers/promises';
import type { MqttClient } from 'mqtt';
import { AiotError } from '../../core/errors.js';
import { untilAborted } from '../../core/tasks.js';
import type { Delivery, Source, StreamOptions } from '../message.js';
import { createQueue, defaultQueue, type Queue } from '../queue.js';
import type { StreamUrl } from '../url.js';
import {
  brokerError,
  connectStream,
  disconnectBroker,
  type MqttSettings,
  mqttSettings,
  subscriptionRefused,
} from './connect.js';
import type { PacketHandlers, Wire } from './connection.js';
import { createPublishReader, type Frames, type Published, packetType } from './packets.js';

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

interface ReceiverOptions {
  endpoint: string;
  queue: Queue<Delivery>;
  /** Hold the broker up when the queue is full, and drop nothing; otherwise it is held up for two seconds at most. */
  wait: boolean;
  /** A message was thrown away. */
  onDrop(): void;
}

/**
 * So long a reader may take nothing before messages are dropped, ms. A pipe is full for a moment whenever the program behind it does
 * not get its turn (on a busy machine for more than 250 ms), and a queue of 10,000 is full in a tenth of a second.
 */
const graceMs = 2000;

/** A message that its reader has, and has not acked. */
interface Held {
  wire: Wire;
  published: Published;
  /** QoS 2: our PUBREC went out; what is left is the broker's PUBREL. */
  received: boolean;
}

/**
 * The packet handlers of a subscription. QoS 1: the PUBACK goes out when the delivery is acked. QoS 2: the PUBREC does (MQTT 5, section 4.3.3),
 * and a message that comes again before its PUBREL is not delivered again. After a connection was lost and its session resumed, the
 * broker sends again what it has no acknowledgement of, under the same ids (section 4.4): what the reader still has is not
 * delivered twice, and acknowledged by the new connection.
 */
function createReceiver(options: ReceiverOptions): PacketHandlers {
  const { endpoint, queue, wait, onDrop } = options;
  const read = createPublishReader();
  let held = new Map<number, Held>();
  let time = 0;
  let timed = false;
  /** The reader has taken nothing for longer than the grace: until it does, what comes is thrown away. */
  let stuck = false;

  const acknowledge = (id: number, entry: Held, session: Map<number, Held>) => {
    const { wire, published } = entry;
    if (published.qos === 2) {
      entry.received = true;
      wire.ack(packetType.pubrec, id);
    } else {
      session.delete(id);
      wire.ack(packetType.puback, id);
    }
  };

  /** A Delivery of QoS 1 or 2. Whether it is acked or nacked, the first word counts. */
  const keep = (published: Published, wire: Wire): Pick<Delivery, 'ack' | 'nack'> => {
    const entry: Held = { wire, published, received: false };
    const session = held;
    const { id } = published;
    session.set(id, entry);
    let settled = false;
    return {
      ack: () => {
        if (!settled && session.get(id) === entry) acknowledge(id, entry, session);
        settled = true;
      },
      nack: () => {
        if (!settled && session.get(id) === entry) session.delete(id);
        settled = true;
      },
    };
  };

  const holdUp = (wire: Wire) => {
    const giveUp = () => {
      stuck = true;
      wire.release();
    };
    const timer = wait ? undefined : setTimeout(giveUp, graceMs);
    void queue.whenRoom().then(() => {
      clearTimeout(timer);
      stuck = false;
      wire.release();
    });
  };

  const publish = (frames: Frames, wire: Wire): 'taken' | 'later' => {
    const published = read(frames, wire.version);
    const { qos, id } = published;
    const before = qos > 0 ? held.get(id) : undefined;
    if (before && (before.received || isAgain(published, before, wire))) {
      before.wire = wire;
      if (before.received) wire.ack(packetType.pubrec, id);
      return 'taken';
    }
    if (!timed) {
      // One look at the clock for all that came together.
      timed = true;
      time = Date.now();
      setImmediate(() => {
        timed = false;
      });
    }
    const { topic, payload, retain, headers } = published;
    const word = qos === 0 ? unneeded : keep(published, wire);
    const taken = queue.push(
      {
        message: headers
          ? { topic, payload, time, headers, qos, retain, source: endpoint }
          : { topic, payload, time, qos, retain, source: endpoint },
        ack: word.ack,
        nack: word.nack,
      },
      payload.length,
    );
    if (taken) return 'taken';
    if (queue.ended) {
      // Its source is being closed: unacknowledged, it stays with the broker. To wait for room would be to wait for ever.
      if (qos > 0) held.delete(id);
      return 'taken';
    }
    if (wait || !stuck) {
      if (qos > 0) held.delete(id);
      holdUp(wire);
      return 'later';
    }
    onDrop();
    // A broker that waited for it would send no others.
    word.ack();
    return 'taken';
  };

  return {
    opened(_wire, sessionPresent) {
      // Ids mean something within their session.
      if (!sessionPresent) held = new Map();
    },
    packet(type, frames, wire) {
      if (type === packetType.publish) return publish(frames, wire);
      if (type !== packetType.pubrel || frames.to - frames.from < 2) return 'other';
      const id = frames.buffer.readUInt16BE(frames.from);
      held.delete(id);
      wire.ack(packetType.pubcomp, id);
      return 'taken';
    },
    closed() {},
  };
}

const nothing = () => {};

/** At QoS 0 the broker waits for no word. */
const unneeded = { ack: nothing, nack: nothing };

/** Not every broker sets DUP: under the same id on another connection it can be nothing else. */
function isAgain(published: Published, before: Held, wire: Wire): boolean {
  const { topic, payload } = before.published;
  return (
    (published.dup || before.wire !== wire) && published.topic === topic && published.payload.equals(payload)
  );
}
