import type { Delivery } from '../message.js';
import type { Queue } from '../queue.js';
import type { Lane, Wire } from './lane.js';
import { type Frames, packetType } from './wire/frames.js';
import { createPublishReader, type Published } from './wire/publish.js';

export interface ReceiverOptions {
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
 * The lane of a subscription. QoS 1: the PUBACK goes out when the delivery is acked. QoS 2: the PUBREC does (MQTT 5, section 4.3.3),
 * and a message that comes again before its PUBREL is not delivered again. After a connection was lost and its session resumed, the
 * broker sends again what it has no acknowledgement of, under the same ids (section 4.4): what the reader still has is not
 * delivered twice, and acknowledged by the new connection.
 */
export function createReceiver(options: ReceiverOptions): Lane {
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
