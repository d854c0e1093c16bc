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
  refusalOf,
} from './connect.js';
import type { PacketHandlers, Wire } from './connection.js';
import { createPublishReader, type Frames, ProtocolError, type Published, packetType } from './packets.js';
import { dismissal, type Reason, sessionTakenOver, subscriptionError, takenOver } from './reasons.js';

/**
 * Advice after an invalid packet. The receiver must end the connection (MQTT 5, section 4.8), and a retained or unacknowledged packet is
 * resent on the next connection.
 */
const invalidPacketAdvice =
  'Find the publisher, and delete the message if it is retained; until then it may break each new connection.';

/**
 * Opens a subscription, at QoS 1 by default. A message is acknowledged to the broker once its delivery is acked, and any number may be
 * in flight. If the queue is full, messages are dropped, counted and acknowledged; with `overflow: 'wait'` the connection is not
 * read until there is room.
 * @throws AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED, AIOT_STREAM_URL
 */
export async function openMqttSource(url: StreamUrl, options: StreamOptions): Promise<Source> {
  const settings = mqttSettings(url, options);
  const { endpoint } = url;
  const filter = filterOf(url, settings);
  const queue = createQueue<Delivery>(options.queue ?? defaultQueue);
  let dropped = 0;
  let closed = false;
  const receiver = createReceiver({
    endpoint,
    queue,
    wait: options.overflow === 'wait',
    // Messages that arrive after the end do not count as dropped for lack of room.
    onDrop: () => !closed && dropped++,
  });
  const client = await connectStream(url, options, settings, receiver);
  client.on('connect', () => options.onState?.('connected'));
  /** Reason why the connection was lost or could not be restored. */
  let why: AiotError | undefined;
  const lost = () => {
    options.onState?.('disconnected', why);
    why = undefined;
  };
  client.on('close', lost);
  client.on('error', (error) => {
    why = refusalOf(error, endpoint) ?? why;
  });
  const leave = () => {
    client.off('close', lost);
    client.end(true);
  };
  const end = (error: unknown) => {
    queue.end(error);
    leave();
  };
  receiver.broken = (error) => {
    why = brokerError(error, endpoint, invalidPacketAdvice);
  };
  receiver.dismissed = (reason) => {
    if (reason.code === sessionTakenOver) end(takenOver(client.options.clientId, endpoint));
    else if (reason.code >= 128) why = dismissal(reason, endpoint);
  };
  const subscribed = subscribe(client, filter, settings, endpoint);
  // After the reader has started, a rejection ends the stream.
  subscribed.then(() => {
    // After a reconnect, mqtt.js subscribes again, but reports nothing if the broker rejects the subscription.
    client.on('packetreceive', (packet) => {
      const reason = packet.cmd === 'suback' ? refusedReason(packet) : undefined;
      if (reason) end(subscriptionError(reason, filter, endpoint));
    });
  }, end);
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
 * Waits until the broker has confirmed the subscription, or a message has arrived. Before the confirmation, a resumed session may
 * deliver more messages than the queue has room for, and without a consumer the confirmation would then never be read.
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
    const message = `${endpoint}: no response to the subscription within ${timeoutMs} ms`;
    throw new AiotError('AIOT_BROKER_UNREACHABLE', message, { endpoint, retryable: true });
  });
  late.catch(() => {});
  try {
    await untilAborted(Promise.race([subscribed, queue.whenAny(), late]), signal);
  } finally {
    limit.abort();
  }
}

/** The filter for a shared subscription contains its group (MQTT 5, section 4.8.2). @throws AIOT_STREAM_URL */
function filterOf({ path, endpoint }: StreamUrl, { group, noLocal }: MqttSettings): string {
  const filter = path === '' ? '#' : path;
  const shared = filter.startsWith('$share/');
  const refuse = (message: string, next: string) => {
    throw new AiotError('AIOT_STREAM_URL', `${endpoint}: ${message}`, { next });
  };
  if (shared && group !== undefined)
    refuse(
      `expected either a group or a filter with $share, got both: ${group} and ${filter}`,
      'Remove one of the two.',
    );
  if (shared && !/^\$share\/[^/+#]+\/./.test(filter))
    refuse(`expected $share/GROUP/FILTER, got ${filter}`, 'Write the filter alone, and add ?group=NAME.');
  // With this setting, the broker would end the connection with a protocol error (section 3.8.3.1).
  if (noLocal && (shared || group !== undefined))
    refuse('noLocal is not possible in a shared subscription', 'Remove noLocal or the group.');
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
    await client.subscribeAsync(filter, {
      qos,
      ...(noLocal === undefined ? {} : { nl: noLocal }),
      ...(retainAsPublished === undefined ? {} : { rap: retainAsPublished }),
      // The value 2 requests no retained messages on subscribing (section 3.8.3.1).
      ...(retained === false ? { rh: 2 as const } : {}),
    });
  } catch (error) {
    if (error instanceof Error && error.message.startsWith('Invalid topic')) {
      throw new AiotError(
        'AIOT_STREAM_URL',
        `${endpoint}: expected a filter such as a/+/b or a/#, got ${JSON.stringify(filter)}`,
        { cause: error },
      );
    }
    // mqtt.js attaches the packet to its error; only the packet contains the code.
    const reason =
      error instanceof Error && 'packet' in error ? refusedReason((error.packet ?? {}) as Suback) : undefined;
    throw reason ? subscriptionError(reason, filter, endpoint) : brokerError(error, endpoint);
  }
}

/** The fields of a SUBACK that are used here, in mqtt.js's form. */
interface Suback {
  granted?: unknown;
  properties?: { reasonString?: string };
}

/** Returns the reason if the SUBACK rejects the filter, or else undefined (sections 3.9.2.1 and 3.9.3). */
function refusedReason({ granted, properties }: Suback): Reason | undefined {
  const code = Array.isArray(granted) ? granted.find((one) => one >= 128) : undefined;
  const text = properties?.reasonString;
  return code === undefined ? undefined : { code, ...(text === undefined ? {} : { text }) };
}

interface ReceiverOptions {
  endpoint: string;
  queue: Queue<Delivery>;
  /**
   * True: while the queue is full, the broker has to wait, and nothing is dropped. False: the broker waits for at most
   * `graceMs`.
   */
  wait: boolean;
  /** Called for each dropped message. */
  onDrop(): void;
}

/**
 * If the reader takes no message for this long, messages are dropped, ms. Shorter times would cause losses on a busy machine, where the
 * program that reads our output may be suspended for more than 250 ms. A queue of 10,000 messages fills in a tenth of a second.
 */
const graceMs = 2000;

/** A message that was delivered but not acked yet. */
interface Held {
  wire: Wire;
  published: Published;
  /** QoS 2: whether our PUBREC was sent, and the broker's PUBREL is pending. */
  received: boolean;
}

/**
 * Creates the packet handlers of a subscription. When a delivery is acked, a PUBACK is sent at QoS 1 and a PUBREC at QoS 2 (MQTT 5, section
 * 4.3.3). At QoS 2, a message that arrives again before its PUBREL is not delivered again. When a session is resumed on a new connection,
 * the broker resends unacknowledged messages under the same ids (section 4.4). Messages that the reader still holds are not delivered
 * twice, but acknowledged over the new connection.
 */
function createReceiver(options: ReceiverOptions): PacketHandlers {
  const { endpoint, queue, wait, onDrop } = options;
  const read = createPublishReader();
  let held = new Map<number, Held>();
  let time = 0;
  let timed = false;
  /**
   * Whether the reader has not read a message for longer than the grace period. Messages are dropped until the reader
   * reads one.
   */
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

  /** The callbacks of a Delivery at QoS 1 or 2. Only the first call to ack or nack has an effect. */
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
    // Our CONNECT has no Topic Alias Maximum, so the broker must not use aliases (section 3.3.2.3.4).
    if (published.topic === '') throw new ProtocolError('a PUBLISH has no topic');
    const before = qos > 0 ? held.get(id) : undefined;
    if (before && (before.received || isAgain(published, before, wire))) {
      before.wire = wire;
      if (before.received) wire.ack(packetType.pubrec, id);
      return 'taken';
    }
    if (!timed) {
      // The clock is read once for all messages that arrived together.
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
      // The source is closing, so there will never be room. The message stays unacknowledged at the broker.
      if (qos > 0) held.delete(id);
      return 'taken';
    }
    if (wait || !stuck) {
      if (qos > 0) held.delete(id);
      holdUp(wire);
      return 'later';
    }
    onDrop();
    // The dropped message is acknowledged, because a broker that waits for the acknowledgment would send no further messages.
    word.ack();
    return 'taken';
  };

  return {
    opened(_wire, sessionPresent) {
      // Ids are valid only within their session.
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

/** QoS 0 needs no acknowledgment. */
const unneeded = { ack: nothing, nack: nothing };

/**
 * Whether a PUBLISH is a resent message. Not every broker sets DUP, but the same id on another connection can only belong to a resent
 * message.
 */
function isAgain(published: Published, before: Held, wire: Wire): boolean {
  const { topic, payload } = before.published;
  return (
    (published.dup || before.wire !== wire) && published.topic === topic && published.payload.equals(payload)
  );
}
