import type { Duplex } from 'node:stream';
import { mayPublish } from './acl.js';
import { admit } from './connecting.js';
import type { Core } from './core.js';
import type { Entrance, Identity } from './identity.js';
import { Inbox } from './inbox.js';
import { whenCaughtUp } from './pace.js';
import type { Session } from './sessions/session.js';
import { Outlet } from './socket.js';
import { subscribe, unsubscribe } from './subscribing.js';
import { endWill, settlePresence } from './wills.js';
import { Frames } from './wire/frames.js';
import { ProtocolError, packet, returnCode } from './wire/packets.js';
import {
  checkFlags,
  readAck,
  readConnect,
  readPublish,
  readSubscribe,
  readUnsubscribe,
} from './wire/read.js';
import { ack, connack, pingResponse } from './wire/write.js';

/** One for all: a socket's error is followed by its end. */
const nothing = () => {};

/** One client's connection, from its socket's first byte to its last. */
export class Connection {
  readonly outlet: Outlet;
  identity: Identity | null = null;
  session: Session | null = null;
  closed = false;
  private phase: 'fresh' | 'connecting' | 'ready' = 'fresh';
  private readonly frames = new Frames(packet.connect << 4);
  private inbox: Inbox | null = null;
  /** ms that only rise: when it came, and when something was last heard of it. */
  heard: number;
  keepAliveMs = 0;
  /** Whether it went with DISCONNECT, or has lost its rights: then its will is not told. */
  private willDropped = false;
  /** By MQTT 3.1.1, whose reserved bits have one value each; 3.1 has DUP among them. */
  private strict = true;
  /** It is not read: too much of it is on its way, or a subscriber is behind. */
  private paused = false;
  private waits = false;
  /** What it has asked for and is not done yet. */
  private busy = 0;
  /** Of the outlet: what it had taken, and since when that is so. */
  private taken = 0;
  private stalledAt = 0;
  private gone: Promise<void> | null = null;

  constructor(
    private readonly core: Core,
    readonly socket: Duplex,
    readonly entrance: Entrance,
  ) {
    this.heard = core.elapsed();
    this.outlet = new Outlet(socket, core.figures, core.limits.socketBytes);
    core.connections.add(this);
    socket.on('data', (chunk: Buffer) => this.read(chunk));
    socket.on('error', nothing);
    socket.on('close', () => {
      // Who publishes and leaves at once has said it all: messages that nobody sends again, and that it wants no will.
      if (this.paused) this.read(null);
      void this.leave();
    });
  }

  get name(): string {
    return this.session?.key ?? this.entrance.address;
  }

  /** Ends it, without a word: there is none for it in MQTT 3. */
  fail(error: unknown): void {
    if (this.closed) return;
    this.core.log.debug({ client: this.name, err: error }, 'a connection was ended');
    this.outlet.flush();
    this.socket.destroy();
    void this.leave();
  }

  /** Ends it because it may not be here any more: what it wanted said in its absence is not said either. */
  cutOff(): void {
    this.willDropped = true;
    this.fail(null);
  }

  /** Another connection with its session: it ends, and its will has been told when this resolves. */
  async takenOver(): Promise<void> {
    this.socket.destroy();
    await this.leave();
  }

  private read(chunk: Buffer | null): void {
    if (this.closed) return;
    const { core } = this;
    if (chunk) {
      core.figures.bytesIn += chunk.length;
      this.heard = core.elapsed();
    }
    const largest = this.phase === 'ready' ? core.limits.payloadBytes + 64 * 1024 : core.limits.strangerBytes;
    try {
      this.frames.push(chunk, largest, this.take);
    } catch (error) {
      if (!(error instanceof ProtocolError)) core.log.error({ err: error }, 'a packet broke its reader');
      this.fail(error);
    }
  }

  /** Returns whether the next packet may be read. */
  private readonly take = (head: number, bytes: Buffer, from: number, to: number): boolean => {
    this.core.figures.packetsIn++;
    if (this.phase === 'fresh') {
      if (head !== packet.connect << 4) throw new ProtocolError('the first packet is no CONNECT');
      this.phase = 'connecting';
      this.socket.pause();
      void this.connect(bytes, from, to);
      return false;
    }
    this.handle(head, bytes, from, to);
    if (this.closed || this.phase !== 'ready') return false;
    if (this.inbox?.full) this.hold();
    // When it has closed, no more than a chunk is left: it is read whatever is on its way.
    return !this.paused || this.socket.closed;
  };

  private handle(head: number, bytes: Buffer, from: number, to: number): void {
    const { core, outlet } = this;
    const session = this.session!;
    checkFlags(head, this.strict);
    switch (head >> 4) {
      case packet.publish:
        this.publish(head, bytes, from, to);
        break;
      case packet.puback:
        this.acknowledged(readAck(bytes, from, to), 1);
        break;
      case packet.pubrec: {
        const id = readAck(bytes, from, to);
        const entry = session.received(id);
        if (entry) core.router.note(session, 'received', entry.number);
        outlet.sendRelease(id);
        break;
      }
      case packet.pubcomp:
        this.acknowledged(readAck(bytes, from, to), 2);
        break;
      case packet.pubrel:
        this.released(readAck(bytes, from, to));
        break;
      case packet.subscribe:
        subscribe(core, this, readSubscribe(head, bytes, from, to));
        break;
      case packet.unsubscribe:
        unsubscribe(core, this, readUnsubscribe(head, bytes, from, to));
        break;
      case packet.pingreq:
        outlet.send(pingResponse);
        break;
      case packet.disconnect:
        this.willDropped = true;
        this.finish();
        break;
      default:
        throw new ProtocolError('a packet that a client does not send');
    }
  }

  private async connect(bytes: Buffer, from: number, to: number): Promise<void> {
    try {
      const connect = readConnect(bytes, from, to);
      this.strict = connect.level !== 3;
      const admitted = await admit(this.core, this, connect);
      if (this.closed) return;
      if (typeof admitted === 'number') {
        this.outlet.send(connack(admitted));
        return this.finish();
      }
      this.keepAliveMs = connect.keepAliveSeconds * 1500;
      this.heard = this.core.elapsed();
      this.phase = 'ready';
      this.entrance.known?.();
      this.outlet.send(connack(returnCode.accepted, admitted.sessionPresent));
      this.core.connected(this);
      if (this.closed) return;
      admitted.session.attach(this.outlet);
      this.outlet.onRoom = () => this.session?.pump();
      this.resume();
    } catch (error) {
      if (!(error instanceof ProtocolError))
        this.core.log.error({ err: error }, 'a client could not be let in');
      this.fail(error);
    }
  }

  private publish(head: number, bytes: Buffer, from: number, to: number): void {
    const { core, outlet } = this;
    const session = this.session!;
    const message = readPublish(head, bytes, from, to);
    const { qos, id, topic, payload } = message;
    if (!mayPublish(this.identity!, topic)) {
      core.figures.refused++;
      core.log.warn({ client: this.name, topic }, 'a publish was refused');
      this.fail(new ProtocolError('not allowed'));
      return;
    }
    if (payload.length > core.limits.payloadBytes) throw new ProtocolError('a payload is too long');
    core.figures.received++;
    core.figures.payloadIn += payload.length;
    this.inbox ??= new Inbox(core, this);
    if (qos < 2) {
      this.inbox.take(message, null, qos === 0 ? null : () => outlet.send(ack(packet.puback, id)));
      return;
    }
    const { incoming } = session;
    // A repeat; the first one's PUBREC is on its way, or was lost.
    if (incoming.has(id)) {
      if (incoming.get(id)) outlet.send(ack(packet.pubrec, id));
      return;
    }
    if (incoming.size >= core.limits.incoming)
      throw new ProtocolError('too many messages that are not released');
    incoming.set(id, false);
    this.inbox.take(message, { session, id }, () => {
      incoming.set(id, true);
      outlet.send(ack(packet.pubrec, id));
    });
  }

  private acknowledged(id: number, qos: 1 | 2): void {
    const session = this.session!;
    const entry = session.acknowledged(id, qos);
    if (!entry) return;
    this.core.router.note(session, 'done', entry.number);
    session.pump();
  }

  private released(id: number): void {
    const { outlet, core } = this;
    const session = this.session!;
    const complete = () => outlet.send(ack(packet.pubcomp, id));
    if (!session.incoming.delete(id) || !session.persistent) {
      complete();
      return;
    }
    // The client may use the id for another message from then on: that it is free has to be on disk.
    core.sessionLog().commit({ k: 'release', s: session.key, id }, (error) => {
      if (error) this.fail(error);
      else complete();
    });
  }

  /** A subscriber of what it has published is behind. Operators wait for theirs, devices for nobody. */
  behind(session: Session): void {
    if (this.identity?.kind !== 'user' || session === this.session || this.closed) return;
    if (this.waits) return;
    this.waits = true;
    this.hold();
    whenCaughtUp(session, () => {
      this.waits = false;
      this.roomInInbox();
    });
  }

  /** It is read no further until this has resolved. */
  busyWhile(work: Promise<unknown>): void {
    this.busy++;
    this.hold();
    const done = () => {
      this.busy--;
      this.roomInInbox();
    };
    work.then(done, (error: unknown) => {
      done();
      this.fail(error);
    });
  }

  roomInInbox(): void {
    if (this.paused && !this.waits && this.busy === 0 && !this.inbox?.full) this.resume();
  }

  private hold(): void {
    this.paused = true;
    this.socket.pause();
  }

  private resume(): void {
    this.paused = false;
    if (this.closed) return;
    this.read(null);
    if (!this.paused && !this.closed) this.socket.resume();
  }

  /** Looks after it, every half second or so. */
  sweep(elapsed: number): void {
    const { limits, figures } = this.core;
    const silentMs = elapsed - this.heard;
    if (this.phase !== 'ready') {
      if (silentMs > limits.connectMs) this.expire('no CONNECT in time');
      return;
    }
    // While it is not read, nothing can be heard of it.
    if (this.paused) this.heard = elapsed;
    else if (this.keepAliveMs > 0 && silentMs > this.keepAliveMs) {
      this.expire('no PINGREQ in time');
      return;
    }
    if (this.outlet.waiting === 0 || this.outlet.taken !== this.taken) {
      this.taken = this.outlet.taken;
      this.stalledAt = elapsed;
    } else if (elapsed - this.stalledAt > limits.stalledMs) {
      figures.timedOut++;
      this.fail(new ProtocolError('it takes nothing any more'));
    }
  }

  /** Ends it when what waits is written. */
  private finish(): void {
    this.outlet.end(this.core.limits.stalledMs);
    void this.leave();
  }

  private expire(why: string): void {
    this.core.figures.timedOut++;
    this.fail(new ProtocolError(why));
  }

  /** Once: the session goes offline, and the will is told. Resolves when that is stored. */
  private leave(): Promise<void> {
    this.gone ??= this.left();
    return this.gone;
  }

  private async left(): Promise<void> {
    const { core, session } = this;
    this.closed = true;
    core.connections.delete(this);
    if (!session || core.byKey.get(session.key) !== this) return;
    core.byKey.delete(session.key);
    session.detach(core.now());
    if (!session.persistent) core.state.end(session);
    else core.sessionLog().append({ k: 'session', s: session.key, off: session.offlineSince });
    for (const [id, stored] of session.incoming) if (!stored) session.incoming.delete(id);
    if (this.phase === 'ready') core.disconnected(this);
    await endWill(core, session.key, this.willDropped || this.phase !== 'ready' ? 'dropped' : 'told');
    if (this.identity?.kind === 'device') await settlePresence(core, this.identity.name);
  }
}
