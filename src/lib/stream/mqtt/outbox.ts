import { AiotError } from '../../core/errors.js';
import { deferred } from '../../core/tasks.js';
import type { OutgoingMessage } from '../message.js';
import { brokerError } from './connect.js';
import type { PacketHandlers, Wire } from './connection.js';
import { encodePublish, type Frames, packetType } from './packets.js';
import { isBrokersOwn, publishRefused, type Reason, readReason, reasonText } from './reasons.js';

type Publishable = OutgoingMessage & { qos: 0 | 1 | 2 };

/** The messages of one call of `write`. */
interface Batch {
  /** Number of messages in the batch that are not acknowledged yet. */
  left: number;
  resolve(): void;
  reject(error: unknown): void;
}

interface Item {
  message: Publishable;
  /** The write to which the message belongs; undefined once that write has failed. */
  batch: Batch | undefined;
  /** Progress of the message in the session. `released` (QoS 2) means that the broker has it, and our PUBREL is in flight. */
  state: 'new' | 'sent' | 'released';
}

/** Maximum number of messages in flight, if the broker would accept more. */
const mostInFlight = 8192;

/** A broker's limits from its CONNACK (MQTT 5, section 3.2.2.3); MQTT 3.1.1 has none. */
export interface BrokerLimits {
  receiveMaximum?: number;
  maximumQoS?: number;
  maximumPacketSize?: number;
  retainAvailable?: boolean;
  topicAliasMaximum?: number;
}

export interface Outbox extends PacketHandlers {
  /** Publishes the messages. Resolves once the broker has acknowledged all of them. */
  write(messages: readonly Publishable[]): Promise<void>;
  /** Called when the connection is ready: unacknowledged messages are resent. */
  ready(limits: BrokerLimits): void;
  /** Called when a connection attempt starts. */
  trying(): void;
  /**
   * Called when the connection has ended or an attempt has failed. The broker is then considered unreachable; it is not
   * considered to be rejecting our messages.
   */
  over(): void;
  /** Resolves once nothing is pending. */
  idle(): Promise<void>;
  /** Fails all pending writes. @param error the error to fail them with; by default, an error for a closed connection */
  end(error?: AiotError): void;
}

/**
 * Publishes messages without mqtt.js, in order and with as many in flight as the broker accepts. Unacknowledged messages are resent in
 * the same order on the next connection.
 */
export function createOutbox(endpoint: string): Outbox {
  let wire: Wire | undefined;
  let sending: Wire | undefined;
  let sessionPresent = false;
  let limits: BrokerLimits = {};
  /** The reason in the broker's DISCONNECT, if it sent one on this connection. */
  let dismissed: Reason | undefined;
  const aliases = createAliases();
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

  /** Whether another message at QoS 1 or 2 may be in flight. */
  const roomForOne = () => flight.underWay < Math.min(mostInFlight, limits.receiveMaximum ?? 65_535);
  /** @throws AIOT_STREAM_MESSAGE_REFUSED */
  const encode = ({ message }: Item, to: Wire, id: number, dup: boolean): Buffer => {
    const { topic, qos } = message;
    const alias = aliases.of(topic);
    const packet = encodePublish(message, { topic, qos, id, dup, version: to.version, ...alias });
    const { maximumPacketSize: most = Number.POSITIVE_INFINITY } = limits;
    if (packet.length <= most) {
      if (alias) aliases.sent(topic);
      return packet;
    }
    const text = `${endpoint} accepts packets of at most ${most} bytes; the packet for ${topic} has ${packet.length}`;
    throw new AiotError('AIOT_STREAM_MESSAGE_REFUSED', text);
  };

  /** Resends a message that was unacknowledged when the last connection ended, or frees its identifier if its write has failed. */
  const sendLeft = (to: Wire, id: number, item: Item): void => {
    try {
      // A message whose write has failed in the meantime is not resent.
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
  /** Sends everything that may be sent now. */
  const pump = () => {
    const to = sending;
    if (!to?.open) return;
    while (!to.congested) {
      const left = flight.left();
      const first = left?.[1] ?? pending.first();
      // A PUBREL may always be sent.
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
    const reason = from.version === 5 ? readReason(buffer, at + 2, to) : { code: 0 };
    const accepted = reason.code < 128;
    if (item && type === packetType.pubrec && accepted) {
      item.state = 'released';
      from.ack(packetType.pubrel, id);
      return;
    }
    if (!item) return;
    flight.delete(id);
    // A PUBCOMP with the reason "identifier not found" is the response to a PUBREL that arrived twice (section 3.7.2.1).
    if (accepted || type === packetType.pubcomp) batches.arrived(item);
    else if (item.batch) batches.fail(item.batch, publishRefused(reason, item.message.topic, endpoint));
    if (pending.length > 0 || flight.left()) pump();
  };

  return {
    opened(opened, present) {
      wire = opened;
      sessionPresent = present;
      dismissed = undefined;
      hangUps.opened();
    },
    dismissed(reason) {
      dismissed = reason;
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
      // QoS 0 messages that the system had not accepted are resent.
      pending.unshift(writer.reset());
      const oldest = flight.oldest();
      if (!oldest?.batch || (dismissed && isBrokersOwn(dismissed)) || !hangUps.closed()) return;
      const why = dismissed && dismissed.code >= 128 ? `: ${reasonText(dismissed)}` : '';
      const message = `${endpoint} closes the connection when we publish to ${oldest.message.topic}${why}`;
      batches.fail(oldest.batch, new AiotError('AIOT_BROKER_REFUSED', message, { endpoint }));
    },
    ready(said) {
      if (!wire?.open) return;
      limits = said;
      aliases.renew(said.topicAliasMaximum ?? 0);
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
    end: (error) =>
      batches.failAll(
        error ?? brokerError(new Error('closed before the broker acknowledged everything'), endpoint),
      ),
  };
}

/** Maximum number of topics with an alias, which is enough for the topics that a program uses repeatedly. */
const mostAliases = 64;

/** Numbers that replace topics in later packets of a connection (MQTT 5, section 3.3.2.3.4). */
interface Aliases {
  /** A topic's alias, and whether the broker already knows that alias; undefined if the topic has none. */
  of(topic: string): { alias: number; known: boolean } | undefined;
  /** Called when a packet with the topic and its alias is sent. */
  sent(topic: string): void;
  /**
   * Called for a new connection. The broker has no aliases for it yet. `most` is the maximum number of aliases that the
   * broker accepts.
   */
  renew(most: number): void;
}

/** Gives the first topics on a connection an alias, which they keep. */
function createAliases(): Aliases {
  const aliases = new Map<string, number>();
  let most = 0;
  return {
    of(topic) {
      // An alias takes three bytes, so it does not shorten a topic of three bytes or fewer.
      if (most === 0 || topic.length <= 3) return undefined;
      const alias = aliases.get(topic);
      if (alias !== undefined) return { alias, known: true };
      return aliases.size < most ? { alias: aliases.size + 1, known: false } : undefined;
    },
    sent(topic) {
      if (!aliases.has(topic)) aliases.set(topic, aliases.size + 1);
    },
    renew(accepted) {
      aliases.clear();
      most = Math.min(accepted, mostAliases);
    },
  };
}

/** Messages that were never sent, in order. */
interface Pending {
  readonly length: number;
  add(item: Item): void;
  first(): Item | undefined;
  /** Removes the first message. */
  shift(): void;
  /** Inserts these messages before all others. */
  unshift(items: readonly Item[]): void;
  /** Removes the messages of one write. */
  drop(batch: Batch): void;
}

/** Creates a queue with an index of its first item, because an array's `shift` would move all following items. */
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

/** Maximum time without an acknowledgment while messages are pending, ms. */
const stallMs = 30_000;

/** The pending writes. */
interface Batches {
  /** @returns the batch, and a promise that resolves when it is complete */
  open(messages: number): { batch: Batch; done: Promise<void> };
  /** Called when a message of the item's batch has been acknowledged. */
  arrived(item: Item): void;
  fail(batch: Batch, error: unknown): void;
  failAll(error: unknown): void;
  /** Resolves once nothing is pending. */
  idle(): Promise<void>;
}

/**
 * Tracks the pending writes. If nothing is acknowledged for `stallMs`, all of them fail with AIOT_BROKER_UNREACHABLE (retryable).
 * @param onFailed called with a batch whose messages no longer need to be sent
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
    const message = `${endpoint}: no acknowledgment within ${stallMs / 1000} s`;
    failAll(new AiotError('AIOT_BROKER_UNREACHABLE', message, { endpoint, retryable: true }));
  };

  return {
    open(messages) {
      if (batches.size === 0) {
        progress = performance.now();
        watch = setInterval(lookForStall, 1000);
      }
      const { promise: done, resolve, reject } = deferred();
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

/** Number of collected bytes that triggers a write. */
const largestWrite = 64 * 1024;

/** Combines packets, so that many small ones become one write. */
interface PacketWriter {
  /** Adds a packet. `item` is given for messages at QoS 0, which have no acknowledgment. */
  add(wire: Wire, packet: Buffer, item?: Item): void;
  flush(wire: Wire): void;
  /** Discards unsent packets, and returns the messages to resend. */
  reset(): Item[];
}

/** @param onHanded called once the system has accepted the bytes of the given messages, which have no acknowledgment */
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

/** Messages in flight at QoS 1 and 2, by packet identifier, in the order of first sending. */
interface Flight {
  /** Number of packets sent over this connection, including PUBRELs, that count against the broker's Receive Maximum (section 4.9). */
  readonly underWay: number;
  /**
   * Assigns an identifier to the item and marks it as sent. The caller keeps far fewer messages in flight than there
   * are identifiers.
   */
  add(item: Item): number;
  get(id: number): Item | undefined;
  delete(id: number): void;
  /**
   * Starts over on a new connection. Messages whose write is pending are resent (see `left`). Without the session, the broker knows none
   * of the identifiers.
   */
  renew(sessionPresent: boolean): void;
  /** The next pending message that has not been sent over this connection yet. */
  left(): [id: number, item: Item] | undefined;
  /** Called when the message returned by `left` is sent. */
  again(): void;
  /** Detaches the messages of a failed write. Sent messages keep their identifiers until the broker responds. */
  abandon(batch: Batch): void;
  /** The oldest message whose write is still pending. */
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
        // At QoS 2, the broker may still hold the identifier, and would drop a new message with the same identifier
        // as a duplicate. A PUBREL frees the identifier, whether or not the broker has the message (section 4.3.3). It
        // does not resend a message that was reported as failed.
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

/**
 * Limit for a short connection, ms. If a connection ends within this time without an acknowledgment, a published
 * message is considered the cause.
 */
const shortMs = 5000;

/** Number of consecutive short connections after which a message is considered rejected. */
const untilRefused = 3;

/**
 * Distinguishes a broker that closes the connection because of a published message from an unreachable broker. An MQTT
 * 3.1.1 broker cannot reject a topic in any other way (section 3.3.5), and a killed broker is only unreachable for a
 * while.
 */
interface HangUps {
  /** Called when a connection attempt starts. */
  trying(): void;
  /** Called when the broker has accepted the connection. */
  opened(): void;
  /** Called when a message has been acknowledged. */
  acknowledged(): void;
  /**
   * Called when the connection has ended while a message was in flight. Returns true if that has happened often enough to reject the
   * message.
   */
  closed(): boolean;
  /** Called when the connection has ended or an attempt has failed. */
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
