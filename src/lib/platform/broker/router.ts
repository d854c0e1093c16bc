import type { Logger } from 'pino';
import { AiotError } from '../../core/errors.js';
import { isProtocolTopic } from '../../device/protocol/codec.js';
import type { MessageOrigin, StoreMessage } from '../traces.js';
import type { Core } from './broker.js';
import type { Connection } from './connection.js';
import type { BrokerLimits } from './limits.js';
import { type BrokerFigures, createFigures } from './metrics.js';
import { isBehind } from './outlet.js';
import { isLogged } from './retained.js';
import { type LoggedReceiver, type LogRecord, logged, type SessionLog } from './session-log.js';
import { type BrokerState, loggedReceiver, type Outgoing, type Session } from './sessions.js';
import { findNewHomes, homeOf, nextMember, redistribute } from './shares.js';
import type { Receiver, Share } from './topics.js';
import { type BrokerMessage, type Qos, weightOf } from './wire.js';

interface Slot {
  accepted: Accepted | null;
  bytes: number;
  /** Acknowledges the message to its publisher once it is stored. `matched`: whether it had a subscriber. */
  acknowledge: ((matched: boolean) => void) | null;
  /** Whether only a reader in this process delays the message; later messages then do not wait for it. */
  loose?: boolean;
  /** Ends the message's span, if its trace is recorded. */
  ended?: (error?: string) => void;
}

/** Message streams are not retained, because they would take more and more memory. */
const streamed = /\/(telemetry|inference|reply|log)(\/|$)/;

/**
 * A publisher's messages in flight. They are stored, offered to readers in this process, then delivered and acknowledged. Delivery is in
 * order of arrival, no matter how long the disk takes for each message (MQTT 3.1.1, 4.6). A reader delays only its own messages.
 */
export class Inbox {
  private readonly slots = new Set<Slot>();
  private bytes = 0;
  private broken = false;

  constructor(
    private readonly core: Core,
    private readonly connection: Connection,
  ) {}

  /** Whether so much is in flight that the publisher must wait. */
  get full(): boolean {
    const { unstoredMessages, unstoredBytes } = this.core.limits;
    return this.slots.size >= unstoredMessages || this.bytes >= unstoredBytes;
  }

  /** Whether messages are in flight that later packets must wait for. */
  get unrouted(): boolean {
    for (const { loose } of this.slots) if (!loose) return true;
    return false;
  }

  take(message: BrokerMessage, origin: Origin, acknowledge: Slot['acknowledge']): void {
    if (message.retain && streamed.test(message.topic)) message.retain = false;
    const slot: Slot = { accepted: null, bytes: weightOf(message), acknowledge };
    this.slots.add(slot);
    this.bytes += slot.bytes;
    const { traces } = this.core;
    const span = traces?.begin(message);
    if (span) {
      message.trace = span.context;
      slot.ended = (error) => traces?.end(span, message, this.connection.name, error);
    }
    const stored = (error?: unknown) => {
      if (error || this.broken) return this.break(error);
      let offered = false;
      // Readers in this process get a message only after it is stored, so that they never see a message that could not
      // be stored.
      const forward = (refused?: Error | null) => {
        if (refused || this.broken) return this.break(refused);
        offered = true;
        this.core.router.accept(message, origin, (failure, accepted) => {
          if (failure) return this.break(failure);
          slot.accepted = accepted;
          if (slot.loose) this.finish(slot);
          this.release();
        });
      };
      this.core.offer(message, forward, this.connection.identity);
      // A slow reader must not delay other messages.
      if (!offered) slot.loose = true;
    };
    if (isProtocolTopic(message.topic))
      this.core
        .store(this.connection.name, message.topic, message.payload, span?.context)
        .then(() => stored(), stored);
    else stored();
  }

  private release(): void {
    for (const slot of this.slots) {
      if (slot.accepted) this.finish(slot);
      else if (!slot.loose) break;
    }
    this.connection.roomInInbox();
  }

  private finish(slot: Slot): void {
    this.slots.delete(slot);
    this.bytes -= slot.bytes;
    const behind = this.core.router.deliver(slot.accepted!);
    slot.ended?.();
    if (behind) this.connection.behind(behind);
    if (!this.broken) slot.acknowledge?.(slot.accepted!.matched);
  }

  /** Closes the publisher's connection and sends no further acknowledgments. The publisher will resend unacknowledged messages. */
  private break(error: unknown): void {
    if (this.broken) return;
    this.broken = true;
    this.connection.fail(error);
    // Stored messages are delivered anyway, because they will not be resent if their publisher does not return.
    for (const slot of this.slots) {
      if (slot.accepted) this.core.router.deliver(slot.accepted);
      slot.ended?.('the connection was closed');
    }
    this.slots.clear();
  }
}

/** Permanent errors that resending the message would not resolve. */
const unstorable = new Set<string>(['AIOT_MESSAGE_MALFORMED', 'AIOT_NOT_FOUND']);

interface StoringParts {
  /** Stores a message; rejects with AIOT_MESSAGE_MALFORMED if it can never be stored. */
  ingest: StoreMessage;
  figures: BrokerFigures;
  log: Logger;
  /** Called instead of logging an error that is not the message's fault. */
  failed?: (error: unknown, topic: string) => void;
}

/** Stores a message of protocol v1. A malformed message is counted and dropped, because resending it would not help. */
export async function storeMessage(
  { ingest, figures, log, failed }: StoringParts,
  who: string,
  topic: string,
  payload: Buffer,
  origin?: MessageOrigin,
): Promise<void> {
  try {
    await ingest(topic, payload, origin);
  } catch (error) {
    if (!(error instanceof AiotError) || !unstorable.has(error.code)) {
      if (failed) failed(error, topic);
      else log.error({ err: error, topic }, 'could not store a message');
      throw error;
    }
    figures.malformed++;
    log.warn({ client: who, topic }, error.message);
  }
}

interface RouterParts {
  state: BrokerState;
  /** A function, because the log is opened only after the state that it restores has been created. */
  sessionLog: () => SessionLog;
  limits: BrokerLimits;
  log: Logger;
}

/** A message that may be acknowledged: everything that must outlive this process is on disk. */
interface Accepted {
  message: BrokerMessage;
  /** The message's number in the log; 0 = not in the log. */
  number: number;
  /** The publisher's session key; null = the platform is the publisher. */
  origin: string | null;
  /** How the log records the message, by session and by shared subscription. */
  plans: Plans | null;
  /** Whether the message had a subscriber; known once the message is delivered. */
  matched: boolean;
}

/** How the log records a message for one receiver, which is a session or a shared subscription. */
interface Plan {
  receiver: Session | Share<Session>;
  session: Session;
  /** Packet id of the message in the session; 0 = the session is not in the log. */
  id: number;
  /** The session under which the log records the message, if not the receiver's own. */
  home?: Session | undefined;
}

/** A message's plans, in the order of its receivers, which is also the order of lookups. */
class Plans {
  private readonly all: Plan[] = [];
  private next = 0;

  add(plan: Plan): void {
    this.all.push(plan);
  }

  of(receiver: Plan['receiver']): Plan | undefined {
    const { all, next } = this;
    for (let step = 0; step < all.length; step++) {
      const at = (next + step) % all.length;
      if (all[at]!.receiver !== receiver) continue;
      this.next = at + 1;
      return all[at];
    }
    return undefined;
  }
}

interface Planned {
  plans: Accepted['plans'];
  to: LoggedReceiver[];
  /** Whether the message outlives this turn of the event loop. */
  copied: boolean;
}

/** The plan for a QoS 0 message, which is not logged. */
const noPlans: Planned = { plans: null, to: [], copied: false };

/** A message's publisher, and the packet with the message if it has QoS 2. */
export interface Origin {
  key: string;
  inbound: { session: Session; id: number } | null;
}

type Done = (error: unknown, accepted: Accepted) => void;

/** A message in the forms that its receivers get. */
interface Copies {
  message: BrokerMessage;
  /** The message without the retain flag, for subscriptions without Retain As Published. */
  plain: BrokerMessage;
  number: number;
}

/** Routes messages to sessions in two steps: `accept` writes to the session log, `deliver` hands the message over. */
export class Router {
  readonly figures = createFigures();
  /** Bytes queued for sessions, as of the last sweep. */
  queuedBytes = 0;
  /** Messages in the log that are not in any queue yet. */
  readonly undelivered = new Map<number, LogRecord>();
  private readonly told = new WeakSet<Session>();

  constructor(private readonly parts: RouterParts) {}

  share(name: string): Share<Session> | undefined {
    return this.parts.state.subscriptions.share(name);
  }

  /** Calls `done` when the message may be acknowledged: immediately if nothing must be stored. */
  accept(message: BrokerMessage, origin: Origin | null, done: Done): void {
    const { state, limits, log } = this.parts;
    let { retain } = message;
    if (retain && !state.retained.mayKeep(message)) {
      retain = false;
      this.figures.dropped++;
      log.warn(
        { topic: message.topic, limit: limits.retainedMessages },
        'no space left for a retained message',
      );
    }
    const key = origin === null ? null : origin.key;
    const planned = this.plan(message, retain, key);
    const r = retain && isLogged(message.topic);
    // Copied, because payload and properties are slices of the large buffer that the socket read.
    const own =
      retain || planned.copied
        ? ownedCopy(message, retain)
        : retain === message.retain
          ? message
          : { ...message, retain };
    const { plans, to } = planned;
    const inbound = origin?.inbound;
    const from: [string, number] | undefined = inbound?.session.persistent
      ? [inbound.session.key, inbound.id]
      : undefined;
    if (!r && to.length === 0 && !from) {
      done(null, { message: own, number: 0, origin: key, plans, matched: false });
      return;
    }
    const n = ++state.number;
    const m = logged(r || !retain ? own : { ...own, retain: false });
    const record: LogRecord & { k: 'message' } = { k: 'message', n, m, to };
    if (r) record.r = r;
    if (from) record.from = from;
    this.parts.sessionLog().commit(record, (error) => {
      if (!error) this.undelivered.set(n, record);
      done(error, { message: own, number: n, origin: key, plans, matched: false });
    });
  }

  /** Decides for which sessions the log records a message, and which members receive it. */
  private plan(message: BrokerMessage, retain: boolean, origin: string | null): Planned {
    if (message.qos === 0) return noPlans;
    const { direct, shares } = this.parts.state.subscriptions.receivers(message.topic);
    const to: LoggedReceiver[] = [];
    let plans: Accepted['plans'] = null;
    let copied = false;
    for (const each of direct) {
      const receiver = forOrigin(each, origin);
      if (!receiver) continue;
      const qos = Math.min(receiver.qos, message.qos) as Qos;
      if (qos === 0) continue;
      copied = true;
      const session = each.subscriber;
      if (!session.persistent || session.isFit?.(message.topic) === false) continue;
      const id = session.freeId();
      if (id === 0) continue;
      plans ??= new Plans();
      plans.add({ receiver: session, session, id });
      const flag = retain && receiver.retainAsPublished;
      to.push(receiverRecord([session.key, qos, id], { i: receiver.ids, r: flag }));
    }
    for (const share of shares) {
      const session = nextMember(share, message.qos);
      if (!session) continue;
      const grant = share.members.get(session)!;
      const qos = Math.min(grant.qos, message.qos) as Qos;
      plans ??= new Plans();
      const plan: Plan = { receiver: share, session, id: 0 };
      plans.add(plan);
      if (qos === 0) continue;
      copied = true;
      if (session.persistent) plan.id = session.freeId();
      else plan.home = homeOf(share, null, message.qos);
      const holder = session.persistent ? session : plan.home;
      if (!holder || (session.persistent && plan.id === 0)) continue;
      const flag = retain && grant.retainAsPublished;
      const i = grant.id > 0 ? [grant.id] : null;
      to.push(receiverRecord([holder.key, qos, plan.id], { g: share.name, i, r: flag }));
    }
    return { plans, to, copied };
  }

  /** Delivers an accepted message to all subscribers. Returns a subscriber that is behind, if any. */
  deliver(accepted: Accepted): Session | null {
    const { message, number, origin, plans } = accepted;
    const { state } = this.parts;
    if (number > 0) this.undelivered.delete(number);
    if (message.retain) state.retained.set(message);
    const plain: BrokerMessage = message.retain ? { ...message, retain: false } : message;
    const { direct, shares } = state.subscriptions.receivers(message.topic);
    let behind: Session | null = null;
    for (const each of direct) {
      // A subscription matches although No Local excludes its client's own messages.
      accepted.matched = true;
      const receiver = forOrigin(each, origin);
      if (!receiver) continue;
      const session = each.subscriber;
      const planned = session.persistent ? plans?.of(session)?.id : undefined;
      // A message that is in the log for the session was tested when it was planned.
      if (planned === undefined && session.isFit?.(message.topic) === false) continue;
      const qos = Math.min(receiver.qos, message.qos) as Qos;
      const copy = receiver.retainAsPublished ? message : plain;
      if (qos === 0) this.sendNow(session, copy, receiver.ids);
      else {
        const logged = planned === undefined ? undefined : number;
        this.enqueue(session, copy, qos, { ids: receiver.ids, id: planned, number: logged });
      }
      if (isBehind(session)) behind = session;
    }
    for (const share of shares) {
      const session = this.deliverShared(share, { message, plain, number }, plans?.of(share));
      if (!session) continue;
      accepted.matched = true;
      if (isBehind(session)) behind = session;
    }
    return behind;
  }

  /** Hands a message to one member: the planned one, unless the planned member's session has ended since then. */
  private deliverShared(share: Share<Session>, copies: Copies, plan: Plan | undefined): Session | null {
    const { message, plain, number } = copies;
    const isThere = plan !== undefined && share.members.has(plan.session);
    const session = isThere ? plan.session : nextMember(share, message.qos);
    if (!session) return null;
    const grant = share.members.get(session)!;
    const qos = Math.min(grant.qos, message.qos) as Qos;
    const ids = grant.id > 0 ? [grant.id] : null;
    const copy = grant.retainAsPublished ? message : plain;
    if (qos === 0) {
      this.sendNow(session, copy, ids);
      return session;
    }
    const home = this.holder(plan);
    if (isThere && plan.id > 0)
      this.enqueue(session, copy, qos, { ids, share: share.name, id: plan.id, number });
    else if (home) this.enqueue(session, copy, qos, { ids, share: share.name, home, number });
    else this.enqueue(session, copy, qos, { ids, share: share.name });
    // The member has disconnected since the message was accepted for it.
    if (!session.link) redistribute(this, session, false);
    return session;
  }

  /**
   * The session under which the log records a planned message, so that another session can take over the record;
   * undefined = none.
   */
  private holder(plan: Plan | undefined): Session | undefined {
    const session = plan && (plan.home ?? (plan.id > 0 ? plan.session : undefined));
    return session && this.parts.state.sessions.get(session.key) === session ? session : undefined;
  }

  private sendNow(session: Session, message: BrokerMessage, ids: readonly number[] | null): void {
    if (session.link?.sendMessage(message, 0, 0, false, ids) === false) this.figures.dropped++;
  }

  /** Adds a message to a session's queue. Without a `number`, a message for a persistent session is written to the log. */
  enqueue(session: Session, message: BrokerMessage, qos: 1 | 2, options: EnqueueOptions = {}): void {
    const { ids = null, share, home, isRetained = false } = options;
    const id = options.id ?? session.freeId();
    if (id === 0) {
      this.figures.dropped++;
      return;
    }
    const { number = 0 } = options;
    const entry: Outgoing = { number, message, qos, id, state: 'waiting', ids, share, home: undefined };
    if (!session.persistent) entry.home = home;
    else if (home || options.number === undefined) this.pass(session, entry, home);
    session.add(entry);
    session.pump();
    // Retained messages do not count, because all those that match a filter arrive at once, and share their memory
    // with the retained store.
    if (!isRetained) this.trim(session);
  }

  /** Records, without waiting for the disk, that a message is now logged for this session and no longer for `home`, if given. */
  pass(session: Session, entry: Outgoing, home: Session | undefined): void {
    const { state, sessionLog } = this.parts;
    const to = loggedReceiver(session, entry);
    if (home && entry.number > 0) {
      sessionLog().append({ k: 'move', s: home.key, n: entry.number, to });
      return;
    }
    entry.number = ++state.number;
    sessionLog().append({ k: 'message', n: entry.number, m: logged(entry.message), to: [to] });
  }

  /** Records, without waiting for the disk, that the session has finished or received a message. */
  note(session: Session, k: 'done' | 'received', entry: Outgoing): void {
    const { number, share, home } = entry;
    if (number === 0) return;
    const s = (home ?? session).key;
    // Recorded as done, because another member must not get a message that this client already has.
    const what = home ? 'done' : k;
    if (home) Object.assign(entry, { number: 0, home: undefined });
    const record = share === undefined ? { k: what, s, n: number } : { k: what, s, n: number, g: share };
    this.parts.sessionLog().append(record);
  }

  /** Ends a session: passes its shared messages to other members, and deletes everything else queued for it. */
  end(session: Session): void {
    const { state, sessionLog } = this.parts;
    redistribute(this, session, true);
    findNewHomes(this, session);
    for (const entry of session.entries()) if (entry.home) this.note(session, 'done', entry);
    state.end(session);
    if (session.persistent) sessionLog().append({ k: 'end', s: session.key });
  }

  private trim(session: Session): void {
    const { queueMessages, queueBytes, queuesBytes } = this.parts.limits;
    const most = this.queuedBytes > queuesBytes && !session.link ? 0 : queueBytes;
    while (session.queued > queueMessages || (session.bytes > most && session.queued > 1)) {
      const dropped = session.dropOldest();
      if (!dropped) return;
      this.figures.dropped++;
      this.note(session, 'done', dropped);
      if (this.told.has(session)) continue;
      this.told.add(session);
      this.parts.log.warn(
        { session: session.key },
        "a session's queue is full: the oldest messages are dropped",
      );
    }
  }
}

interface EnqueueOptions {
  ids?: readonly number[] | null;
  /** Packet id of the message, and its number in the log, if the log has it. */
  id?: number | undefined;
  number?: number | undefined;
  share?: string;
  home?: Session | undefined;
  /** Whether this is a retained message for a new subscription. */
  isRetained?: boolean;
}

/** The receiver as seen by a publisher: No Local excludes the publisher's own messages. */
function forOrigin(receiver: Receiver<Session>, origin: string | null): Receiver<Session> | null {
  return receiver.own !== receiver && receiver.subscriber.key === origin ? receiver.own : receiver;
}

function receiverRecord(
  place: [string, 1 | 2, number],
  { g, i, r }: { g?: string; i: readonly number[] | null; r: boolean },
): LoggedReceiver {
  if (g === undefined && i === null && !r) return place;
  return [...place, { ...(g !== undefined && { g }), ...(i !== null && { i: [...i] }), ...(r && { r }) }];
}

function ownedCopy({ topic, payload, qos, properties, expiresAt }: BrokerMessage, retain: boolean) {
  const own: BrokerMessage = { topic, payload: Buffer.from(payload), qos, retain };
  if (properties !== undefined) own.properties = Buffer.from(properties);
  if (expiresAt !== undefined) own.expiresAt = expiresAt;
  return own;
}

/**
 * Stores and delivers a will or a message from the platform. Resolves with a subscriber that is behind, or null.
 * @param key the key of the will's session
 */
export function send(
  { router }: Core,
  message: BrokerMessage,
  key: string | null = null,
): Promise<Session | null> {
  const origin = key === null ? null : { key, inbound: null };
  return new Promise((resolve, reject) =>
    router.accept(message, origin, (error, accepted) =>
      error ? reject(error) : resolve(router.deliver(accepted)),
    ),
  );
}
