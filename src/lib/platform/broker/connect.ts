import { randomUUID } from 'node:crypto';
import type { IConnackPacket } from 'mqtt-packet';
import type { Core } from './broker.js';
import type { Connection } from './connection.js';
import { deliveryTest, type Identity, mayPublish, maySubscribe, mayUseFilter } from './identity.js';
import type { BrokerLimits } from './limits.js';
import { connack } from './requests.js';
import type { LogRecord } from './session-log.js';
import { Session, type Will, willRecord } from './sessions.js';
import { redistribute } from './shares.js';
import { isTooDeep } from './topics.js';
import { endPendingWill, endSession } from './wills.js';
import { type ConnectPacket, reasonCode } from './wire.js';

interface Admitted {
  identity: Identity;
  session: Session;
  sessionPresent: boolean;
  /** Keep-alive interval, seconds; 0 = none. */
  keepAliveSeconds: number;
  /** Properties of the CONNACK; only MQTT 5 has them. */
  properties: IConnackPacket['properties'];
}

/** Owner of a client id, so that no other identity with the same client id can take over the session. */
function ownerOf(identity: Identity): string {
  if (identity.kind === 'device') return `device:${identity.name}`;
  if (identity.kind === 'board') return 'board';
  // All of a user's tokens share the user's sessions. A token without an owner has its own sessions.
  return identity.name.split(' ', 2).join(' ');
}

const reasonOf = {
  credentials: reasonCode.badUserNameOrPassword,
  notAuthorized: reasonCode.notAuthorized,
} as const;

/**
 * Processes a CONNECT: identity, existing session, takeover. Returns the reason code of a rejection (MQTT 5, section 3.2.2.2), or the
 * session of the admitted connection, which is on disk by then.
 */
export async function admit(
  core: Core,
  connection: Connection,
  connect: ConnectPacket,
): Promise<Admitted | number> {
  const { level, clean, clientId, will } = connect;
  if (level === 0) return reasonCode.unsupportedVersion;
  if (core.unavailable()) return reasonCode.serverUnavailable;
  // MQTT 3.1 has no empty ids; its limit of 23 characters is ignored in practice. In MQTT 5, the broker assigns an id to any session.
  if (clientId === '' && level < 5 && (!clean || level === 3)) return reasonCode.clientIdentifierNotValid;
  if (clientId.length > core.limits.clientIdLength) return reasonCode.clientIdentifierNotValid;
  if (connect.authenticationMethod !== null) return reasonCode.badAuthenticationMethod;
  const identity = await core.identify(connection, connect);
  if (typeof identity === 'string') return reasonOf[identity];
  if (will && !mayPublish(identity, will.message.topic)) {
    core.figures.refused++;
    core.log.warn({ client: clientId, topic: will.message.topic }, 'rejected a will');
    core.denied(
      { identity, entrance: connection.entrance },
      'publish',
      `a will on ${will.message.topic.slice(0, 200)}`,
    );
    return reasonCode.notAuthorized;
  }
  if (will && isTooDeep(core.limits, will.message.topic)) return reasonCode.topicNameInvalid;
  const owner = ownerOf(identity);
  const assigned = clientId === '' ? randomUUID() : undefined;
  const key = `${owner}:${assigned ?? clientId}`;
  const keepAliveSeconds = keepAliveOf(core.limits, connect);
  const properties = level === 5 ? settingsFor(core, connect, keepAliveSeconds, assigned) : {};
  // A client that does not accept even the shortest possible CONNACK must not take over a session.
  if (connack(level, { reason: 0, properties }, connect.maximumPacketSize) === null)
    return reasonCode.packetTooLarge;
  const before = core.turns.get(key);
  const turn = (async () => {
    await before?.catch(() => {});
    if (connection.closed) return reasonCode.serverUnavailable;
    const previous = core.byKey.get(key);
    await previous?.leaveFor(reasonCode.sessionTakenOver);
    if (connection.closed) return reasonCode.serverUnavailable;
    const client = { identity, key, owner, takesOver: previous !== undefined };
    const settled = await settle(core, connection, client, connect);
    if (typeof settled === 'number') return settled;
    const { session, sessionPresent } = settled;
    return { identity, session, sessionPresent, keepAliveSeconds, properties };
  })();
  core.turns.set(key, turn);
  try {
    return await turn;
  } finally {
    if (core.turns.get(key) === turn) core.turns.delete(key);
  }
}

/** Keep-alive interval of the connection, seconds. The broker can shorten it only in MQTT 5, whose CONNACK reports it (section 3.2.2.3.14). */
function keepAliveOf({ keepAliveSeconds: most }: BrokerLimits, { level, keepAliveSeconds }: ConnectPacket) {
  if (level < 5 || most === 0) return keepAliveSeconds;
  return keepAliveSeconds === 0 ? most : Math.min(most, keepAliveSeconds);
}

/** Maximum size of a packet without its payload (topic and properties), bytes. */
export const packetOverhead = 64 * 1024;

/** Settings and limits of the broker (MQTT 5, section 3.2.2.3). */
function settingsFor(
  { limits }: Core,
  connect: ConnectPacket,
  keepAliveSeconds: number,
  assigned: string | undefined,
): NonNullable<IConnackPacket['properties']> {
  const expirySeconds = Math.floor(sessionExpiryOf(limits, connect.sessionExpirySeconds) / 1000);
  return {
    ...(expirySeconds !== connect.sessionExpirySeconds && { sessionExpiryInterval: expirySeconds }),
    ...(assigned !== undefined && { assignedClientIdentifier: assigned }),
    ...(keepAliveSeconds !== connect.keepAliveSeconds && { serverKeepAlive: keepAliveSeconds }),
    // Available features need not be announced.
    receiveMaximum: limits.incoming,
    maximumPacketSize: limits.payloadBytes + packetOverhead,
    topicAliasMaximum: limits.topicAliases,
  };
}

/** How long the session outlives its connection, ms: at most as long as the broker permits. */
export function sessionExpiryOf({ sessionExpiryMs }: BrokerLimits, seconds: number): number {
  return Math.min(seconds * 1000, sessionExpiryMs);
}

/** A connecting client. `takesOver`: whether this client's previous connection was open and had to be closed. */
interface Client {
  identity: Identity;
  key: string;
  owner: string;
  takesOver: boolean;
}

async function settle(
  core: Core,
  connection: Connection,
  { identity, key, owner, takesOver }: Client,
  connect: ConnectPacket,
): Promise<{ session: Session; sessionPresent: boolean } | number> {
  const { state } = core;
  const records: LogRecord[] = [];
  let old = state.sessions.get(key);
  const hasEnded = old?.hasEnded(core.now()) ?? false;
  if (!hasEnded && !(connect.clean && takesOver)) await endPendingWill(core, key);
  if (old && (connect.clean || hasEnded)) {
    await endSession(core, old);
    // `endSession` logs this without waiting. It is logged again here so that it is on disk before the CONNACK is sent.
    if (old.persistent) records.push({ k: 'end', s: key });
    old = undefined;
  }
  const expiryMs = sessionExpiryOf(core.limits, connect.sessionExpirySeconds);
  const session = old ?? new Session(key, expiryMs > 0, expiryMs);
  if (!old && session.persistent && !makeRoom(core, identity, `${owner}:`)) {
    core.figures.refused++;
    core.log.warn({ client: key }, 'rejected a session: its owner has too many connected sessions');
    return reasonCode.quotaExceeded;
  }
  state.sessions.set(key, session);
  session.expiryMs = expiryMs;
  session.offlineSince = null;
  session.isFit = deliveryTest(identity);
  // Permissions were checked at SUBSCRIBE, and may have been narrowed since, for example by a token with narrower
  // scopes.
  const lost = [...session.subscriptions.keys()].filter((filter) => !mayUseFilter(identity, filter));
  for (const filter of lost) state.unsubscribe(session, filter);
  // The other members of a shared subscription keep their rights to its messages.
  if (lost.length > 0) redistribute(core.router, session, true, new Set(lost));
  for (const entry of session.refit((topic) => maySubscribe(identity, topic)))
    core.router.note(session, 'done', entry);
  if (session.persistent) records.push(session.record());
  const will = willFor(identity, connect.will);
  if (will) {
    state.wills.set(key, will);
    records.push(willRecord(key, will));
  } else if (state.wills.delete(key)) records.push({ k: 'will', s: key, m: null });
  core.byKey.set(key, connection);
  connection.session = session;
  connection.identity = identity;
  if (records.length > 0) {
    await new Promise<void>((resolve, reject) =>
      core.sessionLog().commitAll(records, (error) => (error ? reject(error) : resolve())),
    );
  }
  return { session, sessionPresent: old !== undefined };
}

function willFor(identity: Identity, will: ConnectPacket['will']): Will | null {
  if (!will) return null;
  const device = identity.kind === 'device' ? identity.name : null;
  const token = identity.kind === 'user' ? identity.token : null;
  return { ...will, device, token, dueAt: null };
}

/**
 * Makes room for another session of an owner by removing the owner's sessions that have been offline longest. Returns
 * false if all of them are connected.
 */
function makeRoom(core: Core, { kind }: Identity, prefix: string): boolean {
  const { state, limits } = core;
  const { sessionsPerDevice, sessionsPerUser, sessionsOfBoards } = limits;
  const most = { device: sessionsPerDevice, user: sessionsPerUser, board: sessionsOfBoards }[kind];
  // While the broker has fewer sessions in total than this, no owner can have reached the limit.
  if (state.sessions.size < most) return true;
  const own = [...state.sessions.values()].filter(
    ({ key, persistent }) => persistent && key.startsWith(prefix),
  );
  const excess = own.length - most + 1;
  if (excess <= 0) return true;
  const offline = own
    .filter(({ offlineSince }) => offlineSince !== null)
    .sort((a, b) => a.offlineSince! - b.offlineSince!);
  if (offline.length < excess) return false;
  for (const oldest of offline.slice(0, excess))
    endSession(core, oldest).catch((err: unknown) => core.log.error({ err }, 'could not end a session'));
  return true;
}
