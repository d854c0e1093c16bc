import { AiotError } from '../../core/errors.js';
import type { OutgoingMessage } from '../message.js';
import { brokerError, publishRefused } from './connect.js';
import type { PacketHandlers, Wire } from './connection.js';
import { encodePublish, type Frames, packetType } from './packets.js';

type Publishable = OutgoingMessage & { qos: 0 | 1 | 2 };

/** One `write`. */
interface Batch {
  /** Messages that have not arrived. */
  left: number;
  resolve(): void;
  reject(error: unknown): void;
}

interface Item {
  message: Publishable;
  /** Absent once its write has failed: then nobody waits for it. */
  batch: Batch | undefined;
  /** What the session has seen of it. `released` = QoS 2: the broker has it, and our PUBREL is under way. */
  state: 'new' | 'sent' | 'released';
}

/** Most messages under way, where the broker would take more. */
const mostInFlight = 8192;

/** What a broker said of itself in its CONNACK (MQTT 5, section 3.2.2.3); nothing in 3.1.1. */
export interface BrokerLimits {
  receiveMaximum?: number;
  maximumQoS?: number;
  maximumPacketSize?: number;
  retainAvailable?: boolean;
}

export interface Outbox extends PacketHandlers {
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
 * Publishes beside mqtt.js: as many at once as the broker takes, in their order, and again, in that order, on the next
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

/** What was never sent, in its order. */
interface Pending {
  readonly length: number;
  add(item: Item): void;
  first(): Item | undefined;
  /** Takes the first away. */
  shift(): void;
  /** Puts these before all others. */
  unshift(items: readonly Item[]): void;
  /** Takes those of a write away. */
  drop(batch: Batch): void;
}

/** An array's own `shift` moves all that are behind. */
function createPending(): Pending {
  let items: Item[] = [];
  let next = 0;
  const keep = (kept: Item[]) => {
    items = kept;
    next = 0;
  };
  return {
    get length() {
      return items.length - next;
    },
    add: (item) => items.push(item),
    first: () => items[next],
    shift() {
      next++;
      if (next === items.length) keep([]);
    },
    unshift: (before) => keep([...before, ...items.slice(next)]),
    drop: (batch) => keep(items.slice(next).filter((item) => item.batch !== batch)),
  };
}

/** Longest time without any acknowledgement while one is waited for, ms. */
const stallMs = 30_000;

/** The writes that are waited for. */
interface Batches {
  /** @returns the batch, and a promise of its end */
  open(messages: number): { batch: Batch; done: Promise<void> };
  /** One of its messages is where it should be. */
  arrived(item: Item): void;
  fail(batch: Batch, error: unknown): void;
  failAll(error: unknown): void;
  /** Resolves when nothing is waited for any more. */
  idle(): Promise<void>;
}

/**
 * When nothing at all arrives for too long, all that wait fail with AIOT_BROKER_UNREACHABLE (retryable).
 * @param onFailed the batch's messages need not be sent any more
 */
function createBatches(endpoint: string, onFailed: (batch: Batch) => void): Batches {
  const batches = new Set<Batch>();
  const whenIdle: (() => void)[] = [];
  let progress = 0;
  let watch: NodeJS.Timeout | undefined;

  const over = (batch: Batch): boolean => {
    if (!batches.delete(batch)) return false;
    if (batches.size === 0) {
      clearInterval(watch);
      for (const resolve of whenIdle.splice(0)) resolve();
    }
    return true;
  };
  const fail = (batch: Batch, error: unknown) => {
    if (!over(batch)) return;
    batch.reject(error);
    onFailed(batch);
  };
  const failAll = (error: unknown) => {
    for (const batch of [...batches]) fail(batch, error);
  };
  const lookForStall = () => {
    if (performance.now() - progress < stallMs) return;
    const message = `${endpoint}: no acknowledgement within ${stallMs / 1000} s`;
    failAll(new AiotError('AIOT_BROKER_UNREACHABLE', message, { endpoint, retryable: true }));
  };

  return {
    open(messages) {
      if (batches.size === 0) {
        progress = performance.now();
        watch = setInterval(lookForStall, 1000);
      }
      const { promise: done, resolve, reject } = withResolvers();
      const batch: Batch = { left: messages, resolve, reject };
      batches.add(batch);
      return { batch, done };
    },
    arrived({ batch }) {
      progress = performance.now();
      if (batch && --batch.left === 0 && over(batch)) batch.resolve();
    },
    fail,
    failAll,
    idle: () => (batches.size === 0 ? Promise.resolve() : new Promise((resolve) => whenIdle.push(resolve))),
  };
}

/** As Promise.withResolvers, which Node 20 has not. */
function withResolvers() {
  let resolve = () => {};
  let reject: (error: unknown) => void = () => {};
  const promise = new Promise<void>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

/** Bytes from which on packets are not gathered any further. */
const largestWrite = 64 * 1024;

/** Puts packets together, so that many small ones are one write. */
interface PacketWriter {
  /** `item` where nobody acknowledges it (QoS 0). */
  add(wire: Wire, packet: Buffer, item?: Item): void;
  flush(wire: Wire): void;
  /** Forgets what was under way, and gives what is to be sent again. */
  reset(): Item[];
}

/** @param onHanded the system has the bytes of these, which nobody acknowledges */
function createWriter(onHanded: (items: readonly Item[]) => void): PacketWriter {
  let packets: Buffer[] = [];
  let bytes = 0;
  let unacknowledged: Item[] = [];
  const writing = new Set<Item[]>();
  const take = (): [Buffer[], number, Item[]] => {
    const taken: [Buffer[], number, Item[]] = [packets, bytes, unacknowledged];
    packets = [];
    bytes = 0;
    unacknowledged = [];
    return taken;
  };
  const flush = (wire: Wire) => {
    if (packets.length === 0) return;
    const [gathered, size, items] = take();
    writing.add(items);
    wire.send(gathered.length === 1 ? gathered[0]! : Buffer.concat(gathered, size), () => {
      if (writing.delete(items)) onHanded(items);
    });
  };
  return {
    add(wire, packet, item) {
      packets.push(packet);
      bytes += packet.length;
      if (item) unacknowledged.push(item);
      if (bytes >= largestWrite) flush(wire);
    },
    flush,
    reset() {
      const [, , items] = take();
      const lost = [...writing].flat().concat(items);
      writing.clear();
      return lost.filter(({ batch }) => batch);
    },
  };
}

/** Packet identifiers are 1 to 65,535 (MQTT 5, section 2.2.1). */
const mostIds = 65_535;

/** What is under way at QoS 1 and 2, by its packet identifier, in the order of the first sending. */
interface Flight {
  /** How many went out over this connection, PUBRELs too: what counts against the broker's Receive Maximum (section 4.9). */
  readonly underWay: number;
  /** Gives the item an identifier, as sent. The caller keeps far fewer under way than there are identifiers. */
  add(item: Item): number;
  get(id: number): Item | undefined;
  delete(id: number): void;
  /**
   * A new connection. Nothing was sent over it, and what is open is to be sent again: see `left`. Where the session is gone, the
   * broker knows none of the identifiers.
   */
  renew(sessionPresent: boolean): void;
  /** The first that this connection has not seen. */
  left(): [id: number, item: Item] | undefined;
  /** It goes out now. */
  again(): void;
  /** The write has failed. What went out stays until the broker answers: until then its identifier is not free. */
  abandon(batch: Batch): void;
  /** The oldest that somebody waits for. */
  oldest(): Item | undefined;
}

function createFlight(): Flight {
  const flying = new Map<number, Item>();
  let unsent: [number, Item][] = [];
  let next = 0;
  let lastId = 0;
  return {
    get underWay() {
      return flying.size - (unsent.length - next);
    },
    add(item) {
      do lastId = lastId === mostIds ? 1 : lastId + 1;
      while (flying.has(lastId));
      item.state = 'sent';
      flying.set(lastId, item);
      return lastId;
    },
    get: (id) => flying.get(id),
    delete: (id) => flying.delete(id),
    renew(sessionPresent) {
      for (const [id, item] of flying) {
        if (!sessionPresent) item.state = 'new';
        if (item.batch) continue;
        // At QoS 2 the broker may hold the identifier: another message under it would be taken for this one, and be lost. A PUBREL
        // frees it, whether the broker had the message or not (section 4.3.3), and sends nothing again that was said to have failed.
        if (item.message.qos === 2 && item.state !== 'new') item.state = 'released';
        else flying.delete(id);
      }
      unsent = [...flying];
      next = 0;
    },
    left: () => unsent[next],
    again() {
      next++;
      if (next < unsent.length) return;
      unsent = [];
      next = 0;
    },
    abandon(batch) {
      for (const item of flying.values()) if (item.batch === batch) item.batch = undefined;
    },
    oldest() {
      for (const item of flying.values()) if (item.batch) return item;
      return undefined;
    },
  };
}

/** A connection that ends within this time and with nothing acknowledged was ended for what we published, ms. */
const shortMs = 5000;

/** How often that has to be, one after the other. */
const untilRefused = 3;

/**
 * Tells a broker that hangs up on what we publish from one that is away: an MQTT 3.1.1 broker has no other way to say that a topic is
 * not allowed (section 3.3.5), and one that was killed is away for a while.
 */
interface HangUps {
  /** A connection is tried. */
  trying(): void;
  /** The broker let us in. */
  opened(): void;
  /** Something was acknowledged. */
  acknowledged(): void;
  /** It ended while a message was under way. True = so often now that the message is refused. */
  closed(): boolean;
  /** It is over, or could not be made. */
  over(): void;
}

function createHangUps(): HangUps {
  let openedAt = 0;
  let letIn = false;
  let anyAcknowledged = false;
  let count = 0;
  return {
    trying() {
      letIn = false;
    },
    opened() {
      openedAt = performance.now();
      anyAcknowledged = false;
      letIn = true;
    },
    acknowledged() {
      anyAcknowledged = true;
      count = 0;
    },
    closed() {
      if (anyAcknowledged || performance.now() - openedAt > shortMs) return false;
      if (++count < untilRefused) return false;
      count = 0;
      return true;
    },
    over() {
      if (!letIn) count = 0;
    },
  };
}
