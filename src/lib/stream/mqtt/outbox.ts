import { AiotError } from '../../core/index.js';
import { brokerError, publishRefused } from './errors.js';
import type { Lane, Wire } from './lane.js';
import { createBatches } from './outbox/batches.js';
import { createFlight } from './outbox/flight.js';
import { createHangUps } from './outbox/hang-ups.js';
import { createPending } from './outbox/pending.js';
import type { Batch, Item, Publishable } from './outbox/types.js';
import { createWriter } from './outbox/writer.js';
import { type Frames, packetType } from './wire/frames.js';
import { encodePublish } from './wire/publish.js';

/** Most messages under way, where the broker would take more. */
const mostInFlight = 8192;

/** What a broker said of itself in its CONNACK (MQTT 5, section 3.2.2.3); nothing in 3.1.1. */
export interface BrokerLimits {
  receiveMaximum?: number;
  maximumQoS?: number;
  maximumPacketSize?: number;
  retainAvailable?: boolean;
}

export interface Outbox extends Lane {
  /** Resolves when the broker has all of them. */
  write(messages: readonly Publishable[]): Promise<void>;
  /** The connection is ready; what was not acknowledged is sent again. */
  ready(limits: BrokerLimits): void;
  /** A connection is tried. */
  trying(): void;
  /** It is over, or could not be made: then the broker is away, rather than hanging up on us. */
  over(): void;
  /** Resolves when nothing is waited for any more. */
  idle(): Promise<void>;
  /** What is waited for fails. */
  end(): void;
}

/**
 * Publishes by a lane of its own: as many at once as the broker takes, in their order, and again, in that order, on the next
 * connection where no acknowledgement had come.
 */
export function createOutbox(endpoint: string): Outbox {
  let wire: Wire | undefined;
  let sending: Wire | undefined;
  let sessionPresent = false;
  let limits: BrokerLimits = {};
  const pending = createPending();
  const flight = createFlight();
  const hangUps = createHangUps();
  const batches = createBatches(endpoint, (batch: Batch) => {
    pending.drop(batch);
    flight.abandon(batch);
  });
  const writer = createWriter((items) => {
    for (const item of items) batches.arrived(item);
  });

  /** Whether there is room for one more at QoS 1 or 2. */
  const roomForOne = () => flight.underWay < Math.min(mostInFlight, limits.receiveMaximum ?? 65_535);
  /** @throws AIOT_STREAM_MESSAGE_REFUSED */
  const encode = ({ message }: Item, to: Wire, id: number, dup: boolean): Buffer => {
    const { topic, qos } = message;
    const packet = encodePublish(message, { topic, qos, id, dup, version: to.version });
    const { maximumPacketSize: most = Number.POSITIVE_INFINITY } = limits;
    if (packet.length <= most) return packet;
    const text = `${endpoint} takes packets of at most ${most} bytes, got one of ${packet.length} for ${topic}`;
    throw new AiotError('AIOT_STREAM_MESSAGE_REFUSED', text);
  };

  /** What the last connection left open: once more under its identifier, or as new where the session is gone. */
  const sendLeft = (to: Wire, id: number, item: Item): void => {
    try {
      // Its write may have failed since, and for that it is not sent again.
      if (item.batch && item.state !== 'released') {
        writer.add(to, encode(item, to, id, item.state === 'sent'));
        item.state = 'sent';
        flight.again();
        return;
      }
    } catch (error) {
      if (item.batch) batches.fail(item.batch, error);
    }
    flight.again();
    if (item.message.qos === 2 && item.state !== 'new') {
      item.state = 'released';
      to.ack(packetType.pubrel, id);
    } else flight.delete(id);
  };
  const sendFirst = (to: Wire, item: Item): void => {
    pending.shift();
    let id = 0;
    try {
      if (item.message.qos > 0) id = flight.add(item);
      writer.add(to, encode(item, to, id, false), id === 0 ? item : undefined);
    } catch (error) {
      if (id > 0) flight.delete(id);
      if (item.batch) batches.fail(item.batch, error);
    }
  };
  /** Sends what may be sent now. */
  const pump = () => {
    const to = sending;
    if (!to?.open) return;
    while (!to.congested) {
      const left = flight.left();
      const first = left?.[1] ?? pending.first();
      // A PUBREL may always go.
      if (!first || (first.message.qos > 0 && first.state !== 'released' && !roomForOne())) break;
      if (left) sendLeft(to, ...left);
      else sendFirst(to, first);
    }
    writer.flush(to);
  };

  const acked = (type: number, frames: Frames, from: Wire) => {
    const { buffer, from: at, to } = frames;
    const id = buffer.readUInt16BE(at);
    const item = flight.get(id);
    hangUps.acknowledged();
    // A reason code stands after the id, if it is not success (MQTT 5, section 3.4.2.1).
    const reason = from.version === 5 && to - at > 2 ? buffer[at + 2]! : 0;
    if (item && type === packetType.pubrec && reason < 128) {
      item.state = 'released';
      from.ack(packetType.pubrel, id);
      return;
    }
    if (!item) return;
    flight.delete(id);
    // A PUBCOMP that knows no such identifier is for a PUBREL that came twice (section 3.7.2.1).
    if (reason < 128 || type === packetType.pubcomp) batches.arrived(item);
    else if (item.batch) batches.fail(item.batch, publishRefused(reason, item.message.topic, endpoint));
    if (pending.length > 0 || flight.left()) pump();
  };

  return {
    opened(opened, present) {
      wire = opened;
      sessionPresent = present;
      hangUps.opened();
    },
    packet(type, frames, from) {
      const ours = type === packetType.puback || type === packetType.pubrec || type === packetType.pubcomp;
      if (!ours || frames.to - frames.from < 2) return 'other';
      acked(type, frames, from);
      return 'taken';
    },
    closed(lost) {
      if (lost !== wire) return;
      sending = undefined;
      // QoS 0 that the system had not taken goes out again.
      pending.unshift(writer.reset());
      const oldest = flight.oldest();
      if (!oldest?.batch || !hangUps.closed()) return;
      const message = `${endpoint} hangs up when we publish to ${oldest.message.topic}`;
      batches.fail(oldest.batch, new AiotError('AIOT_BROKER_REFUSED', message, { endpoint }));
    },
    ready(said) {
      if (!wire?.open) return;
      limits = said;
      sending = wire;
      sending.onDrain = pump;
      flight.renew(sessionPresent);
      pump();
    },
    trying: hangUps.trying,
    over: hangUps.over,
    write(messages) {
      if (messages.length === 0) return Promise.resolve();
      const { batch, done } = batches.open(messages.length);
      for (const message of messages) pending.add({ message, batch, state: 'new' });
      pump();
      return done;
    },
    idle: batches.idle,
    end: () => batches.failAll(brokerError(new Error('closed before the broker had everything'), endpoint)),
  };
}
