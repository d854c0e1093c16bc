import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { WebSocket } from 'ws';
import * as z from 'zod';
import type { RemoteSession } from '../../api/contract/devices.js';
import {
  type RemoteOpen,
  type RemoteRequest,
  remoteCloseCodes,
  remoteConsentMs,
  remoteRefusalSchema,
  remoteTarget,
} from '../../api/remote.js';
import { AiotError } from '../../core/errors.js';
import { makeFolder, readJson } from '../../core/files.js';
import { deferred, onAbort } from '../../core/tasks.js';
import { parsedJson } from '../../core/text.js';
import { backOffMs, formatDuration } from '../../core/time.js';
import { closeReason } from '../../device/remote/tunnel.js';
import type { Reach } from '../access/reach.js';
import type { Sessions } from '../access/users.js';
import type { UserIdentity } from '../broker/identity.js';
import type { Events } from '../events/events.js';
import type { Store } from '../store/database.js';
import { every } from '../workers.js';
import type { Devices } from './devices.js';
import type { RemotePeers } from './remote-peers.js';
import { type Recorded, type RemoteRecording, RemoteRecordings } from './remote-recording.js';

interface Parts {
  /** The platform's folder. */
  dataDir: string;
  store: Store;
  /** The agents of other replicas. */
  peers: RemotePeers;
  devices: Devices;
  events: Events;
  sessions: Sessions;
  log: Logger;
  /** Whether shells are recorded. */
  records?: boolean | undefined;
  /** ms since 1970 */
  now: () => number;
}

/** Maximum number of open sessions: of one device, of one token, and in all. */
const mostSessions = { device: 8, token: 16, all: 256 };
/** How often sessions are checked, and how often the two connections must show that they are alive, ms. */
const tickMs = 500;
const beatMs = 15_000;
/** How often agents and sessions are compared with those that all replicas have recorded, ms. */
const reviewMs = 2000;
/** How much may be pending for a slow receiver before its sender is paused, bytes. */
const pendingBytes = 512 * 1024;
/** Fastest rate of a session in each direction, bytes per second. */
export const remoteBytesPerSecond = 16 * 1024 * 1024;
/** How long a client may take to answer the close frame, ms. */
const partingMs = 1000;
/** Attempts to record the end of a session: about two minutes while the platform runs, and a few seconds while it stops. */
const endAttempts = { running: 16, stopping: 5 };
const endPauseMs = { first: 250, longest: 10_000 };

/** The agent on a device: its connection, and the sessions that wait for its consent. */
interface Agent {
  /** Id of the connection. */
  id: string;
  device: string;
  fingerprint: string;
  socket: WebSocket;
  isAlive: boolean;
  /** Whether other replicas can know of the connection. */
  recorded: 'no' | 'begun' | 'yes';
  /** Resolves once no more is being recorded. */
  recording: Promise<void>;
  waiting: Map<string, { resolve(socket: WebSocket): void; reject(error: AiotError): void }>;
}

/** A session as the audit log and the table of open sessions describe it. */
const recordSchema = z.object({
  session: z.string(),
  device: z.string(),
  who: z.string(),
  kind: z.enum(['shell', 'forward', 'copy']),
  target: z.string(),
  opened: z.number(),
  until: z.number(),
});
type Record = z.output<typeof recordSchema>;

interface OpenSession extends Record {
  user: UserIdentity;
  agent: Agent;
  sides: { user: Side; device: Side };
  end(reason: string, code?: number): void;
}

interface Side {
  socket: WebSocket;
  bytes: number;
  /** Bytes that may still be received in this tick. */
  budget: number;
  isAlive: boolean;
}

/**
 * Remote access to devices. An agent keeps a connection to the platform and opens another one for each session that it accepts; the
 * platform passes messages between that connection and the user's. Sessions are limited in time, and end when the user, the token, the
 * device or its certificate loses its rights.
 */
export class RemoteAccess {
  private readonly agents = new Map<string, Agent>();
  private readonly open = new Map<string, OpenSession>();
  /** Sessions that wait for consent. */
  private readonly asked = new Set<{ token: string; device: string }>();
  /** Sessions whose end is not recorded yet. */
  private readonly unfinished = new Set<string>();
  /** Ends that are being recorded, and agents that are being withdrawn. */
  private readonly ending = new Set<Promise<void>>();
  /** Aborted when the platform stops, so that pauses end. */
  private readonly stopping = new AbortController();
  readonly recordings: RemoteRecordings;
  private readonly timer: NodeJS.Timeout;
  private readonly reviewing = new AbortController();
  private reviewed: Promise<void> = Promise.resolve();
  private sinceBeatMs = 0;

  constructor(private readonly parts: Parts) {
    this.recordings = new RemoteRecordings(this.folder, parts.now);
    // Each end that waits for its next attempt listens.
    setMaxListeners(0, this.stopping.signal);
    this.timer = setInterval(() => this.tick(), tickMs);
    this.timer.unref();
  }

  private get folder(): string {
    return join(this.parts.dataDir, 'remote');
  }

  /** Records the end of sessions that were open when the platform was killed, and begins to compare with other replicas. */
  async recover(): Promise<void> {
    await this.recordFiles();
    await this.review();
    if (!this.parts.peers.isShared) return;
    this.reviewed = every(reviewMs, this.reviewing.signal, () =>
      this.review().catch((err: unknown) =>
        this.parts.log.warn({ err }, 'could not compare the agents for remote access; retrying'),
      ),
    );
  }

  /** Earlier versions recorded open sessions in files. */
  private async recordFiles(): Promise<void> {
    const names = await readdir(this.folder).catch((): string[] => []);
    for (const name of names.filter((each) => each.endsWith('.json'))) {
      const file = join(this.folder, name);
      const record = recordSchema.safeParse(await readJson(file).catch(() => null)).data;
      if (record) {
        const recorded = await this.recordings.found(record.session);
        const bytes = { from: null, to: null };
        await this.parts.events.record(endOf(record, killed, bytes, recorded, this.parts.now()));
      }
      await rm(file, { force: true });
    }
  }

  /**
   * Closes agents that have connected to another replica since, and records the end of sessions whose replica is gone. Sessions of this
   * replica end too if another one has recorded their end because this one was stalled.
   */
  private async review(): Promise<void> {
    const { peers, store } = this.parts;
    const { missing, replaced } = await peers.review(this.agents);
    for (const agent of missing) this.announce(agent);
    for (const agent of replaced) this.replace(agent);
    const open = [...this.open.values()];
    const rows = await store.selectFrom('remoteSessions').selectAll().execute();
    const recordedOpen = new Set(rows.map(({ session }) => session));
    for (const each of open)
      if (!recordedOpen.has(each.session)) each.end('another replica had recorded its end');
    const running = await peers.runningReplicas();
    for (const { session, replica, record } of rows) {
      const isOwn = replica === peers.replica;
      if (isOwn ? this.open.has(session) || this.unfinished.has(session) : running.has(replica)) continue;
      const known = recordSchema.safeParse(parsedJson(record)).data;
      const recorded = known ? await this.recordings.found(session) : null;
      await this.recordEnd(
        session,
        known && endOf(known, killed, { from: null, to: null }, recorded, this.parts.now()),
      );
    }
  }

  /** The agent of a device is connected. An older connection of the same device ends. */
  connect({ device, fingerprint }: Pick<Agent, 'device' | 'fingerprint'>, socket: WebSocket): void {
    const agent: Agent = {
      ...{ id: randomUUID(), device, fingerprint, socket, isAlive: true, waiting: new Map() },
      ...{ recorded: 'no', recording: this.agents.get(device)?.recording ?? Promise.resolve() },
    };
    const older = this.agents.get(device);
    this.agents.set(device, agent);
    if (older) this.replace(older);
    this.announce(agent);
    socket.on('error', () => socket.terminate());
    socket.on('pong', () => {
      agent.isAlive = true;
    });
    socket.on('message', (data) => {
      const refusal = refusalIn(data as Buffer);
      if (!refusal) socket.close(1008, 'an invalid message');
      else
        agent.waiting
          .get(refusal.refuse)
          ?.reject(new AiotError('AIOT_REMOTE_REFUSED', `${device}: ${refusal.reason}`));
    });
    socket.once('close', () => {
      if (this.agents.get(device) === agent) this.agents.delete(device);
      for (const { reject } of agent.waiting.values()) reject(noAgent(device));
      // The agent may have been connected so briefly that it is recorded only now. If it stays recorded, the next review removes it.
      this.untilStopped(agent.recording.then(() => this.parts.peers.withdraw([agent.id])).catch(() => {}));
    });
  }

  /**
   * Records that an agent is connected to this replica, once it is. Connections of a device are recorded one after the other, so that the
   * row is that of the newest one.
   */
  private announce(agent: Agent): void {
    const { peers, log } = this.parts;
    const { id, device } = agent;
    agent.recorded = 'begun';
    const record = async () => {
      if (this.agents.get(device) === agent) await peers.announce(device, id);
      agent.recorded = 'yes';
    };
    agent.recording = agent.recording.then(record).catch((err: unknown) => {
      // The next review tries again.
      agent.recorded = 'no';
      log.warn({ err, device }, 'could not record the agent for remote access; retrying');
    });
  }

  private replace({ socket }: Agent): void {
    socket.close(remoteCloseCodes.replaced, 'another agent of this device connected');
  }

  /** Whether the agent of the device is connected to this replica. */
  hasAgent(device: string): boolean {
    return this.agents.has(device);
  }

  /** Whether a session of the device waits for its agent. */
  isAwaited(device: string, session: string): boolean {
    return this.agents.get(device)?.waiting.has(session) ?? false;
  }

  /** The agent accepts a session with this connection. */
  join(device: string, session: string, socket: WebSocket): void {
    socket.on('error', () => socket.terminate());
    socket.pause();
    const waiting = this.agents.get(device)?.waiting.get(session);
    if (waiting) waiting.resolve(socket);
    else socket.close(1008, 'the session is no longer awaited');
  }

  /**
   * Asks a device for a session, and records it in the audit log. Returns a function that connects the user.
   * @throws AIOT_NOT_FOUND, AIOT_DEVICE_OFFLINE, AIOT_RATE_LIMITED, AIOT_REMOTE_REFUSED
   */
  async ask(device: string, request: RemoteRequest, user: UserIdentity, signal: AbortSignal) {
    const { devices, events, peers, store, now } = this.parts;
    devices.record(device);
    const agent = this.agents.get(device);
    if (!agent) throw noAgent(device);
    this.requireRoom(device, user);
    const opened = now();
    const record: Record = {
      ...{ session: randomUUID(), device, who: user.name, kind: request.kind },
      ...{ target: remoteTarget(request), opened, until: opened + request.forMs },
    };
    const { session, who, kind, target, until } = record;
    const asked = { token: user.token, device };
    this.asked.add(asked);
    let socket: WebSocket;
    try {
      socket = await this.consent(agent, { open: session, who, until, request }, signal);
    } catch (error) {
      if (error instanceof AiotError && error.code === 'AIOT_REMOTE_REFUSED')
        await events.record({
          ...{ who, type: 'device.remote-refused', subject: device },
          data: { session, kind, target, reason: error.message },
        });
      throw error;
    } finally {
      this.asked.delete(asked);
    }
    let recording: RemoteRecording | null = null;
    let broken: string | undefined;
    let stop = (reason: string) => {
      broken = reason;
    };
    this.unfinished.add(session);
    try {
      await makeFolder(this.folder, 0o700);
      if (this.parts.records && request.kind === 'shell')
        recording = await this.recordings.begin({ session, device, who, target }, request, (reason) =>
          stop(reason),
        );
      const data = { session, kind, target, until };
      const row = { session, replica: peers.replica, record: JSON.stringify(record) };
      await store.transaction().execute(async (transaction) => {
        await transaction.insertInto('remoteSessions').values(row).execute();
        await events.record({ who, type: 'device.remote', subject: device, data }, transaction);
      });
    } catch (error) {
      this.unfinished.delete(session);
      socket.terminate();
      await recording?.end();
      await this.recordings.remove(session);
      throw error;
    }
    return {
      connect: (own: WebSocket) => {
        stop = this.begin(record, user, agent, { user: own, device: socket }, recording);
        // The recording may have failed while the user's connection was made.
        if (broken !== undefined) stop(broken);
      },
      /** The user is gone. */
      abandon: () => {
        socket.terminate();
        this.finish(record, 'the user disconnected', { from: 0, to: 0 }, recording);
      },
    };
  }

  /** Open sessions, oldest first. @param reach only sessions of these devices; null = all @param device only sessions of this one */
  list(reach: Reach | null, device?: string): RemoteSession[] {
    const wanted = [...this.open.values()].filter(
      (each) => (device === undefined || each.device === device) && reach?.has(each.device) !== false,
    );
    return wanted.map(shown).sort((a, b) => a.opened - b.opened);
  }

  /** Ends a session. @returns the session as it was @throws AIOT_NOT_FOUND, also for a session of a device out of reach */
  end(id: string, who: string, reach: Reach | null): RemoteSession {
    const session = this.open.get(id);
    if (!session || reach?.has(session.device) === false)
      throw new AiotError('AIOT_NOT_FOUND', `no open remote session has the ID ${id.slice(0, 64)}`, {
        next: 'To see the open sessions, run `aiot device sessions list`.',
      });
    const before = shown(session);
    session.end(`closed by ${who}`);
    return before;
  }

  /** Ends all sessions and connections because the platform is stopping; resolves once the ends are recorded. */
  async close(): Promise<void> {
    clearInterval(this.timer);
    for (const session of [...this.open.values()]) session.end('the platform is stopping', 1001);
    const agents = [...this.agents.values()].map(({ socket }) => socket);
    for (const socket of agents) socket.close(1001, 'the platform is stopping');
    const timer = setTimeout(() => {
      for (const socket of agents) socket.terminate();
    }, partingMs);
    await Promise.all(
      agents.map((socket) =>
        socket.readyState === socket.CLOSED ? null : new Promise((resolve) => socket.once('close', resolve)),
      ),
    );
    clearTimeout(timer);
    this.stopping.abort();
    await Promise.all(this.ending);
    this.parts.peers.close();
    this.reviewing.abort();
    await this.reviewed;
    await this.parts.peers.leave().catch(() => {});
  }

  /** The platform stops only after this work. */
  private untilStopped(work: Promise<void>): void {
    const ending = work.finally(() => this.ending.delete(ending));
    this.ending.add(ending);
  }

  private requireRoom(device: string, { token }: UserIdentity): void {
    const taken = [
      ...this.asked,
      ...[...this.open.values()].map((each) => ({ token: each.user.token, device: each.device })),
    ];
    const ofDevice = taken.filter((each) => each.device === device).length;
    const ofToken = taken.filter((each) => each.token === token).length;
    const most = mostSessions;
    const full =
      ofDevice >= most.device
        ? `${device} has ${ofDevice} remote sessions`
        : ofToken >= most.token
          ? `this token has ${ofToken} remote sessions`
          : taken.length >= most.all
            ? `the platform has ${taken.length} remote sessions`
            : null;
    if (full !== null)
      throw new AiotError('AIOT_RATE_LIMITED', `${full}, which is the maximum`, { retryable: true });
  }

  /** Waits until the agent accepts. @throws AIOT_REMOTE_REFUSED, AIOT_DEVICE_OFFLINE */
  private async consent(agent: Agent, request: RemoteOpen, signal: AbortSignal): Promise<WebSocket> {
    const { device, socket, waiting } = agent;
    const accepted = deferred<WebSocket>();
    waiting.set(request.open, accepted);
    const fail = (code: 'AIOT_REMOTE_REFUSED' | 'AIOT_DEVICE_OFFLINE', message: string) => () =>
      accepted.reject(new AiotError(code, message));
    const patience = formatDuration(remoteConsentMs);
    const timer = setTimeout(
      fail('AIOT_REMOTE_REFUSED', `${device} did not accept the session within ${patience}`),
      remoteConsentMs,
    );
    const leave = onAbort(signal, fail('AIOT_DEVICE_OFFLINE', 'the caller did not wait'));
    try {
      socket.send(JSON.stringify(request));
      return await accepted.promise;
    } finally {
      clearTimeout(timer);
      leave();
      waiting.delete(request.open);
    }
  }

  /** Passes messages between the two connections until one of them closes, or the session loses its right to exist. */
  private begin(
    record: Record,
    user: UserIdentity,
    agent: Agent,
    sockets: { user: WebSocket; device: WebSocket },
    recording: RemoteRecording | null,
  ): (reason: string) => void {
    const side = (socket: WebSocket): Side => ({
      ...{ socket, bytes: 0, budget: (remoteBytesPerSecond * tickMs) / 1000, isAlive: true },
    });
    const sides = { user: side(sockets.user), device: side(sockets.device) };
    let ended = false;
    const end = (reason: string, code: number = remoteCloseCodes.ended) => {
      if (ended) return;
      ended = true;
      endOfToken();
      this.open.delete(record.session);
      for (const { socket } of Object.values(sides)) closeSocket(socket, code, reason);
      this.finish(record, reason, { from: sides.device.bytes, to: sides.user.bytes }, recording);
    };
    const endOfToken = this.parts.sessions.begin(user, () =>
      end('the token was revoked or expired, or its rights changed'),
    );
    this.open.set(record.session, { ...record, user, agent, sides, end });
    for (const [from, to, name] of [
      [sides.user, sides.device, 'user'],
      [sides.device, sides.user, 'device'],
    ] as const) {
      // Recorded before the message is passed on, so that nothing happens unrecorded.
      if (recording)
        from.socket.on('message', (data, isBinary) => recording.take(name, data as Buffer, isBinary));
      forward(from, to);
      from.socket.on('error', () => from.socket.terminate());
      from.socket.on('pong', () => {
        from.isAlive = true;
      });
      from.socket.once('close', (code, reason) => {
        const isClean = code === 1000;
        const told = reason.toString('utf8');
        end(
          isClean ? `the ${name} closed it` : `the ${name} disconnected${told === '' ? '' : ` (${told})`}`,
          isClean ? 1000 : remoteCloseCodes.lost,
        );
      });
    }
    const { session, until } = record;
    sides.user.socket.send(JSON.stringify({ session, until, recorded: recording !== null }));
    for (const { socket } of Object.values(sides)) socket.resume();
    // Both the rights and the connections may have ended while the device was asked.
    for (const [name, { socket }] of Object.entries(sides))
      if (socket.readyState !== socket.OPEN) end(`the ${name} disconnected`);
    const begun = this.open.get(session);
    if (begun) this.check(begun);
    return (reason) => end(reason);
  }

  private tick(): void {
    for (const session of [...this.open.values()]) this.check(session);
    for (const agent of this.agents.values())
      if (this.parts.devices.authenticated(agent.fingerprint) === null)
        agent.socket.close(1008, 'not allowed');
    this.sinceBeatMs += tickMs;
    if (this.sinceBeatMs < beatMs) return;
    this.sinceBeatMs = 0;
    const ends = [...this.open.values()].flatMap(({ sides }) => Object.values(sides));
    for (const one of [...this.agents.values(), ...ends]) {
      if (!one.isAlive) one.socket.terminate();
      else one.socket.ping();
      one.isAlive = false;
    }
  }

  private check(session: OpenSession): void {
    const { devices, now } = this.parts;
    const { device, agent, user, sides } = session;
    if (now() >= session.until) session.end('its time is over', remoteCloseCodes.expired);
    else if (devices.authenticated(agent.fingerprint)?.name !== device)
      session.end("the device's certificate is no longer valid");
    else if (user.reach !== null && !user.reach.has(device))
      session.end('the device is no longer among the devices of the token');
    for (const one of Object.values(sides)) {
      const most = (remoteBytesPerSecond * tickMs) / 1000;
      if (one.budget <= 0 && one.socket.readyState === one.socket.OPEN) one.socket.resume();
      one.budget = Math.min(most, one.budget + most);
    }
  }

  /** Records that a session has ended. */
  private finish(
    record: Record,
    reason: string,
    bytes: { from: number; to: number },
    recording: RemoteRecording | null,
  ): void {
    const { session } = record;
    const ended = this.parts.now();
    const work = (async () => {
      const recorded = (await recording?.end()) ?? null;
      await this.recordEndRepeatedly(session, endOf(record, reason, bytes, recorded, ended));
    })()
      // The row remains, and the next review, or another replica, records that the session has ended.
      .catch((err: unknown) => this.parts.log.error({ err }, 'could not record the end of a remote session'))
      .finally(() => this.unfinished.delete(session));
    this.untilStopped(work);
  }

  /** As `recordEnd`, also if the database is unavailable for a while. @throws the last error */
  private async recordEndRepeatedly(session: string, end: ReturnType<typeof endOf>): Promise<void> {
    const { signal } = this.stopping;
    for (let [failures, stopped] = [0, 0]; ; ) {
      try {
        return await this.recordEnd(session, end);
      } catch (err) {
        failures++;
        if (signal.aborted) stopped++;
        if (failures >= endAttempts.running || stopped >= endAttempts.stopping) throw err;
        if (failures === 1)
          this.parts.log.warn({ err }, 'could not record the end of a remote session; retrying');
        const pauseMs = backOffMs(signal.aborted ? stopped : failures, endPauseMs.first, endPauseMs.longest);
        await delay(pauseMs, undefined, signal.aborted ? {} : { signal }).catch(() => {});
      }
    }
  }

  /** Records an end once, whichever replica records it first. */
  private async recordEnd(session: string, end: ReturnType<typeof endOf> | undefined): Promise<void> {
    const { store, events } = this.parts;
    await store.transaction().execute(async (transaction) => {
      const removed = transaction.deleteFrom('remoteSessions').where('session', '=', session);
      const { numDeletedRows } = await removed.executeTakeFirstOrThrow();
      if (Number(numDeletedRows) > 0 && end) await events.record(end, transaction);
    });
  }
}

const killed = 'the platform stopped unexpectedly';

/** The entry of a session's end in the audit log. */
function endOf(
  { session, device, who, kind, target, opened }: Record,
  reason: string,
  { from, to }: { from: number | null; to: number | null },
  recording: Recorded | null,
  now: number,
) {
  const data = {
    ...{ session, kind, target, reason },
    ...{ ms: Math.max(0, now - opened), bytesFrom: from, bytesTo: to },
    ...(recording && { recording }),
  };
  return { who, type: 'device.remote-ended' as const, subject: device, data };
}

function shown({ session: id, device, who, kind, target, opened, until, sides }: OpenSession): RemoteSession {
  const bytes = { bytesFrom: sides.device.bytes, bytesTo: sides.user.bytes };
  return { id, device, who, kind, target, opened, until, ...bytes };
}

/** Passes messages on. The sender is paused while the receiver is slow, or while the sender exceeds its rate. */
function forward(from: Side, to: Side): void {
  from.socket.on('message', (data, isBinary) => {
    if (to.socket.readyState !== to.socket.OPEN) return;
    const { length } = data as Buffer;
    from.bytes += length;
    from.budget -= length;
    const slow = to.socket.bufferedAmount > pendingBytes;
    if (slow || from.budget <= 0) from.socket.pause();
    to.socket.send(data, { binary: isBinary }, () => {
      if (slow && from.budget > 0 && from.socket.readyState === from.socket.OPEN) from.socket.resume();
    });
  });
}

function closeSocket(socket: WebSocket, code: number, reason: string): void {
  if (socket.readyState === socket.CLOSED) return;
  // A paused connection would never read the other side's close frame.
  if (socket.readyState === socket.OPEN) socket.resume();
  socket.close(code, closeReason(reason));
  const timer = setTimeout(() => socket.terminate(), partingMs);
  socket.once('close', () => clearTimeout(timer));
}

function noAgent(device: string): AiotError {
  return new AiotError('AIOT_DEVICE_OFFLINE', `no agent for remote access is connected from ${device}`, {
    next: 'Start `aiot device agent FOLDER --allow shell` on the device.',
  });
}

function refusalIn(data: Buffer): z.output<typeof remoteRefusalSchema> | null {
  try {
    return remoteRefusalSchema.parse(JSON.parse(data.toString('utf8')));
  } catch {
    return null;
  }
}
