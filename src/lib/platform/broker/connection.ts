import type { Duplex } from 'node:stream';
import { isProtocolTopic } from '../../device/protocol/codec.js';
import {
  createPublishReader,
  Frames,
  type MqttVersion,
  ProtocolError,
  type Published,
  packetType,
} from '../../stream/mqtt/packets.js';
import type { Core } from './broker.js';
import { admit, packetOverhead, sessionExpiryOf } from './connect.js';
import { type Entrance, type Identity, mayPublish } from './identity.js';
import type { PublishRate } from './limits.js';
import { Outlet, whenCaughtUp } from './outlet.js';
import { property, readProperties } from './properties.js';
import {
  connack,
  disconnect,
  levelOf,
  pingResponse,
  readAckReason,
  readConnect,
  readDisconnect,
  readSubscribe,
  readUnsubscribe,
} from './requests.js';
import { Inbox, type Origin } from './router.js';
import type { Outgoing, Session } from './sessions.js';
import { redistribute } from './shares.js';
import { subscribe, unsubscribe } from './subscribe.js';
import { isTooDeep } from './topics.js';
import { beginWill, settlePresence } from './wills.js';
import {
  ack,
  type BrokerMessage,
  type ConnectPacket,
  checkFlags,
  protocolError,
  type Qos,
  readAck,
  reasonCode,
  refusal,
  topicOf,
} from './wire.js';

/** Shared no-op for socket errors, each of which is followed by a close event. */
const nothing = () => {};

/** How long a client has to read the DISCONNECT before its connection is closed, ms. */
const partingMs = 1000;

/** A client connection, from its socket's first byte to its last. */
export class Connection {
  readonly outlet: Outlet;
  identity: Identity | null = null;
  session: Session | null = null;
  closed = false;
  private phase: 'fresh' | 'connecting' | 'ready' = 'fresh';
  private readonly frames = new Frames();
  /** Whether the first byte received was that of a CONNECT. */
  private greeted = false;
  private readPublish: ReturnType<typeof createPublishReader> | null = null;
  private inbox: Inbox | null = null;
  /** Time when data was last received, or else when the connection opened, in ms of the monotonic clock. */
  heard: number;
  keepAliveMs = 0;
  /** Whether the client sent DISCONNECT or lost its rights: the will is then not published. */
  private willDropped = false;
  private level: MqttVersion = 4;
  /** Whether acknowledgments may carry reason strings. */
  private requestProblem = true;
  /** Identifies this client as the publisher of its QoS 0 and 1 messages; created with the first of them. */
  private origin: Origin | null = null;
  /** Topics by the alias that the client assigned to each; created with the first alias. */
  private aliases: Map<number, string> | null = null;
  /** Number of the client's QoS 1 messages that are not acknowledged yet. */
  private unacknowledged = 0;
  /**
   * Whether reading is paused, because too much of the client's data is in flight, or because a subscriber is behind.
   */
  private paused = false;
  private waits = false;
  /** Publish rate of this client; null = no limit. The timer runs while the limit pauses reading. */
  private rate: PublishRate | null = null;
  private throttle: { timer: NodeJS.Timeout; begun: number } | null = null;
  /** A SUBSCRIBE or UNSUBSCRIBE that waits until earlier messages are routed; null = none. */
  private request: (() => void) | null = null;
  /** The outlet's byte count at the last check, and the time of that count's last change. */
  private taken = 0;
  private stalledAt = 0;
  private gone: Promise<void> | null = null;

  constructor(
    private readonly core: Core,
    readonly socket: Duplex,
    readonly entrance: Entrance,
  ) {
    this.heard = core.elapsed();
    this.outlet = new Outlet(socket, core);
    core.connections.add(this);
    socket.on('data', (chunk: Buffer) => this.read(chunk));
    socket.on('error', nothing);
    socket.on('close', () => {
      // Reads what the client sent before it closed: messages that will not be resent, and a DISCONNECT that cancels its will.
      if (this.paused) {
        this.runRequest();
        this.read(null);
      }
      void this.leave();
    });
  }

  get name(): string {
    return this.session?.key ?? this.entrance.address;
  }

  /** Closes the connection. MQTT 5 clients get a DISCONNECT with the reason; MQTT 3 has no packet for it. */
  fail(error: unknown): void {
    if (this.closed) return;
    this.core.log.debug({ client: this.name, err: error }, 'closed a connection');
    if (error === null) this.part(reasonCode.administrativeAction);
    else if (error instanceof ProtocolError) this.part(error.reason, error.message);
    else this.part(reasonCode.unspecified);
    void this.leave();
  }

  /** Closes a connection that is no longer allowed, without publishing its will. */
  cutOff(): void {
    if (this.closed) return;
    this.willDropped = true;
    this.part(reasonCode.notAuthorized);
    void this.leave();
  }

  /**
   * Closes this connection because another one took over the session, or because the broker is stopping. Resolves when its will is
   * published.
   */
  async leaveFor(reason: number): Promise<void> {
    if (!this.closed) this.part(reason);
    await this.leave();
  }

  /** Closes the socket. MQTT 5 clients first get a DISCONNECT, or a CONNACK if there is no session yet. */
  private part(reason: number, text = ''): void {
    const { outlet, socket } = this;
    if (this.level < 5 || this.phase === 'fresh' || outlet.waiting > partingBytes) {
      outlet.flush();
      socket.destroy();
      return;
    }
    if (this.phase === 'ready') outlet.send(disconnect(reason, text, outlet.maximumPacketSize));
    else {
      const refused = partingOnly.has(reason) ? reasonCode.serverUnavailable : reason;
      this.refuseClient(5, refused, text);
    }
    outlet.end(partingMs, true);
    // Unread data would cause a connection reset, and the client might not get the reason.
    socket.resume();
  }

  /** Sends a CONNACK that rejects the client, unless it exceeds the client's maximum packet size. */
  private refuseClient(level: ConnectPacket['level'], reason: number, text = ''): void {
    const properties = text === '' ? {} : { properties: { reasonString: text } };
    const answer = connack(level, { reason, ...properties }, this.outlet.maximumPacketSize);
    if (answer) this.outlet.send(answer);
  }

  /** Sends a response. If the response is longer than the client accepts, closes the connection instead. */
  reply(bytes: Buffer): void {
    if (bytes.length <= this.outlet.maximumPacketSize) this.outlet.send(bytes);
    else this.fail(new ProtocolError('a response is too long', { reason: reasonCode.packetTooLarge }));
  }

  private read(chunk: Buffer | null): void {
    if (this.closed) return;
    const { core } = this;
    if (chunk) {
      core.figures.bytesIn += chunk.length;
      this.heard = core.elapsed();
      this.frames.push(chunk);
    }
    const { payloadBytes, strangerBytes } = core.limits;
    const largest = this.phase === 'ready' ? payloadBytes + packetOverhead : strangerBytes;
    try {
      if (chunk) this.greet(chunk);
      let goOn = true;
      while (goOn && this.frames.next(largest)) goOn = this.take();
    } catch (error) {
      if (!(error instanceof ProtocolError)) core.log.error({ err: error }, 'could not parse a packet');
      this.fail(error);
    }
  }

  /** Rejects other protocols, such as HTTP's "GET ", at their first byte instead of waiting for the end of a packet. */
  private greet(chunk: Buffer): void {
    if (this.greeted || chunk.length === 0) return;
    if (chunk[0] !== packetType.connect << 4) throw new ProtocolError('the first packet is not a CONNECT');
    this.greeted = true;
  }

  /** Handles a packet. Returns whether the next packet may be read. */
  private take(): boolean {
    this.core.figures.packetsIn++;
    if (this.phase === 'fresh') {
      this.phase = 'connecting';
      this.socket.pause();
      void this.connect();
      return false;
    }
    this.handle();
    if (this.closed || this.phase !== 'ready') return false;
    if (this.inbox?.full) this.hold();
    // After the socket has closed, at most one chunk remains, which is processed regardless of messages in flight.
    return !this.paused || this.socket.closed;
  }

  private handle(): void {
    const { core, outlet, frames, level } = this;
    checkFlags(frames.head, level);
    switch (frames.head >> 4) {
      case packetType.publish:
        this.publish();
        break;
      case packetType.puback:
        this.acknowledged(1);
        break;
      case packetType.pubrec:
        this.received();
        break;
      case packetType.pubcomp:
        this.acknowledged(2);
        break;
      case packetType.pubrel:
        this.released();
        break;
      case packetType.subscribe: {
        const packet = readSubscribe(frames, level);
        this.inTurn(() => subscribe(core, this, level, packet));
        break;
      }
      case packetType.unsubscribe: {
        const packet = readUnsubscribe(frames, level);
        this.inTurn(() => unsubscribe(core, this, level, packet));
        break;
      }
      case packetType.pingreq:
        if (frames.to > frames.from) throw new ProtocolError('a PINGREQ with a body');
        outlet.send(pingResponse);
        break;
      case packetType.disconnect:
        this.disconnected();
        break;
      default:
        // AUTH is rejected too, because no authentication method was agreed on (MQTT 5, section 4.12).
        throw protocolError('clients must not send this packet');
    }
  }

  private async connect(): Promise<void> {
    this.core.figures.connects++;
    try {
      const level = levelOf(this.frames);
      this.level = level === 0 ? 4 : level;
      const connect = readConnect(this.frames, ({ maximumPacketSize = Number.POSITIVE_INFINITY }) => {
        this.outlet.maximumPacketSize = maximumPacketSize;
      });
      this.requestProblem = connect.requestProblem;
      const admitted = await admit(this.core, this, connect);
      if (this.closed) return;
      if (typeof admitted === 'number') {
        this.refuseClient(level, admitted);
        return this.finish();
      }
      this.begin(connect, admitted);
    } catch (error) {
      if (!(error instanceof ProtocolError)) this.core.log.error({ err: error }, 'rejected a client');
      this.fail(error);
    }
  }

  private begin(connect: ConnectPacket, admitted: Exclude<Awaited<ReturnType<typeof admit>>, number>): void {
    const { core, outlet } = this;
    const { session, sessionPresent, properties } = admitted;
    this.keepAliveMs = admitted.keepAliveSeconds * 1500;
    this.heard = core.elapsed();
    this.phase = 'ready';
    this.entrance.known?.();
    if (this.level === 5) outlet.speakFive(connect);
    outlet.onDiscard = (entry) => {
      core.figures.dropped++;
      core.router.note(session, 'done', entry);
    };
    const welcome = { reason: reasonCode.success, sessionPresent, properties };
    const answer = connack(connect.level, welcome, connect.maximumPacketSize);
    if (answer) outlet.send(answer);
    core.connected(this);
    if (this.closed) return;
    this.rate = rateOf(core, this);
    session.attach(outlet);
    outlet.onRoom = () => this.session?.pump();
    this.takeShared(session);
    this.resume();
  }

  /** Takes over messages of the client's shared subscriptions that are queued for offline members. */
  private takeShared(session: Session): void {
    const { router } = this.core;
    for (const name of session.shares()) {
      for (const member of router.share(name)?.members.keys() ?? []) {
        if (member !== session && !member.link) redistribute(router, member, false);
      }
    }
  }

  private publish(): void {
    const { core, outlet } = this;
    // Rejected and duplicate messages count too, because they also take time.
    const pauseMs = this.rate === null ? 0 : this.rate.count();
    if (pauseMs > 0) this.slowDown(pauseMs);
    this.readPublish ??= createPublishReader();
    const published = this.readPublish(this.frames, 4);
    const message = this.level === 5 ? this.messageOf(published) : plainMessage(published);
    const { qos, id } = published;
    const { incoming } = this.session!;
    // A duplicate: the PUBREC for the first is in flight or was lost.
    if (qos === 2 && incoming.has(id)) {
      if (incoming.get(id)) outlet.send(ack(packetType.pubrec, id));
      return;
    }
    const isCounted = qos === 2 || (qos === 1 && this.level === 5);
    if (isCounted && incoming.size + this.unacknowledged >= core.limits.incoming)
      throw new ProtocolError('too many unacknowledged messages', {
        reason: reasonCode.receiveMaximumExceeded,
      });
    if (!this.mayAccept(message, published)) return;
    core.figures.received++;
    core.figures.payloadIn += message.payload.length;
    this.accept(message, id);
  }

  private accept(message: BrokerMessage, id: number): void {
    const { core, outlet } = this;
    const session = this.session!;
    const { key, incoming } = session;
    this.inbox ??= new Inbox(core, this);
    this.origin ??= { key, inbound: null };
    if (message.qos === 0) {
      this.inbox.take(message, this.origin, null);
    } else if (message.qos === 1) {
      if (this.level === 5) this.unacknowledged++;
      this.inbox.take(message, this.origin, (matched) => {
        if (this.level === 5) this.unacknowledged--;
        outlet.send(ack(packetType.puback, id, this.receiptOf(message, matched)));
      });
    } else {
      incoming.set(id, false);
      this.inbox.take(message, { key, inbound: { session, id } }, (matched) => {
        incoming.set(id, true);
        outlet.send(ack(packetType.pubrec, id, this.receiptOf(message, matched)));
      });
    }
  }

  /** Reason code of an accepted message. Messages of protocol v1 always have a receiver: the platform itself. */
  private receiptOf({ topic }: BrokerMessage, matched: boolean): number {
    const isMatched = matched || this.level < 5 || isProtocolTopic(topic);
    return isMatched ? reasonCode.success : reasonCode.noMatchingSubscribers;
  }

  /** Converts an MQTT 5 PUBLISH, where the properties precede the payload. */
  private messageOf({ topic, payload, qos, retain, dup }: Published): BrokerMessage {
    if (dup && qos === 0) throw new ProtocolError('a duplicate of QoS 0');
    const read = readProperties(payload, 0, payload.length, 'publish');
    const { values, forwarded, end } = read;
    const alias = values.get(property.topicAlias);
    const message: BrokerMessage = {
      topic: topicOf(alias === undefined ? topic : this.aliased(Number(alias), topic)),
      payload: payload.subarray(end),
      qos,
      retain,
    };
    if (forwarded !== undefined) message.properties = forwarded;
    const expiry = values.get(property.messageExpiryInterval);
    if (expiry !== undefined) message.expiresAt = this.core.now() + Number(expiry) * 1000;
    return message;
  }

  /** The topic of an alias. A topic in the same packet assigns the alias (MQTT 5, section 3.3.2.3.4). */
  private aliased(alias: number, topic: string): string {
    if (alias > this.core.limits.topicAliases)
      throw new ProtocolError('an invalid topic alias', { reason: reasonCode.topicAliasInvalid });
    if (topic !== '') {
      this.aliases ??= new Map();
      this.aliases.set(alias, topicOf(topic));
      return topic;
    }
    const known = this.aliases?.get(alias);
    if (known === undefined) throw protocolError('an unknown topic alias');
    return known;
  }

  /** Whether the client may publish this message. If not, the message is rejected here. */
  private mayAccept(message: BrokerMessage, { qos, id }: Published): boolean {
    const { core } = this;
    const { topic, payload, retain } = message;
    if (this.level < 5 && topic.startsWith('$')) return this.drop(qos, id);
    if (!mayPublish(this.identity!, topic)) {
      core.log.warn({ client: this.name, topic }, 'rejected a publish');
      core.denied(this, 'publish', `the topic ${topic.slice(0, 200)}`);
      return this.refuse(qos, id, reasonCode.notAuthorized, 'not allowed');
    }
    if (isTooDeep(core.limits, topic))
      return this.refuse(qos, id, reasonCode.topicNameInvalid, 'a topic has too many levels');
    if (payload.length > core.limits.payloadBytes)
      return this.refuse(qos, id, reasonCode.quotaExceeded, 'a payload is too long');
    if (retain && this.level === 5 && qos > 0 && !core.state.retained.mayKeep(message))
      return this.refuse(qos, id, reasonCode.quotaExceeded, 'no space left for a retained message');
    return true;
  }

  /**
   * Acknowledges a message and drops it: clients must not publish on topics that begin with $ (MQTT 3.1.1, section 4.7.2). In MQTT 3.1.1,
   * the only other response is to close the connection.
   */
  private drop(qos: Qos, id: number): false {
    this.core.figures.refused++;
    this.core.log.debug({ client: this.name }, 'dropped a message on a topic that begins with $');
    if (qos === 2) this.session!.incoming.set(id, true);
    if (qos > 0) this.outlet.send(ack(qos === 1 ? packetType.puback : packetType.pubrec, id));
    return false;
  }

  /**
   * Rejects a message: in MQTT 5 through the message's acknowledgment if there is one, otherwise by closing the
   * connection.
   */
  private refuse(qos: Qos, id: number, reason: number, text: string): false {
    this.core.figures.refused++;
    if (this.level < 5 || qos === 0) throw new ProtocolError(text, { reason });
    const type = qos === 1 ? packetType.puback : packetType.pubrec;
    const explained = refusal(type, id, reason, text);
    const fits = this.requestProblem && explained.length <= this.outlet.maximumPacketSize;
    this.outlet.send(fits ? explained : ack(type, id, reason));
    return false;
  }

  private acknowledged(qos: 1 | 2): void {
    const { frames, level } = this;
    const session = this.session!;
    const id = readAck(frames, level);
    // A reason code that reports a failure ends the delivery too (MQTT 5, section 4.3).
    if (level === 5) readAckReason(frames, qos === 2);
    const entry = session.acknowledged(id, qos);
    if (!this.isKnown(entry)) return;
    this.core.router.note(session, 'done', entry);
    session.pump();
  }

  /** Handles PUBREC. */
  private received(): void {
    const { core, outlet, frames, level } = this;
    const session = this.session!;
    const id = readAck(frames, level);
    const isRefused = level === 5 && readAckReason(frames, false) >= reasonCode.unspecified;
    const entry = isRefused ? session.refused(id) : session.received(id);
    if (!this.isKnown(entry)) {
      if (!this.closed && !isRefused)
        outlet.sendRelease(id, level === 5 ? reasonCode.packetIdentifierNotFound : 0);
      return;
    }
    if (isRefused) {
      core.router.note(session, 'done', entry);
      session.pump();
      return;
    }
    core.router.note(session, 'received', entry);
    outlet.sendRelease(id);
  }

  /**
   * Whether an acknowledgment belongs to a message. If not, an MQTT 3.1.1 connection is closed. In MQTT 5, only an acknowledgment of the
   * wrong kind closes it; an unknown id is tolerated. Clients of MQTT 3.1 may repeat acknowledgments.
   */
  private isKnown(entry: Outgoing | 'unknown' | 'wrong'): entry is Outgoing {
    if (typeof entry !== 'string') return true;
    if (this.level === 4 || (this.level === 5 && entry === 'wrong'))
      throw protocolError('an acknowledgment of a message that does not await it');
    return false;
  }

  /** Handles PUBREL. */
  private released(): void {
    const { outlet, core, frames, level } = this;
    const session = this.session!;
    const id = readAck(frames, level);
    if (level === 5) readAckReason(frames, true);
    const isKnown = session.incoming.delete(id);
    const reason = isKnown || level < 5 ? reasonCode.success : reasonCode.packetIdentifierNotFound;
    const complete = () => outlet.send(ack(packetType.pubcomp, id, reason));
    if (!isKnown || !session.persistent) {
      complete();
      return;
    }
    // From now on, the client may reuse the id for another message, so its release must be on disk.
    core.sessionLog().commit({ k: 'release', s: session.key, id }, (error) => {
      if (error) this.fail(error);
      else complete();
    });
  }

  /** Handles DISCONNECT: only a normal one cancels the will. */
  private disconnected(): void {
    const { reason, sessionExpirySeconds: expiry } = readDisconnect(this.frames, this.level);
    const session = this.session!;
    if (expiry !== undefined) {
      if (session.expiryMs === 0 && expiry > 0)
        throw protocolError('a session that ends with its connection cannot outlive it');
      session.expiryMs = sessionExpiryOf(this.core.limits, expiry);
    }
    this.willDropped = reason === reasonCode.success;
    this.finish();
  }

  /** Pauses reading because a subscriber of this client's messages is behind. Only users wait for their subscribers; devices and boards do not. */
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

  /**
   * Pauses reading, because the client publishes faster than its limit. TCP flow control then slows the client in every
   * version of MQTT, and no message is lost. Rejecting messages would lose them: MQTT 3 and QoS 0 have no negative
   * acknowledgment, and clients do not repeat a message that MQTT 5 rejects with 0x97. While reading is paused,
   * publishers do not wait for this client as a subscriber, because its acknowledgments are not read.
   */
  private slowDown(pauseMs: number): void {
    const { core, outlet, rate } = this;
    if (this.throttle || this.closed || this.socket.closed || rate === null) return;
    if (!outlet.throttled) core.log.debug({ client: this.name }, 'a client publishes faster than its limit');
    core.figures.throttled++;
    outlet.throttled = true;
    this.hold();
    const timer = setTimeout(() => {
      this.endThrottle();
      const moreMs = rate.pauseMs();
      if (moreMs > 0) this.slowDown(moreMs);
      else this.roomInInbox();
    }, pauseMs);
    this.throttle = { timer, begun: core.elapsed() };
  }

  private endThrottle(): void {
    const { throttle, core } = this;
    if (!throttle) return;
    clearTimeout(throttle.timer);
    this.throttle = null;
    core.figures.throttled--;
    core.figures.throttledMs += core.elapsed() - throttle.begun;
  }

  /**
   * Handles a request after the client's earlier messages, so that a new subscription gets a message retained just
   * before it. Most clients have no messages in flight at that point. No more data is read until the request is
   * handled. If the connection is already closed, the request is handled immediately.
   */
  private inTurn(request: () => void): void {
    if (this.inbox?.unrouted && !this.socket.closed) {
      this.request = request;
      this.hold();
    } else request();
  }

  private runRequest(): void {
    const { request } = this;
    this.request = null;
    if (!this.closed) request?.();
  }

  roomInInbox(): void {
    if (this.request) {
      if (this.inbox?.unrouted) return;
      this.runRequest();
    }
    if (this.paused && !this.waits && !this.throttle && !this.inbox?.full) this.resume();
  }

  private hold(): void {
    this.paused = true;
    if (!this.closed) this.socket.pause();
  }

  private resume(): void {
    this.paused = false;
    if (this.closed) return;
    this.read(null);
    if (!this.paused && !this.closed) this.socket.resume();
  }

  /** Checks the connection, about every half second. */
  sweep(elapsed: number): void {
    const { limits, figures } = this.core;
    const silentMs = elapsed - this.heard;
    if (this.phase !== 'ready') {
      if (silentMs > limits.connectMs) this.expire('no CONNECT in time');
      return;
    }
    // The flag stays set between the short pauses if a client keeps publishing too fast.
    this.outlet.throttled = this.throttle !== null;
    // While reading is paused, nothing can be received.
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
      this.fail(new ProtocolError('the client stopped reading', { reason: reasonCode.unspecified }));
    }
  }

  /** Closes the connection once pending output has been written. */
  private finish(): void {
    this.outlet.end(this.core.limits.stalledMs);
    void this.leave();
  }

  private expire(why: string): void {
    this.core.figures.timedOut++;
    this.fail(new ProtocolError(why, { reason: reasonCode.keepAliveTimeout }));
  }

  /** Runs once: the session goes offline, and the will is published. Resolves when both are stored. */
  private leave(): Promise<void> {
    this.gone ??= this.left();
    return this.gone;
  }

  private async left(): Promise<void> {
    const { core, session } = this;
    this.closed = true;
    this.endThrottle();
    if (this.rate) this.rate.users--;
    core.connections.delete(this);
    if (!session || core.byKey.get(session.key) !== this) return;
    core.byKey.delete(session.key);
    session.detach(core.now());
    redistribute(core.router, session, false);
    if (session.expiryMs === 0) core.router.end(session);
    else core.sessionLog().append(session.record());
    for (const [id, stored] of session.incoming) if (!stored) session.incoming.delete(id);
    if (this.phase === 'ready') core.disconnected(this);
    await beginWill(core, session, this.willDropped || this.phase !== 'ready');
    if (this.identity?.kind === 'device') await settlePresence(core, this.identity.name);
  }
}

/** The publish rate of an identified client. */
function rateOf({ rates }: Core, { identity, session, entrance }: Connection): PublishRate | null {
  const { kind } = identity!;
  const device = identity?.kind === 'device' ? identity.name : '';
  return rates.enter(kind, { device, key: session!.key, address: entrance.address });
}

/** A client with more pending output than this is not sent the reason for the disconnect, because it is not reading. */
const partingBytes = 64 * 1024;

/** Reason codes that exist for DISCONNECT but not for CONNACK (MQTT 5, table 2-6). */
const partingOnly = new Set<number>([
  ...[reasonCode.serverShuttingDown, reasonCode.keepAliveTimeout, reasonCode.sessionTakenOver],
  reasonCode.administrativeAction,
]);

/** Converts a PUBLISH of MQTT 3.1 or 3.1.1. */
function plainMessage({ topic, payload, qos, retain }: Published): BrokerMessage {
  return { topic: topicOf(topic), payload, qos, retain };
}
