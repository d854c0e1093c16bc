import { randomUUID } from 'node:crypto';
import { mayPublish, maySubscribe } from './acl.js';
import type { Connection } from './connection.js';
import type { Core } from './core.js';
import type { Identity } from './identity.js';
import type { LogRecord } from './sessions/record.js';
import { logged } from './sessions/record.js';
import { Session } from './sessions/session.js';
import { type ConnectPacket, returnCode } from './wire/packets.js';

export interface Admitted {
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
export async function admit(
  core: Core,
  connection: Connection,
  connect: ConnectPacket,
): Promise<Admitted | number> {
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
