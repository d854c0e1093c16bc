import { parseTopic } from '../../device/protocol/codec.js';
import { type BrokerCounts, type LogRecord, logged, mostNoted, unlogged } from './session-log.js';
import { type Subscriptions, topicMatcher } from './topics.js';
import { type BrokerMessage, type Qos, weightOf } from './wire.js';

/** A will, and its author: the name of a device, or null. */
export interface Will {
  message: BrokerMessage;
  device: string | null;
}

/** The broker's persistent state: sessions by key, their subscriptions, wills of connected clients, retained messages. */
export class BrokerState {
  readonly sessions = new Map<string, Session>();
  readonly wills = new Map<string, Will>();
  /** Number of the newest message in the log. */
  number = 0;

  constructor(
    readonly subscriptions: Subscriptions<Session>,
    readonly retained: Retained,
  ) {}

  subscribe(session: Session, filter: string, qos: 0 | 1 | 2): void {
    session.subscriptions.set(filter, qos);
    this.subscriptions.add(filter, session, qos);
  }

  unsubscribe(session: Session, filter: string): void {
    if (session.subscriptions.delete(filter)) this.subscriptions.remove(filter, session);
  }

  /** Deletes a session with everything queued for it. */
  end(session: Session): void {
    for (const filter of session.subscriptions.keys()) this.subscriptions.remove(filter, session);
    session.subscriptions.clear();
    if (this.sessions.get(session.key) === session) this.sessions.delete(session.key);
  }

  /** Replays a line of the log. A line for a session that has ended changes nothing. */
  apply(record: LogRecord): void {
    if (record.k === 'message') {
      this.applyMessage(record);
      return;
    }
    const session = this.sessions.get(record.s);
    switch (record.k) {
      case 'session': {
        const known = session ?? new Session(record.s, true);
        known.offlineSince = record.off;
        this.sessions.set(record.s, known);
        break;
      }
      case 'will':
        if (record.m) this.wills.set(record.s, { message: unlogged(record.m), device: record.who ?? null });
        else this.wills.delete(record.s);
        break;
      case 'end':
        if (session) this.end(session);
        break;
      case 'sub':
        if (session) for (const [filter, qos] of record.f) this.subscribe(session, filter, qos);
        break;
      case 'unsub':
        if (session) for (const filter of record.f) this.unsubscribe(session, filter);
        break;
      case 'done':
        session?.forget(record.n);
        break;
      case 'received':
        session?.markReceived(record.n);
        break;
      case 'seen':
        for (const id of record.id) session?.incoming.set(id, true);
        break;
      case 'release':
        session?.incoming.delete(record.id);
        break;
    }
  }

  private applyMessage({ n, m, to, r, from, state }: LogRecord & { k: 'message' }): void {
    this.number = Math.max(this.number, n);
    const message = unlogged(m);
    if (r) this.retained.set(message);
    for (const [key, qos, id] of to) {
      // The log does not record whether it was sent: after a restart, assume that everything was.
      this.sessions.get(key)?.restore({ number: n, message, qos, id, state: state ?? 'again' });
    }
    if (from) this.sessions.get(from[0])?.incoming.set(from[1], true);
  }

  /** Counts of the state, with the names of some of it. */
  counts(): BrokerCounts {
    const counts: BrokerCounts = { retained: 0, sessions: 0, names: [] };
    for (const { topic } of this.retained.logged()) {
      if (counts.retained++ < mostNoted) counts.names.push(`retained message ${topic}`);
    }
    for (const { key, persistent } of this.sessions.values()) {
      if (persistent && counts.sessions++ < mostNoted) counts.names.push(`session ${key}`);
    }
    return counts;
  }

  *snapshot(): Generator<LogRecord> {
    yield { k: 'message', n: this.number, m: ['', '', 0, false], to: [] };
    for (const message of this.retained.logged()) {
      yield { k: 'message', n: 0, m: logged(message), to: [], r: true };
    }
    for (const [s, { message, device }] of this.wills) {
      yield { k: 'will', s, m: logged(message), ...(device === null ? {} : { who: device }) };
    }
    for (const session of this.sessions.values()) {
      if (session.persistent) yield* this.snapshotOf(session);
    }
  }

  private *snapshotOf(session: Session): Generator<LogRecord> {
    const { key: s } = session;
    yield { k: 'session', s, off: session.offlineSince };
    if (session.subscriptions.size > 0) yield { k: 'sub', s, f: [...session.subscriptions] };
    const seen = [...session.incoming].filter(([, stored]) => stored).map(([id]) => id);
    if (seen.length > 0) yield { k: 'seen', s, id: seen };
    for (const { number, message, qos, id, state } of session.entries()) {
      const released = state === 'released' ? { state } : {};
      yield { k: 'message', n: number, m: logged(message), to: [[s, qos, id]], ...released };
    }
  }
}

/** Destination of a session's packets while its client is connected. */
export interface Link {
  sendMessage(message: BrokerMessage, qos: Qos, id: number, dup: boolean): void;
  sendRelease(id: number): void;
  /** Whether it can accept more now. */
  readonly roomy: boolean;
  /** Bytes accepted so far. */
  readonly taken: number;
}

/** A message in flight to a session, with QoS 1 or 2. */
interface Outgoing {
  /** Number of the message in the log; 0 = not in the log. */
  number: number;
  message: BrokerMessage;
  qos: 1 | 2;
  id: number;
  /** `released`: the client has it (PUBREC), and must release its id. */
  state: 'waiting' | 'sent' | 'again' | 'released';
}

/** Maximum number of messages sent but not acknowledged. */
const window = 100;

const largestId = 65_535;

/** Client state that survives between connections (MQTT 3.1.1, 4.1); a clean session keeps none. */
export class Session {
  readonly subscriptions = new Map<string, Qos>();
  /** By packet id, in order. */
  private readonly outgoing = new Map<number, Outgoing>();
  /** Messages still to be sent, from `next` on. */
  private unsent: Outgoing[] = [];
  private next = 0;
  private inFlight = 0;
  private lastId = 0;
  /** QoS 2 ids received and not released: true = stored. */
  readonly incoming = new Map<number, boolean>();
  link: Link | null = null;
  bytes = 0;
  /** Increases with each acknowledgement. */
  progress = 0;
  /** Called when the session may have caught up. */
  readonly waiters = new Set<() => void>();
  /** Since when its client is disconnected, ms since 1970; null while connected. */
  offlineSince: number | null = null;

  constructor(
    readonly key: string,
    readonly persistent: boolean,
  ) {}

  get queued(): number {
    return this.outgoing.size;
  }

  entries(): IterableIterator<Outgoing> {
    return this.outgoing.values();
  }

  /** Returns a free packet id, reused only after all others; 0 = none is free. */
  freeId(): number {
    if (this.outgoing.size >= largestId) return 0;
    do this.lastId = this.lastId === largestId ? 1 : this.lastId + 1;
    while (this.outgoing.has(this.lastId));
    return this.lastId;
  }

  add(entry: Outgoing): void {
    this.outgoing.set(entry.id, entry);
    this.bytes += weightOf(entry.message);
    if (entry.state === 'released') this.inFlight++;
    else this.unsent.push(entry);
  }

  /** Restores an entry from an earlier run's log. */
  restore(entry: Outgoing): void {
    this.add(entry);
    this.lastId = entry.id;
  }

  /** Removes the oldest message that is not in flight. */
  dropOldest(): Outgoing | null {
    for (let at = this.next; at < this.unsent.length; at++) {
      const entry = this.unsent[at]!;
      // The client may know the id of a QoS 2 message that was sent before.
      if (entry.state !== 'waiting' && (entry.state !== 'again' || entry.qos === 2)) continue;
      this.unsent.splice(at, 1);
      this.take(entry);
      return entry;
    }
    return null;
  }

  /** Removes messages not in flight for which `isFit` is false; for a session whose client is disconnected. */
  *refit(isFit: (topic: string) => boolean): Generator<Outgoing> {
    for (const entry of [...this.outgoing.values()]) {
      if (entry.state === 'released' || isFit(entry.message.topic)) continue;
      this.take(entry);
      yield entry;
    }
  }

  /** Sends as many messages as the window allows. */
  pump(): void {
    const { link } = this;
    if (!link) return;
    while (this.inFlight < window && this.next < this.unsent.length && link.roomy) {
      const entry = this.unsent[this.next++]!;
      if (this.outgoing.get(entry.id) !== entry) continue;
      const dup = entry.state === 'again';
      entry.state = 'sent';
      this.inFlight++;
      link.sendMessage(entry.message, entry.qos, entry.id, dup);
    }
    if (this.next === this.unsent.length || this.next > 1000) {
      this.unsent = this.unsent.slice(this.next);
      this.next = 0;
    }
    for (const waiter of this.waiters) waiter();
  }

  /** A new connection: unacknowledged messages are resent in order (MQTT 3.1.1, 4.4). */
  attach(link: Link): void {
    this.link = link;
    this.offlineSince = null;
    this.rewind();
    for (const { state, id } of this.outgoing.values()) if (state === 'released') link.sendRelease(id);
    this.pump();
  }

  detach(now: number): void {
    this.link = null;
    this.offlineSince = now;
    this.rewind();
  }

  private rewind(): void {
    this.unsent = [];
    this.next = 0;
    this.inFlight = 0;
    for (const entry of this.outgoing.values()) {
      if (entry.state === 'released') this.inFlight++;
      else this.unsent.push(entry);
      if (entry.state === 'sent') entry.state = 'again';
    }
  }

  /** Handles PUBACK or PUBCOMP: the message is done. Returns it, or null when no message has this id. */
  acknowledged(id: number, qos: 1 | 2): Outgoing | null {
    const entry = this.outgoing.get(id);
    if (!entry || entry.qos !== qos || (qos === 2 ? entry.state !== 'released' : entry.state !== 'sent'))
      return null;
    this.inFlight--;
    this.progress++;
    this.take(entry);
    return entry;
  }

  /** Handles PUBREC: the payload is no longer needed. */
  received(id: number): Outgoing | null {
    const entry = this.outgoing.get(id);
    if (entry?.qos !== 2 || entry.state !== 'sent') return null;
    this.progress++;
    this.release(entry);
    return entry;
  }

  /** Removes a message regardless of its state: used when an earlier run's log is replayed. */
  forget(number: number): void {
    for (const entry of this.outgoing.values()) {
      if (entry.number === number) {
        this.take(entry);
        return;
      }
    }
  }

  /** Same as `received`, for replaying the log. */
  markReceived(number: number): void {
    for (const entry of this.outgoing.values()) {
      if (entry.number !== number) continue;
      this.release(entry);
      return;
    }
  }

  /** The client has it: only its id is still needed. */
  private release(entry: Outgoing): void {
    this.bytes -= weightOf(entry.message);
    entry.state = 'released';
    entry.message = { ...entry.message, topic: '', payload: Buffer.alloc(0) };
  }

  private take(entry: Outgoing): void {
    this.outgoing.delete(entry.id);
    this.bytes -= weightOf(entry.message);
  }
}

/** The last retained message of each topic. */
export class Retained {
  private readonly byTopic = new Map<string, BrokerMessage>();
  bytes = 0;
  /** Messages retained by clients: the platform's own do not count against the limit. */
  private readonly theirs = { messages: 0, bytes: 0 };

  constructor(private readonly limits: { messages: number; bytes: number }) {}

  get count(): number {
    return this.byTopic.size;
  }

  get(topic: string): BrokerMessage | undefined {
    return this.byTopic.get(topic);
  }

  /** Whether there is room for it; the platform's own messages always fit. */
  mayKeep(message: BrokerMessage): boolean {
    const { topic, payload } = message;
    const before = this.byTopic.get(topic);
    if (payload.length === 0 || !isLogged(topic)) return true;
    const { messages, bytes } = this.theirs;
    const after = bytes + weightOf(message) - (before ? weightOf(before) : 0);
    return after <= this.limits.bytes && (before !== undefined || messages < this.limits.messages);
  }

  /** An empty payload deletes the retained message (MQTT 3.1.1, 3.3.1.3). */
  set(message: BrokerMessage): void {
    const { topic, payload } = message;
    const before = this.byTopic.get(topic);
    if (before) this.tally(before, -1);
    if (payload.length === 0) {
      this.byTopic.delete(topic);
      return;
    }
    this.tally(message, 1);
    this.byTopic.set(topic, { ...message, retain: true });
  }

  private tally(message: BrokerMessage, sign: 1 | -1): void {
    const bytes = sign * weightOf(message);
    this.bytes += bytes;
    if (!isLogged(message.topic)) return;
    this.theirs.messages += sign;
    this.theirs.bytes += bytes;
  }

  *matching(filter: string): Generator<BrokerMessage> {
    for (const message of this.looked(filter)) if (message) yield message;
  }

  /** Yields matching messages, and null for each examined message that does not match. */
  *looked(filter: string): Generator<BrokerMessage | null> {
    if (!/[+#]/.test(filter)) {
      yield this.byTopic.get(filter) ?? null;
      return;
    }
    const fits = topicMatcher(filter);
    for (const [topic, message] of this.byTopic) yield fits(topic) ? message : null;
  }

  /** Messages that the log must store: desired and reported are in the database, and $SYS is regenerated. */
  *logged(): Generator<BrokerMessage> {
    for (const message of this.byTopic.values()) if (isLogged(message.topic)) yield message;
  }
}

export function isLogged(topic: string): boolean {
  return !topic.startsWith('$') && !isOfDatabase(topic);
}

function isOfDatabase(topic: string): boolean {
  const channel = parseTopic(topic)?.channel;
  return channel === 'desired' || channel === 'reported';
}
