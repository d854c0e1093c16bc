import { type BrokerMessage, type Qos, weightOf } from '../wire/packets.js';

/** Where a session's packets go while its client is connected. */
export interface Link {
  sendMessage(message: BrokerMessage, qos: Qos, id: number, dup: boolean): void;
  sendRelease(id: number): void;
  /** Whether it takes more now. */
  readonly roomy: boolean;
  /** Bytes that it has taken so far. */
  readonly taken: number;
}

/** A message on its way to a session, with QoS 1 or 2. */
export interface Outgoing {
  /** The number that the log knows it by; 0 = it is not in the log. */
  number: number;
  message: BrokerMessage;
  qos: 1 | 2;
  id: number;
  /** `released`: the client has it (PUBREC), and is to forget its id. */
  state: 'waiting' | 'sent' | 'again' | 'released';
}

/** Messages that are sent and not acknowledged yet, at most. */
const window = 100;
const largestId = 65_535;

/** What is left of a client between connections (MQTT 3.1.1, 4.1); of a clean one nothing is. */
export class Session {
  readonly subscriptions = new Map<string, Qos>();
  /** By packet id, in their order. */
  private readonly outgoing = new Map<number, Outgoing>();
  /** Those of them that are to be sent, from `next` on. */
  private unsent: Outgoing[] = [];
  private next = 0;
  private inFlight = 0;
  private lastId = 0;
  /** Ids of QoS 2 that came and are not released: true = stored. */
  readonly incoming = new Map<number, boolean>();
  link: Link | null = null;
  bytes = 0;
  /** Rises with each acknowledgement. */
  progress = 0;
  /** Called when it may have caught up. */
  readonly waiters = new Set<() => void>();
  /** Since when nobody is connected, ms since 1970; null while somebody is. */
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

  /** A packet id that is free, and not given again before all others were; 0 = there is none. */
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

  /** Adds what a log tells of an earlier run. */
  restore(entry: Outgoing): void {
    this.add(entry);
    this.lastId = entry.id;
  }

  /** Takes out the oldest that is not on its way. */
  dropOldest(): Outgoing | null {
    for (let at = this.next; at < this.unsent.length; at++) {
      const entry = this.unsent[at]!;
      // The client may know the id of one with QoS 2 that was sent before.
      if (entry.state !== 'waiting' && (entry.state !== 'again' || entry.qos === 2)) continue;
      this.unsent.splice(at, 1);
      this.take(entry);
      return entry;
    }
    return null;
  }

  /** Takes out what is not on its way and that `isFit` is not true of; for a session that nobody is connected to. */
  *refit(isFit: (topic: string) => boolean): Generator<Outgoing> {
    for (const entry of [...this.outgoing.values()]) {
      if (entry.state === 'released' || isFit(entry.message.topic)) continue;
      this.take(entry);
      yield entry;
    }
  }

  /** Sends what fits into the window. */
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

  /** A new connection: what was not acknowledged is sent again, in its order (MQTT 3.1.1, 4.4). */
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

  /** PUBACK, or PUBCOMP: it is done. Returns it, or null when there is none of this id. */
  acknowledged(id: number, qos: 1 | 2): Outgoing | null {
    const entry = this.outgoing.get(id);
    if (!entry || entry.qos !== qos || (qos === 2 ? entry.state !== 'released' : entry.state !== 'sent'))
      return null;
    this.inFlight--;
    this.progress++;
    this.take(entry);
    return entry;
  }

  /** PUBREC: it needs its payload no more. */
  received(id: number): Outgoing | null {
    const entry = this.outgoing.get(id);
    if (entry?.qos !== 2 || entry.state !== 'sent') return null;
    this.progress++;
    this.release(entry);
    return entry;
  }

  /** Takes one out, whatever its state: what a log tells of an earlier run. */
  forget(number: number): void {
    for (const entry of this.outgoing.values()) {
      if (entry.number === number) {
        this.take(entry);
        return;
      }
    }
  }

  /** As `received`, for what a log tells. */
  markReceived(number: number): void {
    for (const entry of this.outgoing.values()) {
      if (entry.number !== number) continue;
      this.release(entry);
      return;
    }
  }

  /** The client has it: its id alone is kept. */
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
