import type { Logger } from 'pino';
import { createFigures } from './figures.js';
import type { BrokerLimits } from './limits.js';
import { isBehind } from './pace.js';
import { isLogged } from './retained.js';
import type { SessionLog } from './sessions/log.js';
import { type LogRecord, logged } from './sessions/record.js';
import type { Session } from './sessions/session.js';
import type { BrokerState } from './sessions/state.js';
import type { BrokerMessage, Qos } from './wire/packets.js';

export interface RouterParts {
  state: BrokerState;
  /** Comes after the state, whose lines it reads. */
  sessionLog: () => SessionLog;
  limits: BrokerLimits;
  log: Logger;
}

/** A message that may be acknowledged: what of it has to outlive this process is on disk. */
export interface Accepted {
  message: BrokerMessage;
  /** In the log under this number; 0 = it is not. */
  number: number;
  /** Packet ids for the persistent sessions that it is in the log for. */
  ids: Map<Session, number> | null;
}

/** The QoS 2 packet that a message came in. */
export interface Inbound {
  session: Session;
  id: number;
}

type Done = (error: unknown, accepted: Accepted) => void;

/** Takes messages to sessions, in two steps: `accept` stores what has to be stored, `deliver` hands over. */
export class Router {
  readonly figures = createFigures();
  /** Bytes that wait for sessions, as of the last sweep. */
  queuedBytes = 0;
  /** In the log, and in no queue yet. */
  readonly undelivered = new Map<number, LogRecord>();
  private readonly told = new WeakSet<Session>();

  constructor(private readonly parts: RouterParts) {}

  /** Calls `done` when the message may be acknowledged; at once when nothing has to be stored. */
  accept(message: BrokerMessage, inbound: Inbound | null, done: Done): void {
    const { state, limits, log } = this.parts;
    let { retain } = message;
    if (retain && !state.retained.mayKeep(message)) {
      retain = false;
      this.figures.dropped++;
      log.warn({ topic: message.topic, limit: limits.retainedMessages }, 'no room for a retained message');
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
    // The payload is a part of what the socket read, which is large.
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

  /** Hands an accepted message to all who have subscribed. Returns one of them that is behind, if any. */
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

  /** Puts a message into a session's queue; without `at` it gets an id, and a place in the log. */
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
    // What is retained comes at once for a filter, however much it is, and is shared.
    if (!message.retain) this.trim(session);
  }

  /** The session is done with a message, or knows it: noted soon. */
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
        'more waits for a session than it may: the oldest are dropped',
      );
    }
  }
}
