import type { Retained } from '../retained.js';
import type { Subscriptions } from '../subscriptions.js';
import { type BrokerCounts, mostNoted } from '../verify.js';
import type { BrokerMessage } from '../wire/packets.js';
import { type LogRecord, logged, unlogged } from './record.js';
import { Session } from './session.js';

/** A will, and whose word it is: the name of a device, or null. */
export interface Will {
  message: BrokerMessage;
  device: string | null;
}

/** All that the broker remembers: sessions by key, their subscriptions, wills of who is connected, retained messages. */
export class BrokerState {
  readonly sessions = new Map<string, Session>();
  readonly wills = new Map<string, Will>();
  /** Of the newest message in the log. */
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

  /** Forgets a session with all that waits for it. */
  end(session: Session): void {
    for (const filter of session.subscriptions.keys()) this.subscriptions.remove(filter, session);
    session.subscriptions.clear();
    if (this.sessions.get(session.key) === session) this.sessions.delete(session.key);
  }

  /** What a line of the log did. A line for a session that has ended changes nothing. */
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
      // Sent or not is not in the log: after a restart all of it may have been.
      this.sessions.get(key)?.restore({ number: n, message, qos, id, state: state ?? 'again' });
    }
    if (from) this.sessions.get(from[0])?.incoming.set(from[1], true);
  }

  /** What is kept, with the names of some of it. */
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
