import type { Retained } from './retained.js';
import {
  type BrokerCounts,
  type LoggedReceiver,
  type LogRecord,
  logged,
  loggedGrant,
  mostNoted,
  unlogged,
  unloggedGrant,
} from './session-log.js';
import type { RetainedFeed } from './subscribe.js';
import { type Subscriptions, sharedFilter } from './topics.js';
import { type BrokerMessage, type Grant, hasExpired, type Qos, weightOf } from './wire.js';

/** A will, and its author: a device's name, or a token's id. */
export interface Will {
  message: BrokerMessage;
  device: string | null;
  token: string | null;
  /**
   * How long the will is delayed after the client disconnects, and how long its published message remains valid, both
   * in seconds.
   */
  delaySeconds: number;
  expirySeconds: number | undefined;
  /** When the will is due, ms since 1970; null while the client is connected. */
  dueAt: number | null;
}

export function willRecord(s: string, will: Will): LogRecord {
  const { message, device, token, delaySeconds, expirySeconds, dueAt } = will;
  return {
    ...{ k: 'will', s, m: logged(message) },
    ...(device === null ? {} : { who: device }),
    ...(token === null ? {} : { t: token }),
    ...(delaySeconds === 0 ? {} : { d: delaySeconds }),
    ...(expirySeconds === undefined ? {} : { e: expirySeconds }),
    ...(dueAt === null ? {} : { at: dueAt }),
  };
}

/** The broker's persistent state: sessions by key, their subscriptions, wills, and retained messages. */
export class BrokerState {
  readonly sessions = new Map<string, Session>();
  readonly wills = new Map<string, Will>();
  /** Number of the newest message in the log. */
  number = 0;

  constructor(
    readonly subscriptions: Subscriptions<Session>,
    readonly retained: Retained,
    /** How long a session outlives its connection if its record does not specify a time, ms. */
    private readonly usualExpiryMs: number,
  ) {}

  subscribe(session: Session, filter: string, grant: Grant): void {
    session.subscriptions.set(filter, grant);
    this.subscriptions.add(filter, session, grant);
  }

  /** Removes a subscription. Returns whether it existed. */
  unsubscribe(session: Session, filter: string): boolean {
    if (!session.subscriptions.delete(filter)) return false;
    this.subscriptions.remove(filter, session);
    return true;
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
        const known = session ?? new Session(record.s, true, this.usualExpiryMs);
        known.restoreRecord(record);
        known.expiryMs = Math.min(record.x ?? this.usualExpiryMs, this.usualExpiryMs);
        this.sessions.set(record.s, known);
        break;
      }
      case 'will':
        this.applyWill(record);
        break;
      case 'end':
        if (session) this.end(session);
        break;
      case 'sub':
        if (session) for (const each of record.f) this.subscribe(session, each[0], unloggedGrant(each));
        break;
      case 'unsub':
        if (session) for (const filter of record.f) this.unsubscribe(session, filter);
        break;
      case 'done':
        session?.forget(record.n, record.g);
        for (const number of record.more ?? []) session?.forget(number, record.g);
        break;
      case 'move': {
        const entry = session?.forget(record.n, record.to[3]?.g);
        if (entry) this.restore(record.n, entry.message, record.to);
        break;
      }
      case 'received':
        session?.markReceived(record.n, record.g);
        break;
      case 'seen':
        for (const id of record.id) session?.incoming.set(id, true);
        break;
      case 'release':
        session?.incoming.delete(record.id);
        break;
    }
  }

  private applyWill({ s, m, who, t, d, e, at }: LogRecord & { k: 'will' }): void {
    if (!m) {
      this.wills.delete(s);
      return;
    }
    const author = { device: who ?? null, token: t ?? null };
    const times = { delaySeconds: d ?? 0, expirySeconds: e, dueAt: at ?? null };
    this.wills.set(s, { message: unlogged(m), ...author, ...times });
  }

  private applyMessage({ n, m, to, r, from, state }: LogRecord & { k: 'message' }): void {
    this.number = Math.max(this.number, n);
    const message = unlogged(m);
    if (r) this.retained.set(message);
    // Existing subscribers get a newly retained message without the flag (MQTT 3.1.1, 3.3.1.3).
    const plain = r ? { ...message, retain: false } : message;
    for (const receiver of to) {
      const flag = receiver[3]?.r;
      const copy = flag === undefined || flag === plain.retain ? plain : { ...message, retain: flag };
      this.restore(n, copy, receiver, state);
    }
    if (from) this.sessions.get(from[0])?.incoming.set(from[1], true);
  }

  private restore(n: number, message: BrokerMessage, to: LoggedReceiver, logged?: 'sent' | 'released'): void {
    const [key, qos, id, copy] = to;
    const session = this.sessions.get(key);
    if (!session) return;
    // A record with id 0 was for another member of a shared subscription.
    const unknown = session.mayHaveSent && id > 0 ? 'restored' : 'waiting';
    const state = logged === 'sent' ? 'again' : (logged ?? unknown);
    session.restore({ number: n, message, qos, id, state, ids: copy?.i ?? null, share: copy?.g });
  }

  /** Numbers of retained messages and of sessions, each with the names of the first ones. */
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

  /** The current state, as functions that create one record each, because encoding all messages at once would block other clients. */
  *snapshot(): Generator<() => LogRecord> {
    const { number: n } = this;
    yield () => ({ k: 'message', n, m: ['', '', 0, false], to: [] });
    for (const message of this.retained.logged()) {
      yield () => ({ k: 'message', n: 0, m: logged(message), to: [], r: true });
    }
    for (const [s, will] of this.wills) yield always(willRecord(s, will));
    // All sessions precede the messages, because a message may be for any of them.
    for (const session of this.sessions.values()) if (session.persistent) yield always(session.record());
    for (const session of this.sessions.values()) yield* this.snapshotOf(session);
  }

  private *snapshotOf(session: Session): Generator<() => LogRecord> {
    const { key: s, persistent, subscriptions } = session;
    if (persistent && subscriptions.size > 0) {
      const f = [...subscriptions].map(([filter, grant]) => loggedGrant(filter, grant));
      yield always({ k: 'sub', s, f });
    }
    const seen = [...session.incoming].filter(([, stored]) => stored).map(([id]) => id);
    if (persistent && seen.length > 0) yield always({ k: 'seen', s, id: seen });
    for (const entry of session.entries()) {
      const { number: n, message, state } = entry;
      if (!persistent && !entry.home) continue;
      const known = state === 'released' ? { state } : wasSent(entry) ? { state: 'sent' as const } : {};
      const to = [loggedReceiver(session, entry)];
      // The client of the other session has not received the message, so the state of its delivery is not recorded.
      const rest = entry.home ? {} : known;
      yield () => ({ k: 'message', n, m: logged(message), to, ...rest });
    }
  }
}

function always(record: LogRecord): () => LogRecord {
  return () => record;
}

/** An entry as the log records it, possibly under another session. */
export function loggedReceiver(session: Session, entry: Omit<Outgoing, 'message' | 'state'>): LoggedReceiver {
  const { qos, id, ids, share, home } = entry;
  const copy = { ...(share === undefined ? {} : { g: share }), ...(ids === null ? {} : { i: [...ids] }) };
  // That session has its own packet ids, so this session's id is not recorded.
  const place = home ? ([home.key, qos, 0] as const) : ([session.key, qos, id] as const);
  return share === undefined && ids === null ? [...place] : [...place, copy];
}

/** Destination of a session's packets while its client is connected. */
export interface Link {
  /** Returns false if this client can never receive the message, because of its maximum packet size. */
  sendMessage(
    message: BrokerMessage,
    qos: Qos,
    id: number,
    dup: boolean,
    ids: readonly number[] | null,
  ): boolean;
  sendRelease(id: number): void;
  /** Called for a message that left the queue unsent, because it has expired or is too large. */
  discarded(entry: Outgoing): void;
  /** Number of unacknowledged messages that the client accepts (MQTT 5, section 4.9). */
  readonly receiveMaximum: number;
  /** ms since 1970 */
  readonly now: () => number;
  /** Whether the socket can accept more now. */
  readonly roomy: boolean;
  /** Whether the client's acknowledgments are read late, because it publishes faster than its limit. */
  readonly throttled: boolean;
  /** Number of bytes waiting in the socket. */
  readonly waiting: number;
  /** Number of bytes accepted so far. */
  readonly taken: number;
}

/** A message in flight to a session, with QoS 1 or 2. */
export interface Outgoing {
  /** The message's number in the log; 0 = not in the log. */
  number: number;
  message: BrokerMessage;
  qos: 1 | 2;
  id: number;
  /**
   * `again`: sent on an earlier connection. `restored`: read from the log, and possibly sent. `released`: the client
   * has received it (PUBREC), and must release its id.
   */
  state: 'waiting' | 'sent' | 'again' | 'restored' | 'released';
  /** Identifiers of the matching subscriptions; null = none. */
  ids: readonly number[] | null;
  /** Name of the shared subscription that matched the message. */
  share?: string | undefined;
  /**
   * The session under which the log records the message, if not this one: a member of the same shared subscription that
   * outlives this session.
   */
  home?: Session | undefined;
}

/** Maximum number of messages sent but not acknowledged. */
const largestWindow = 100;

const largestId = 65_535;

/**
 * Client state that survives between connections (MQTT 5 and 3.1.1, section 4.1). Sessions that end with their connection are not logged.
 */
export class Session {
  readonly subscriptions = new Map<string, Grant>();
  /** Messages for the client by packet id, in order. */
  private readonly outgoing = new Map<number, Outgoing>();
  /** Messages that are not sent yet; they begin at index `next`. */
  private unsent: Outgoing[] = [];
  private next = 0;
  private inFlight = 0;
  private window = largestWindow;
  private lastId = 0;
  /** Number of entries of shared subscriptions. */
  private sharedEntries = 0;
  /** QoS 2 ids received and not released; true = the message is stored. */
  readonly incoming = new Map<number, boolean>();
  link: Link | null = null;
  bytes = 0;
  /** Increases with each acknowledgment. */
  progress = 0;
  /** Retained messages for the session's new subscriptions; null when all are sent. */
  retainedFeed: RetainedFeed | null = null;
  /** Called when the session may have caught up. */
  readonly waiters = new Set<() => void>();
  /** Which messages the client may get, if its rights are limited to some devices; null = all of them. */
  isFit: ((topic: string) => boolean) | null = null;
  /** Whether publishers have waited long enough for this session; they do not wait again until it has caught up. */
  lagging = false;
  /** Time when the session's client disconnected, ms since 1970; null while the client is connected. */
  offlineSince: number | null = null;
  /** During log replay: whether the session's messages may have been sent, because the client was connected. */
  mayHaveSent = true;

  constructor(
    readonly key: string,
    readonly persistent: boolean,
    /** How long the session outlives its connection, ms; 0 = it ends with the connection. */
    public expiryMs: number,
  ) {}

  get queued(): number {
    return this.outgoing.size;
  }

  /** Whether a new message would be sent immediately. */
  get hasRoom(): boolean {
    return this.link?.roomy === true && this.inFlight + this.unsent.length - this.next < this.window;
  }

  get hasShared(): boolean {
    return this.sharedEntries > 0;
  }

  entries(): IterableIterator<Outgoing> {
    return this.outgoing.values();
  }

  /** Whether the session's client has been away for longer than the expiry interval. */
  hasEnded(now: number): boolean {
    return this.offlineSince !== null && now - this.offlineSince > this.expiryMs;
  }

  /** The session's record in the log. If the client is disconnected, the record lists the messages that were sent to it. */
  record(): LogRecord & { k: 'session' } {
    const { key: s, offlineSince: off, expiryMs: x } = this;
    if (off === null) return { k: 'session', s, off, x };
    const sent = [...this.outgoing.values()].filter(wasSent).map(({ id }) => id);
    return { k: 'session', s, off, x, sent };
  }

  /** Restores the session from its record in an earlier run's log. For a connected client, the log does not record which messages were sent. */
  restoreRecord({ off, sent }: LogRecord & { k: 'session' }): void {
    this.offlineSince = off;
    this.mayHaveSent = sent === undefined;
    // Earlier versions did not record what was sent.
    if (off !== null && !sent) return;
    const ids = new Set(sent);
    for (const entry of this.outgoing.values()) {
      if (entry.state === 'released') continue;
      if (off === null) entry.state = wasSent(entry) ? entry.state : 'restored';
      else entry.state = ids.has(entry.id) ? 'again' : 'waiting';
    }
  }

  /** Names of the shared subscriptions that the session is a member of. */
  *shares(): Generator<string> {
    for (const filter of this.subscriptions.keys()) if (sharedFilter(filter)) yield filter;
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
    if (entry.share !== undefined) this.sharedEntries++;
    if (entry.state === 'released') this.inFlight++;
    else this.unsent.push(entry);
  }

  /** Restores an entry from an earlier run's log. */
  restore(entry: Outgoing): void {
    if (entry.id === 0) entry.id = this.freeId();
    if (entry.id === 0) return;
    this.add(entry);
    this.lastId = entry.id;
  }

  /** Removes the oldest message that is not in flight. */
  dropOldest(): Outgoing | null {
    for (let at = this.next; at < this.unsent.length; at++) {
      const entry = this.unsent[at]!;
      // A QoS 2 message that was already sent is kept, because the client may know its id.
      if (entry.state === 'sent' || (entry.state !== 'waiting' && entry.qos === 2)) continue;
      if (this.outgoing.get(entry.id) !== entry) continue;
      this.unsent.splice(at, 1);
      this.remove(entry);
      return entry;
    }
    return null;
  }

  /**
   * Removes messages for which `isFit` is false, except those that the client has received. Only for a session whose client is
   * disconnected.
   */
  *refit(isFit: (topic: string) => boolean): Generator<Outgoing> {
    for (const entry of [...this.outgoing.values()]) {
      if (entry.state === 'released' || isFit(entry.message.topic)) continue;
      this.remove(entry);
      yield entry;
    }
  }

  /** Sends as many messages as the window allows. */
  pump(): void {
    const { link } = this;
    if (!link) return;
    while (this.inFlight < this.window && this.next < this.unsent.length && link.roomy) {
      const entry = this.unsent[this.next++]!;
      if (this.outgoing.get(entry.id) !== entry) continue;
      const { message, qos, id, ids, state } = entry;
      // Delivery that has begun must be completed (MQTT 5, section 3.3.2.3.3).
      const mayExpire = message.expiresAt !== undefined && state !== 'again';
      const dup = state === 'again' || state === 'restored';
      if ((mayExpire && hasExpired(message, link.now())) || !link.sendMessage(message, qos, id, dup, ids)) {
        this.remove(entry);
        link.discarded(entry);
        continue;
      }
      entry.state = 'sent';
      this.inFlight++;
    }
    if (this.next === this.unsent.length || this.next > 1000) {
      this.unsent = this.unsent.slice(this.next);
      this.next = 0;
    }
    for (const waiter of this.waiters) waiter();
  }

  /** Attaches a new connection. Unacknowledged messages are resent in order (MQTT 5 and 3.1.1, section 4.4). */
  attach(link: Link): void {
    this.link = link;
    this.window = Math.min(largestWindow, link.receiveMaximum);
    this.offlineSince = null;
    this.lagging = false;
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

  /**
   * Handles PUBACK or PUBCOMP, which complete a message. Returns the message, `unknown` if no message has this id, or
   * `wrong` if the message awaits another packet.
   */
  acknowledged(id: number, qos: 1 | 2): Outgoing | 'unknown' | 'wrong' {
    const entry = this.outgoing.get(id);
    if (!entry) return 'unknown';
    // An acknowledgment may refer to a message that was sent on an earlier connection.
    const isExpected = qos === 2 ? entry.state === 'released' : wasSent(entry);
    if (entry.qos !== qos || !isExpected) return 'wrong';
    this.settle(entry);
    return entry;
  }

  /** Handles PUBREC: the payload is no longer needed. Returns the message as `acknowledged` does. */
  received(id: number): Outgoing | 'unknown' | 'wrong' {
    const entry = this.outgoing.get(id);
    if (!entry) return 'unknown';
    if (entry.qos !== 2 || entry.state === 'waiting') return 'wrong';
    if (entry.state === 'released') return entry;
    this.progress++;
    if (entry.state !== 'sent') this.inFlight++;
    this.release(entry);
    return entry;
  }

  /** Handles PUBREC with a failure code (MQTT 5, section 4.3.3): the message is done, and its id is free. */
  refused(id: number): Outgoing | 'unknown' | 'wrong' {
    const entry = this.outgoing.get(id);
    if (!entry) return 'unknown';
    if (entry.qos !== 2 || !wasSent(entry)) return 'wrong';
    this.settle(entry);
    return entry;
  }

  private settle(entry: Outgoing): void {
    if (entry.state === 'sent' || entry.state === 'released') this.inFlight--;
    this.progress++;
    this.remove(entry);
  }

  /** Removes a message regardless of its state, for replaying an earlier run's log. */
  forget(number: number, share?: string): Outgoing | undefined {
    const entry = this.numbered(number, share);
    if (entry) this.remove(entry);
    return entry;
  }

  /** Same as `received`, for replaying the log. */
  markReceived(number: number, share?: string): void {
    const entry = this.numbered(number, share);
    if (entry) this.release(entry);
  }

  private numbered(number: number, share: string | undefined): Outgoing | undefined {
    for (const entry of this.outgoing.values())
      if (entry.number === number && entry.share === share) return entry;
    return undefined;
  }

  /** Frees the content of a message that the client has received, because only the id is still needed. */
  private release(entry: Outgoing): void {
    const { qos, retain } = entry.message;
    this.bytes -= weightOf(entry.message);
    entry.state = 'released';
    entry.message = { topic: '', payload: Buffer.alloc(0), qos, retain };
  }

  remove(entry: Outgoing): void {
    this.outgoing.delete(entry.id);
    this.bytes -= weightOf(entry.message);
    if (entry.share !== undefined) this.sharedEntries--;
  }
}

function wasSent({ state }: Outgoing): boolean {
  return state === 'sent' || state === 'again' || state === 'restored';
}
