import type { Logger } from 'pino';
import { AiotError } from '../../core/errors.js';
import {
  decodeMessage,
  encodeMessage,
  isProtocolTopic,
  parseTopic,
  topicOf,
} from '../../device/protocol/codec.js';
import { presenceSchema } from '../../device/protocol/messages.js';
import type { Core } from './broker.js';
import type { Connection } from './connection.js';
import type { BrokerLimits } from './limits.js';
import { type BrokerFigures, createFigures } from './metrics.js';
import { isBehind } from './outlet.js';
import { type LogRecord, logged, type SessionLog } from './session-log.js';
import { type BrokerState, isLogged, type Session, type Will } from './sessions.js';
import { type BrokerMessage, type Qos, weightOf } from './wire.js';

interface Slot {
  accepted: Accepted | null;
  bytes: number;
  /** Called to acknowledge the message to its publisher once it is stored. */
  acknowledge: (() => void) | null;
  /** A reader in this process has it: it is no longer part of the ordering. */
  loose?: boolean;
}

/** Message streams are not retained, because memory would grow. */
const streamed = /\/(telemetry|inference|reply|log)(\/|$)/;

/**
 * A publisher's messages in flight. They are stored, offered to readers in this process, then delivered and acknowledged in order of
 * arrival, however long the disk takes for each (MQTT 3.1.1, 4.6). A reader delays only its own messages.
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

  take(message: BrokerMessage, inbound: Inbound | null, acknowledge: (() => void) | null): void {
    if (message.retain && streamed.test(message.topic)) message.retain = false;
    const slot: Slot = { accepted: null, bytes: weightOf(message), acknowledge };
    this.slots.add(slot);
    this.bytes += slot.bytes;
    const stored = (error?: unknown) => {
      if (error || this.broken) return this.break(error);
      let offered = false;
      // Readers in this process come last before the log: messages that could not be stored are not offered to them.
      this.core.offer(message, (refused) => {
        if (refused || this.broken) return this.break(refused);
        offered = true;
        this.core.router.accept(message, inbound, (failure, accepted) => {
          if (failure) return this.break(failure);
          slot.accepted = accepted;
          if (slot.loose) this.finish(slot);
          this.release();
        });
      });
      // A slow reader must not delay other messages.
      if (!offered) slot.loose = true;
    };
    if (isProtocolTopic(message.topic))
      this.core.store(this.connection.name, message.topic, message.payload).then(() => stored(), stored);
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
    if (behind) this.connection.behind(behind);
    if (!this.broken) slot.acknowledge?.();
  }

  /** No further acknowledgements are sent; the publisher resends unacknowledged messages. */
  private break(error: unknown): void {
    if (this.broken) return;
    this.broken = true;
    this.connection.fail(error);
    // Stored messages are delivered: if their publisher does not return, they will not be sent again.
    for (const slot of this.slots) if (slot.accepted) this.core.router.deliver(slot.accepted);
    this.slots.clear();
  }
}

/** Permanent errors: resending the message would not help. */
const unstorable = new Set<string>(['AIOT_MESSAGE_MALFORMED', 'AIOT_NOT_FOUND']);

interface StoringParts {
  /** Stores a message; rejects with AIOT_MESSAGE_MALFORMED if it can never be stored. */
  ingest: (topic: string, payload: Buffer) => Promise<void>;
  figures: BrokerFigures;
  log: Logger;
}

/** Stores a message of protocol v1. A malformed message is counted and dropped, because resending it would not help. */
export async function storeMessage(
  { ingest, figures, log }: StoringParts,
  who: string,
  topic: string,
  payload: Buffer,
): Promise<void> {
  try {
    await ingest(topic, payload);
  } catch (error) {
    if (!(error instanceof AiotError) || !unstorable.has(error.code)) {
      log.error({ err: error, topic }, 'could not store a message');
      throw error;
    }
    figures.malformed++;
    log.warn({ client: who, topic }, error.message);
  }
}

interface RouterParts {
  state: BrokerState;
  /** Created after the state, whose lines it reads. */
  sessionLog: () => SessionLog;
  limits: BrokerLimits;
  log: Logger;
}

/** A message that may be acknowledged: everything that must outlive this process is on disk. */
interface Accepted {
  message: BrokerMessage;
  /** Its number in the log; 0 = it is not in the log. */
  number: number;
  /** Packet ids for the persistent sessions that the log records it for. */
  ids: Map<Session, number> | null;
}

/** The QoS 2 packet that carried a message. */
interface Inbound {
  session: Session;
  id: number;
}

type Done = (error: unknown, accepted: Accepted) => void;

/** Routes messages to sessions in two steps: `accept` writes to the session log, `deliver` hands the message over. */
export class Router {
  readonly figures = createFigures();
  /** Bytes queued for sessions, as of the last sweep. */
  queuedBytes = 0;
  /** Messages in the log that are not in any queue yet. */
  readonly undelivered = new Map<number, LogRecord>();
  private readonly told = new WeakSet<Session>();

  constructor(private readonly parts: RouterParts) {}

  /** Calls `done` when the message may be acknowledged; at once when nothing must be stored. */
  accept(message: BrokerMessage, inbound: Inbound | null, done: Done): void {
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
    let ids: Map<Session, number> | null = null;
    const to: (LogRecord & { k: 'message' })['to'] = [];
    let copied = retain;
    for (const [session, granted] of state.subscriptions.receivers(message.topic)) {
      const qos = Math.min(granted, message.qos) as Qos;
      if (qos === 0) continue;
      copied = true;
      if (!session.persistent) continue;
      const id = session.freeId();
      if (id === 0) continue;
      ids ??= new Map();
      ids.set(session, id);
      to.push([session.key, qos, id]);
    }
    // The payload is a slice of the large buffer that the socket read.
    const payload = copied ? Buffer.from(message.payload) : message.payload;
    const own: BrokerMessage = { topic: message.topic, payload, qos: message.qos, retain };
    const r = retain && isLogged(message.topic);
    const from: [string, number] | undefined = inbound?.session.persistent
      ? [inbound.session.key, inbound.id]
      : undefined;
    if (!r && !ids && !from) {
      done(null, { message: own, number: 0, ids });
      return;
    }
    const n = ++state.number;
    const record = {
      k: 'message' as const,
      n,
      m: logged(own),
      to,
      ...(r ? { r } : {}),
      ...(from ? { from } : {}),
    };
    this.parts.sessionLog().commit(record, (error) => {
      if (!error) this.undelivered.set(n, record);
      done(error, { message: own, number: n, ids });
    });
  }

  /** Delivers an accepted message to all subscribers. Returns one of them that is behind, if any. */
  deliver({ message, number, ids }: Accepted): Session | null {
    const { state } = this.parts;
    if (number > 0) this.undelivered.delete(number);
    if (message.retain) state.retained.set(message);
    const out: BrokerMessage = message.retain ? { ...message, retain: false } : message;
    let behind: Session | null = null;
    for (const [session, granted] of state.subscriptions.receivers(message.topic)) {
      const qos = Math.min(granted, message.qos) as Qos;
      if (qos === 0) session.link?.sendMessage(out, 0, 0, false);
      else {
        const id = ids?.get(session);
        this.enqueue(session, out, qos, id === undefined ? undefined : { id, number });
      }
      if (isBehind(session)) behind = session;
    }
    return behind;
  }

  /** Adds a message to a session's queue; without `at` it gets an id and a place in the log. */
  enqueue(session: Session, message: BrokerMessage, qos: 1 | 2, at?: { id: number; number: number }): void {
    const { state } = this.parts;
    const id = at?.id ?? session.freeId();
    if (id === 0) {
      this.figures.dropped++;
      return;
    }
    let number = at?.number ?? 0;
    if (!at && session.persistent) {
      number = ++state.number;
      this.parts
        .sessionLog()
        .append({ k: 'message', n: number, m: logged(message), to: [[session.key, qos, id]] });
    }
    session.add({ number, message, qos, id, state: 'waiting' });
    session.pump();
    // Retained messages of a filter arrive all at once, however many, and share memory.
    if (!message.retain) this.trim(session);
  }

  /** Records soon that the session has finished or received a message. */
  note(session: Session, k: 'done' | 'received', number: number): void {
    if (number > 0) this.parts.sessionLog().append({ k, s: session.key, n: number });
  }

  private trim(session: Session): void {
    const { queueMessages, queueBytes, queuesBytes } = this.parts.limits;
    const most = this.queuedBytes > queuesBytes && !session.link ? 0 : queueBytes;
    while (session.queued > queueMessages || (session.bytes > most && session.queued > 1)) {
      const dropped = session.dropOldest();
      if (!dropped) return;
      this.figures.dropped++;
      this.note(session, 'done', dropped.number);
      if (this.told.has(session)) continue;
      this.told.add(session);
      this.parts.log.warn(
        { session: session.key },
        "a session's queue is full: the oldest messages are dropped",
      );
    }
  }
}

/** Sends a message without a client behind it through the same steps as all others. Storage errors are logged. */
async function tell(core: Core, who: string, message: BrokerMessage): Promise<void> {
  try {
    if (isProtocolTopic(message.topic)) await core.store(who, message.topic, message.payload);
    await new Promise<void>((resolve, reject) =>
      core.offer(message, (error) => (error ? reject(error) : resolve())),
    );
    await send(core, message);
  } catch (err) {
    core.log.error({ err, topic: message.topic }, 'could not store a will');
  }
}

/** Stores and delivers the platform's own messages. */
export function send({ router }: Core, message: BrokerMessage): Promise<ReturnType<typeof router.deliver>> {
  return new Promise((resolve, reject) =>
    router.accept(message, null, (error, accepted) =>
      error ? reject(error) : resolve(router.deliver(accepted)),
    ),
  );
}

/** Publishes the will of a client that disconnected unexpectedly, or drops it (MQTT 3.1.1, 3.1.2.5). */
export async function endWill(core: Core, key: string, how: 'told' | 'dropped'): Promise<void> {
  const will = core.state.wills.get(key);
  if (!will) return;
  core.state.wills.delete(key);
  if (how === 'told' && !isOutdated(core, will)) await tell(core, key, will.message);
  core.sessionLog().append({ k: 'will', s: key, m: null });
}

/** An old connection of a device reports it offline while a newer one exists under another client id. */
function isOutdated({ isOnline }: Core, { device, message }: Will): boolean {
  return device !== null && parseTopic(message.topic)?.channel === 'presence' && isOnline(device);
}

/** Withdraws a device's retained online message when it is offline and had no will. */
export async function settlePresence(core: Core, device: string): Promise<void> {
  const topic = topicOf(device, 'presence');
  const kept = core.state.retained.get(topic);
  if (!kept || core.isOnline(device) || !saysOnline(topic, kept.payload)) return;
  const payload = encodeMessage({ online: false, t: core.now() });
  await tell(core, `device:${device}`, { topic, payload, qos: 1, retain: true });
}

function saysOnline(topic: string, payload: Buffer): boolean {
  try {
    return decodeMessage(presenceSchema, topic, payload).online;
  } catch {
    return false;
  }
}

/** After a start no client is connected: clients that were connected when the platform was killed disconnected unexpectedly. */
export async function settleAll(core: Core): Promise<void> {
  for (const key of [...core.state.wills.keys()]) await endWill(core, key, 'told');
  for (const { topic } of [...core.state.retained.matching('aiot/v1/+/presence')]) {
    const device = parseTopic(topic)?.device;
    if (device) await settlePresence(core, device);
  }
}
