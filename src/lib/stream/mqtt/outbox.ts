import { AiotError } from '../../core/index.js';
import type { OutgoingMessage } from '../message.js';
import { brokerError } from './errors.js';
import type { Lane, Wire } from './lane.js';
import { type Frames, packetType } from './wire/frames.js';
import { encodePublish } from './wire/publish.js';

/** Longest time without any acknowledgement while one is waited for, ms. */
const stallMs = 30_000;
/** A connection that ends within this time and with nothing acknowledged was ended for what we published, ms. */
const shortMs = 5000;
/** How often that has to be, one after the other. */
const hangUpsUntilRefused = 3;
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
  write(messages: readonly (OutgoingMessage & { qos: 0 | 1 | 2 })[]): Promise<void>;
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

/** One `write`. */
interface Batch {
  left: number;
  resolve(): void;
  reject(error: unknown): void;
}

interface Item {
  message: OutgoingMessage & { qos: 0 | 1 | 2 };
  /** Absent once its write has failed: then nobody waits for it. */
  batch: Batch | undefined;
  /** QoS 2: the broker has it, and our PUBREL is under way. */
  released: boolean;
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
  let openedAt = 0;
  let acknowledged = false;
  let letIn = false;
  let hangUps = 0;
  let pending: Item[] = [];
  let next = 0;
  let inFlight = new Map<number, Item>();
  let lastId = 0;
  let progress = 0;
  let watch: NodeJS.Timeout | undefined;
  const batches = new Set<Batch>();
  const whenIdle: (() => void)[] = [];

  const settle = (batch: Batch, error?: unknown) => {
    if (!batches.delete(batch)) return;
    if (error === undefined) batch.resolve();
    else {
      batch.reject(error);
      pending = pending.slice(next).filter((item) => item.batch !== batch);
      next = 0;
      for (const item of inFlight.values()) if (item.batch === batch) item.batch = undefined;
    }
    if (batches.size > 0) return;
    clearInterval(watch);
    for (const resolve of whenIdle.splice(0)) resolve();
  };
  const arrived = ({ batch }: Item) => {
    progress = Date.now();
    if (batch && --batch.left === 0) settle(batch);
  };
  const watchForStall = () => {
    if (batches.size > 0) return;
    progress = Date.now();
    watch = setInterval(() => {
      if (Date.now() - progress < stallMs) return;
      const message = `${endpoint}: no acknowledgement within ${stallMs / 1000} s`;
      const error = new AiotError('AIOT_BROKER_UNREACHABLE', message, { endpoint, retryable: true });
      for (const batch of [...batches]) settle(batch, error);
    }, 1000);
  };
  const freeId = () => {
    do lastId = lastId === 65_535 ? 1 : lastId + 1;
    while (inFlight.has(lastId));
    return lastId;
  };

  const send = (to: Wire, item: Item, id: number, dup: boolean) => {
    const { message } = item;
    const { topic, qos } = message;
    const packet = encodePublish(message, { topic, qos, id, dup, version: to.version });
    if (packet.length > (limits.maximumPacketSize ?? Number.POSITIVE_INFINITY)) {
      throw new AiotError(
        'AIOT_STREAM_MESSAGE_REFUSED',
        `${endpoint} takes packets of at most ${limits.maximumPacketSize} bytes, got one of ${packet.length} for ${topic}`,
      );
    }
    writer.add(to, packet, qos === 0 ? item : undefined);
  };
  /** Sends what may be sent now. */
  const pump = () => {
    const to = sending;
    if (!to?.open) return;
    const window = Math.min(mostInFlight, limits.receiveMaximum ?? 65_535);
    while (next < pending.length && !to.congested) {
      const item = pending[next]!;
      const { qos } = item.message;
      if (qos > 0 && inFlight.size >= window) break;
      next++;
      const id = qos === 0 ? 0 : freeId();
      try {
        send(to, item, id, false);
        if (qos > 0) inFlight.set(id, item);
      } catch (error) {
        if (item.batch) settle(item.batch, error);
      }
    }
    if (next === pending.length) {
      pending = [];
      next = 0;
    }
    writer.flush(to);
  };
  const writer = createWriter((items) => {
    for (const item of items) arrived(item);
  });

  /** What the last connection left open goes first: once more under its id, or as new where its session is gone. */
  const again = (to: Wire) => {
    const left = inFlight;
    inFlight = new Map();
    for (const [id, item] of left) {
      if (!item.batch) continue;
      inFlight.set(id, item);
      if (item.released && sessionPresent) to.ack(packetType.pubrel, id);
      else {
        item.released = false;
        send(to, item, id, sessionPresent);
      }
    }
    writer.flush(to);
  };

  const acked = (type: number, frames: Frames, from: Wire) => {
    const { buffer, from: at, to } = frames;
    const id = buffer.readUInt16BE(at);
    const item = inFlight.get(id);
    acknowledged = true;
    hangUps = 0;
    // A reason code stands after the id, if it is not success (MQTT 5, section 3.4.2.1).
    const reason = from.version === 5 && to - at > 2 ? buffer[at + 2]! : 0;
    if (item && type === packetType.pubrec && reason < 128) {
      item.released = true;
      from.ack(packetType.pubrel, id);
      return;
    }
    if (!item) return;
    inFlight.delete(id);
    if (reason < 128) arrived(item);
    else if (item.batch) settle(item.batch, refusal(reason, item.message.topic, endpoint));
    if (next < pending.length) pump();
  };

  return {
    opened(opened, present) {
      wire = opened;
      sessionPresent = present;
      openedAt = Date.now();
      acknowledged = false;
      letIn = true;
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
      pending = [...writer.reset(), ...pending.slice(next)];
      next = 0;
      // A 3.1.1 broker has no way to say that a topic is not allowed but to hang up. One that was killed is away for a while.
      const [oldest] = [...inFlight.values()].filter(({ batch }) => batch);
      if (acknowledged || !oldest?.batch || Date.now() - openedAt > shortMs) return;
      if (++hangUps < hangUpsUntilRefused) return;
      hangUps = 0;
      const message = `${endpoint} hangs up when we publish to ${oldest.message.topic}`;
      settle(oldest.batch, new AiotError('AIOT_BROKER_REFUSED', message, { endpoint }));
    },
    ready(said) {
      if (!wire?.open) return;
      limits = said;
      sending = wire;
      sending.onDrain = pump;
      again(sending);
      pump();
    },
    trying() {
      letIn = false;
    },
    over() {
      if (!letIn) hangUps = 0;
    },
    write: (messages) =>
      messages.length === 0
        ? Promise.resolve()
        : new Promise<void>((resolve, reject) => {
            watchForStall();
            const batch: Batch = { left: messages.length, resolve, reject };
            batches.add(batch);
            for (const message of messages) pending.push({ message, batch, released: false });
            pump();
          }),
    idle: () => (batches.size === 0 ? Promise.resolve() : new Promise((resolve) => whenIdle.push(resolve))),
    end() {
      const error = brokerError(new Error('closed before the broker had everything'), endpoint);
      for (const batch of [...batches]) settle(batch, error);
    },
  };
}

/** Puts packets together, so that many small ones are one write; tells when the system has those that nobody acknowledges. */
function createWriter(onHanded: (items: Item[]) => void) {
  let packets: Buffer[] = [];
  let bytes = 0;
  let unacknowledged: Item[] = [];
  const writing = new Set<Item[]>();
  const flush = (wire: Wire) => {
    if (packets.length === 0) return;
    const items = unacknowledged;
    const whole = packets.length === 1 ? packets[0]! : Buffer.concat(packets, bytes);
    packets = [];
    bytes = 0;
    unacknowledged = [];
    writing.add(items);
    wire.send(whole, () => {
      if (writing.delete(items)) onHanded(items);
    });
  };
  return {
    add(wire: Wire, packet: Buffer, item: Item | undefined) {
      packets.push(packet);
      bytes += packet.length;
      if (item) unacknowledged.push(item);
      if (bytes >= 64 * 1024) flush(wire);
    },
    flush,
    /** Forgets what was under way, and gives what is to be sent again. */
    reset(): Item[] {
      const items = [...writing].flat().concat(unacknowledged);
      writing.clear();
      packets = [];
      bytes = 0;
      unacknowledged = [];
      return items.filter(({ batch }) => batch);
    },
  };
}

/** Reason codes of a PUBACK or PUBREC that say no (MQTT 5, table 3-4). */
const reasons: Record<number, string> = {
  128: 'unspecified error',
  131: 'implementation specific error',
  135: 'not authorized',
  144: 'topic name invalid',
  145: 'packet identifier in use',
  151: 'quota exceeded',
  153: 'payload format invalid',
};

function refusal(reason: number, topic: string, endpoint: string): AiotError {
  const message = `${endpoint} does not take what we publish to ${topic}: ${reasons[reason] ?? `reason ${reason}`}`;
  return new AiotError('AIOT_BROKER_REFUSED', message, {
    endpoint,
    retryable: reason === 151 || reason === 145,
  });
}
