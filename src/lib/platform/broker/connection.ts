import { randomUUID } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Core } from './broker.js';
import { type Entrance, type Identity, mayPublish, maySubscribe } from './identity.js';
import { Outlet, whenCaughtUp } from './outlet.js';
import { endWill, Inbox, settlePresence } from './router.js';
import { type LogRecord, logged } from './session-log.js';
import { Session } from './sessions.js';
import { isFilter } from './topics.js';
import {
  ack,
  type ConnectPacket,
  checkFlags,
  connack,
  Frames,
  ProtocolError,
  packet,
  pingResponse,
  type Qos,
  readAck,
  readConnect,
  readPublish,
  readSubscribe,
  readUnsubscribe,
  returnCode,
  type SubscribePacket,
  suback,
} from './wire.js';

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

interface Admitted {
  identity: Identity;
  session: Session;
  sessionPresent: boolean;
}

/** Whose an id is: nobody can take over another's session by using its client id. */
function ownerOf(identity: Identity): string {
  if (identity.kind === 'device') return `device:${identity.name}`;
  if (identity.kind === 'board') return 'board';
  // Of a user, whatever its token; a token that is nobody's in particular is its own.
  return identity.name.split(' ', 2).join(' ');
}

/**
 * Answers a CONNECT: who it is, what of its session is there, and whose place it takes. Returns the return code that refuses it
 * (MQTT 3.1.1, table 3.1), or what it is let in with; by then that is on disk.
 */
async function admit(core: Core, connection: Connection, connect: ConnectPacket): Promise<Admitted | number> {
  const { level, clean, clientId, will } = connect;
  if (level === 0) return returnCode.version;
  if (core.unavailable()) return returnCode.unavailable;
  // MQTT 3.1 has no empty ids; its bound of 23 characters nobody keeps to.
  if (clientId === '' && (!clean || level === 3)) return returnCode.identifier;
  if (clientId.length > core.limits.clientIdLength) return returnCode.identifier;
  const identity = await core.identify(connection, connect);
  if (typeof identity === 'string') return returnCode[identity];
  if (will && !mayPublish(identity, will.topic)) {
    core.figures.refused++;
    core.log.warn({ client: clientId, topic: will.topic }, 'a will was refused');
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
  // What it may was decided when it subscribed, and can be less now: with a token of narrower scopes, say.
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

/** One more session of an owner: the one that nobody has come back to for longest makes room. */
function makeRoom({ state, limits, sessionLog }: Core, { kind }: Identity, prefix: string): void {
  const { sessionsPerDevice, sessionsPerUser, sessionsOfBoards } = limits;
  const most = { device: sessionsPerDevice, user: sessionsPerUser, board: sessionsOfBoards }[kind];
  // Most owners have few, and there may be many owners.
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

/** Retained messages that are looked at before others have their turn. */
const stride = 10_000;

/** Answers a SUBSCRIBE once what it granted is on disk, and sends what is retained. */
function subscribe(core: Core, connection: Connection, { id, subscriptions }: SubscribePacket): void {
  const session = connection.session!;
  const { figures, log } = core;
  /** A filter that comes again counts once, by its last QoS: else one packet could ask for all that is retained many times. */
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
    log.warn(shown, 'a subscription was refused');
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

/** Sends what is retained, a stride at a time: meanwhile nothing more is read of this client, and of others everything is. */
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

/** Answers an UNSUBSCRIBE once it is on disk. */
function unsubscribe(
  core: Core,
  connection: Connection,
  { id, filters }: { id: number; filters: string[] },
): void {
  const session = connection.session!;
  for (const filter of filters) core.state.unsubscribe(session, filter);
  const answer = () => connection.outlet.send(ack(packet.unsuback, id));
  if (!session.persistent) {
    answer();
    return;
  }
  core.sessionLog().commit({ k: 'unsub', s: session.key, f: filters }, (error) => {
    if (error) connection.fail(error);
    else answer();
  });
}
