import { randomUUID } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { createPublishReader, Frames, ProtocolError, packetType } from '../../stream/mqtt/packets.js';
import type { Core } from './broker.js';
import { type Entrance, type Identity, mayPublish, maySubscribe } from './identity.js';
import { Outlet, whenCaughtUp } from './outlet.js';
import {
  connack,
  pingResponse,
  readConnect,
  readSubscribe,
  readUnsubscribe,
  suback,
  unsuback,
} from './requests.js';
import { endWill, Inbox, settlePresence } from './router.js';
import { type LogRecord, logged } from './session-log.js';
import { Session } from './sessions.js';
import { isFilter } from './topics.js';
import {
  ack,
  type BrokerMessage,
  type ConnectPacket,
  checkFlags,
  type Qos,
  readAck,
  returnCode,
  type SubscribePacket,
  topicOf,
} from './wire.js';

/** Shared no-op: a socket's error is followed by its close event. */
const nothing = () => {};

/** A client connection, from its socket's first byte to its last. */
export class Connection {
  readonly outlet: Outlet;
  identity: Identity | null = null;
  session: Session | null = null;
  closed = false;
  private phase: 'fresh' | 'connecting' | 'ready' = 'fresh';
  private readonly frames = new Frames();
  /** Whether its first byte began a CONNECT. */
  private greeted = false;
  private readPublish: ReturnType<typeof createPublishReader> | null = null;
  private inbox: Inbox | null = null;
  /** Monotonic ms: when the connection opened, then when data was last received. */
  heard: number;
  keepAliveMs = 0;
  /** Whether it closed with DISCONNECT or lost its rights: its will is not published. */
  private willDropped = false;
  /** MQTT 3.1 or 3.1.1. */
  private level: 3 | 4 = 4;
  /** Reading is paused: too much of its data is in flight, or a subscriber is behind. */
  private paused = false;
  private waits = false;
  /** Number of requests in progress. */
  private busy = 0;
  /** The outlet's byte count when last checked, and since when it has not changed. */
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
      // Read data that a client sent before it closed: messages that will not be resent, and a DISCONNECT that cancels its will.
      if (this.paused) this.read(null);
      void this.leave();
    });
  }

  get name(): string {
    return this.session?.key ?? this.entrance.address;
  }

  /** Closes the connection without a packet: MQTT 3 has none for it. */
  fail(error: unknown): void {
    if (this.closed) return;
    this.core.log.debug({ client: this.name, err: error }, 'closed a connection');
    this.outlet.flush();
    this.socket.destroy();
    void this.leave();
  }

  /** Closes a connection that is no longer allowed; its will is not published. */
  cutOff(): void {
    this.willDropped = true;
    this.fail(null);
  }

  /** Another connection took over the session: this one closes, and its will is published when this resolves. */
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
      this.frames.push(chunk);
    }
    const largest = this.phase === 'ready' ? core.limits.payloadBytes + 64 * 1024 : core.limits.strangerBytes;
    try {
      if (chunk) this.greet(chunk);
      let goOn = true;
      while (goOn && this.frames.next(largest)) goOn = this.take();
    } catch (error) {
      if (!(error instanceof ProtocolError)) core.log.error({ err: error }, 'could not parse a packet');
      this.fail(error);
    }
  }

  /** For other protocols, such as HTTP's "GET ", do not wait for the end of a packet. */
  private greet(chunk: Buffer): void {
    if (this.greeted || chunk.length === 0) return;
    if (chunk[0] !== packetType.connect << 4) throw new ProtocolError('the first packet is not a CONNECT');
    this.greeted = true;
  }

  /** Returns whether the next packet may be read. */
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
    // After close at most one chunk is left: it is read regardless of messages in flight.
    return !this.paused || this.socket.closed;
  }

  private handle(): void {
    const { core, outlet, frames } = this;
    const session = this.session!;
    checkFlags(frames.head, this.level);
    switch (frames.head >> 4) {
      case packetType.publish:
        this.publish();
        break;
      case packetType.puback:
        this.acknowledged(readAck(frames), 1);
        break;
      case packetType.pubrec: {
        const id = readAck(frames);
        const entry = session.received(id);
        if (entry) core.router.note(session, 'received', entry.number);
        outlet.sendRelease(id);
        break;
      }
      case packetType.pubcomp:
        this.acknowledged(readAck(frames), 2);
        break;
      case packetType.pubrel:
        this.released(readAck(frames));
        break;
      case packetType.subscribe:
        subscribe(core, this, readSubscribe(frames, this.level));
        break;
      case packetType.unsubscribe:
        unsubscribe(core, this, readUnsubscribe(frames, this.level));
        break;
      case packetType.pingreq:
        outlet.send(pingResponse);
        break;
      case packetType.disconnect:
        this.willDropped = true;
        this.finish();
        break;
      default:
        throw new ProtocolError('clients must not send this packet');
    }
  }

  private async connect(): Promise<void> {
    try {
      const connect = readConnect(this.frames);
      this.level = connect.level === 3 ? 3 : 4;
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
      if (!(error instanceof ProtocolError)) this.core.log.error({ err: error }, 'rejected a client');
      this.fail(error);
    }
  }

  private publish(): void {
    const { core, outlet } = this;
    const session = this.session!;
    this.readPublish ??= createPublishReader();
    const { qos, id, topic, payload, retain } = this.readPublish(this.frames, 4);
    const message: BrokerMessage = { topic: topicOf(topic), payload, qos, retain };
    if (!mayPublish(this.identity!, topic)) {
      core.figures.refused++;
      core.log.warn({ client: this.name, topic }, 'rejected a publish');
      this.fail(new ProtocolError('not allowed'));
      return;
    }
    if (payload.length > core.limits.payloadBytes) throw new ProtocolError('a payload is too long');
    core.figures.received++;
    core.figures.payloadIn += payload.length;
    this.inbox ??= new Inbox(core, this);
    if (qos < 2) {
      this.inbox.take(message, null, qos === 0 ? null : () => outlet.send(ack(packetType.puback, id)));
      return;
    }
    const { incoming } = session;
    // A duplicate; the first one's PUBREC is in flight or was lost.
    if (incoming.has(id)) {
      if (incoming.get(id)) outlet.send(ack(packetType.pubrec, id));
      return;
    }
    if (incoming.size >= core.limits.incoming) throw new ProtocolError('too many unreleased messages');
    incoming.set(id, false);
    this.inbox.take(message, { session, id }, () => {
      incoming.set(id, true);
      outlet.send(ack(packetType.pubrec, id));
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
    const complete = () => outlet.send(ack(packetType.pubcomp, id));
    if (!session.incoming.delete(id) || !session.persistent) {
      complete();
      return;
    }
    // From now on the client may reuse the id for another message: its release must be on disk.
    core.sessionLog().commit({ k: 'release', s: session.key, id }, (error) => {
      if (error) this.fail(error);
      else complete();
    });
  }

  /** A subscriber to its messages is behind. Operators wait for their subscribers, devices do not wait. */
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

  /** Reading is paused until this resolves. */
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

  /** Checks the connection, about every half second. */
  sweep(elapsed: number): void {
    const { limits, figures } = this.core;
    const silentMs = elapsed - this.heard;
    if (this.phase !== 'ready') {
      if (silentMs > limits.connectMs) this.expire('no CONNECT in time');
      return;
    }
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
      this.fail(new ProtocolError('the client stopped reading'));
    }
  }

  /** Closes the connection once pending output is written. */
  private finish(): void {
    this.outlet.end(this.core.limits.stalledMs);
    void this.leave();
  }

  private expire(why: string): void {
    this.core.figures.timedOut++;
    this.fail(new ProtocolError(why));
  }

  /** Runs once: the session goes offline, and the will is published. Resolves when that is stored. */
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

interface Admitted {
  identity: Identity;
  session: Session;
  sessionPresent: boolean;
}

/** Owner of a client id: another identity cannot take over a session by using its client id. */
function ownerOf(identity: Identity): string {
  if (identity.kind === 'device') return `device:${identity.name}`;
  if (identity.kind === 'board') return 'board';
  // A user's sessions are shared by all of its tokens; a token without an owner is its own owner.
  return identity.name.split(' ', 2).join(' ');
}

/**
 * Processes a CONNECT: identity, existing session, takeover. Returns the return code that refuses it (MQTT 3.1.1, table 3.1), or the admitted
 * connection's session; by then that is on disk.
 */
async function admit(core: Core, connection: Connection, connect: ConnectPacket): Promise<Admitted | number> {
  const { level, clean, clientId, will } = connect;
  if (level === 0) return returnCode.version;
  if (core.unavailable()) return returnCode.unavailable;
  // MQTT 3.1 has no empty ids; in practice its limit of 23 characters is ignored.
  if (clientId === '' && (!clean || level === 3)) return returnCode.identifier;
  if (clientId.length > core.limits.clientIdLength) return returnCode.identifier;
  const identity = await core.identify(connection, connect);
  if (typeof identity === 'string') return returnCode[identity];
  if (will && !mayPublish(identity, will.topic)) {
    core.figures.refused++;
    core.log.warn({ client: clientId, topic: will.topic }, 'rejected a will');
    return returnCode.notAuthorized;
  }
  const owner = ownerOf(identity);
  const key = `${owner}:${clientId || randomUUID()}`;
  const before = core.turns.get(key);
  const turn = (async () => {
    await before?.catch(() => {});
    if (connection.closed) return returnCode.unavailable;
    await core.byKey.get(key)?.takenOver();
    if (connection.closed) return returnCode.unavailable;
    return settle(core, connection, { identity, key, owner }, connect);
  })();
  core.turns.set(key, turn);
  try {
    return await turn;
  } finally {
    if (core.turns.get(key) === turn) core.turns.delete(key);
  }
}

async function settle(
  core: Core,
  connection: Connection,
  { identity, key, owner }: { identity: Identity; key: string; owner: string },
  { clean, will }: ConnectPacket,
): Promise<Admitted> {
  const { state } = core;
  const records: LogRecord[] = [];
  const old = state.sessions.get(key);
  if (clean && old) {
    state.end(old);
    if (old.persistent) records.push({ k: 'end', s: key });
  }
  const kept = clean ? undefined : old;
  const session = kept ?? new Session(key, !clean);
  if (!kept && !clean) makeRoom(core, identity, `${owner}:`);
  state.sessions.set(key, session);
  // Permissions were checked at SUBSCRIBE and can be narrower now, for example with a token of narrower scopes.
  for (const filter of [...session.subscriptions.keys()]) {
    if (!maySubscribe(identity, filter)) state.unsubscribe(session, filter);
  }
  for (const { number } of session.refit((topic) => maySubscribe(identity, topic))) {
    if (number > 0) records.push({ k: 'done', s: key, n: number });
  }
  if (session.persistent) records.push({ k: 'session', s: key, off: null });
  if (will) {
    const device = identity.kind === 'device' ? identity.name : null;
    state.wills.set(key, { message: will, device });
    records.push({ k: 'will', s: key, m: logged(will), ...(device === null ? {} : { who: device }) });
  } else if (state.wills.delete(key)) records.push({ k: 'will', s: key, m: null });
  core.byKey.set(key, connection);
  connection.session = session;
  connection.identity = identity;
  if (records.length > 0) {
    await new Promise<void>((resolve, reject) =>
      core.sessionLog().commitAll(records, (error) => (error ? reject(error) : resolve())),
    );
  }
  return { identity, session, sessionPresent: kept !== undefined };
}

/** Makes room for another session of an owner: the one offline longest is removed. */
function makeRoom({ state, limits, sessionLog }: Core, { kind }: Identity, prefix: string): void {
  const { sessionsPerDevice, sessionsPerUser, sessionsOfBoards } = limits;
  const most = { device: sessionsPerDevice, user: sessionsPerUser, board: sessionsOfBoards }[kind];
  // Most owners have few sessions, and there may be many owners.
  if (state.sessions.size < most) return;
  const own = [...state.sessions.values()].filter(
    ({ key, persistent }) => persistent && key.startsWith(prefix),
  );
  if (own.length < most) return;
  const oldest = own
    .filter(({ offlineSince }) => offlineSince !== null)
    .sort((a, b) => a.offlineSince! - b.offlineSince!)[0];
  if (!oldest) return;
  state.end(oldest);
  sessionLog().append({ k: 'end', s: oldest.key });
}

const refused = 128;
const mostLevels = 100;

/** Retained messages examined before yielding to other work. */
const stride = 10_000;

/** Acknowledges a SUBSCRIBE once the subscriptions are on disk, then sends retained messages. */
function subscribe(core: Core, connection: Connection, { id, subscriptions }: SubscribePacket): void {
  const session = connection.session!;
  const { figures, log } = core;
  /** A repeated filter counts once, with its last QoS: otherwise one packet could request all retained messages many times. */
  const granted = new Map<string, Qos>();
  const denied: string[] = [];
  const codes = subscriptions.map(({ filter, qos }) => {
    if (!maySubscribeTo(core, connection, session, filter)) {
      denied.push(filter);
      return refused;
    }
    core.state.subscribe(session, filter, qos);
    granted.set(filter, qos);
    return qos;
  });
  if (denied.length > 0) {
    figures.refused += denied.length;
    const shown = { client: session.key, topic: denied[0]!.slice(0, 200), count: denied.length };
    log.warn(shown, 'rejected a subscription');
  }
  const answer = () => {
    if (connection.closed) return;
    connection.outlet.send(suback(id, codes));
    sendRetained(core, connection, session, granted);
  };
  if (!session.persistent || granted.size === 0) {
    answer();
    return;
  }
  core.sessionLog().commit({ k: 'sub', s: session.key, f: [...granted] }, (error) => {
    if (error) connection.fail(error);
    else answer();
  });
}

function maySubscribeTo(
  { limits }: Core,
  { identity }: Connection,
  session: Session,
  filter: string,
): boolean {
  const room = session.subscriptions.size < limits.subscriptions || session.subscriptions.has(filter);
  const fit = filter.length <= limits.filterLength && filter.split('/').length <= mostLevels;
  return room && fit && isFilter(filter) && maySubscribe(identity!, filter);
}

/** Sends retained messages, a stride at a time: reading from this client pauses meanwhile; other clients are not affected. */
function sendRetained(
  { state, router }: Core,
  connection: Connection,
  session: Session,
  granted: ReadonlyMap<string, Qos>,
): void {
  const each = function* () {
    for (const [filter, most] of granted) {
      for (const message of state.retained.looked(filter)) {
        if (!message) {
          yield;
          continue;
        }
        const qos = Math.min(most, message.qos) as Qos;
        if (qos === 0) session.link?.sendMessage(message, 0, 0, false);
        else router.enqueue(session, message, qos);
        yield;
      }
    }
  };
  const steps = each();
  const some = () => {
    for (let count = 0; count < stride; count++) if (steps.next().done) return true;
    return false;
  };
  if (some()) return;
  const rest = async () => {
    do await nextTurn();
    while (!connection.closed && !some());
  };
  connection.busyWhile(rest());
}

/** Acknowledges an UNSUBSCRIBE once it is on disk. */
function unsubscribe(
  core: Core,
  connection: Connection,
  { id, filters }: { id: number; filters: string[] },
): void {
  const session = connection.session!;
  for (const filter of filters) core.state.unsubscribe(session, filter);
  const answer = () => connection.outlet.send(unsuback(id));
  if (!session.persistent) {
    answer();
    return;
  }
  core.sessionLog().commit({ k: 'unsub', s: session.key, f: filters }, (error) => {
    if (error) connection.fail(error);
    else answer();
  });
}
