import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import * as z from 'zod';
import { errorOfAnswer } from '../../api/errors.js';
import { remoteConsentMs } from '../../api/remote.js';
import { AiotError } from '../../core/errors.js';
import { parsedJson } from '../../core/text.js';
import type { Authority } from '../../provision/authority.js';
import type { OtherReplica, Replicas } from '../replicas.js';
import type { Engine } from '../store/engine.js';

/** Marks a request from another replica, which is never forwarded again. */
export const forwardedHeader = 'x-aiot-forwarded';
/** Proves that another replica has authenticated the device of a request. */
export const ticketHeader = 'x-aiot-replica-ticket';

/** How long a ticket is valid, ms. It allows for differing clocks. */
const ticketMs = 60_000;
/**
 * How long another replica may send nothing, ms, and how long a complete response may take, ms: a recording may be large. A request for a
 * session also waits for the device's consent.
 */
const answerMs = 5000;
const completeMs = 30_000;
const openMs = 15_000 + remoteConsentMs;
/** A connection that is passed on is lost after this time without any bytes, ms. Sessions ping both ends every 15 s. */
const silenceMs = 45_000;
/** Headers with the credentials of a user, which the other replica checks too. */
const credentials = ['authorization', 'cookie', 'x-aiot-csrf'] as const;

const ticketSchema = z.object({
  device: z.string(),
  fingerprint: z.string(),
  session: z.string(),
  /** ms since 1970 */
  until: z.number(),
});
/** A device that another replica has authenticated, for one session. */
export type Ticket = Omit<z.output<typeof ticketSchema>, 'until'>;

interface Parts {
  engine: Pick<Engine, 'store' | 'changes'>;
  authority: Pick<Authority, 'certificate' | 'derive'>;
  /** This replica and the others. */
  replicas: Pick<Replicas, 'id' | 'others'>;
  /** Address of this replica for others. */
  url: () => string;
  /** ms since 1970 */
  now: () => number;
  /** For tests: limits other than the usual ones, ms. */
  limits?: { answerMs?: number; silenceMs?: number };
}

/** Responses of other replicas. `missing`: ids of those that are unreachable, or rejected the request. */
export interface Answers<T> {
  answers: T[];
  missing: string[];
}

/**
 * Where the agents of devices are connected, if several replicas share the database. Requests that concern the agent of another replica are
 * forwarded to that replica, which alone decides, records and ends the session. Its certificate must be from the platform's CA.
 */
export class RemotePeers {
  /** Connections that are passed on to another replica. */
  private readonly passed = new Set<Socket>();

  constructor(private readonly parts: Parts) {}

  /** Id of this replica. */
  get replica(): string {
    return this.parts.replicas.id;
  }

  /** Ids of the replicas that are running; without a shared database, only this one. */
  async runningReplicas(): Promise<ReadonlySet<string>> {
    const others = await this.parts.replicas.others();
    return new Set([this.replica, ...others.map(({ replica }) => replica)]);
  }

  /** Whether other replicas may exist. */
  get isShared(): boolean {
    return this.parts.engine.changes.shared;
  }

  /** Records that the agent of a device is connected to this replica. @param agent id of the connection */
  async announce(device: string, agent: string): Promise<void> {
    if (!this.isShared) return;
    const { engine, url, now } = this.parts;
    const row = { replica: this.replica, url: url(), agent, connected: now() };
    await engine.store
      .insertInto('remoteAgents')
      .values({ device, ...row })
      .onConflict((conflict) => conflict.column('device').doUpdateSet(row))
      .execute();
  }

  async withdraw(agents: readonly string[]): Promise<void> {
    if (!this.isShared || agents.length === 0) return;
    await this.parts.engine.store.deleteFrom('remoteAgents').where('agent', 'in', agents).execute();
  }

  /** Withdraws all agents of this replica. */
  async leave(): Promise<void> {
    if (!this.isShared) return;
    await this.parts.engine.store.deleteFrom('remoteAgents').where('replica', '=', this.replica).execute();
  }

  /**
   * Compares the agents of this replica with the record, and removes connections that no longer exist.
   * @param agents by device, as they are at any time
   * @returns `missing`: agents that are not recorded; `replaced`: those whose device has connected to another replica since
   */
  async review<T extends { id: string; device: string; recorded: 'no' | 'begun' | 'yes' }>(
    agents: ReadonlyMap<string, T>,
  ): Promise<{ missing: T[]; replaced: T[] }> {
    if (!this.isShared) return { missing: [], replaced: [] };
    const missing = [...agents.values()].filter(({ recorded }) => recorded === 'no');
    // An agent that is only being recorded is newer than any row.
    const expected = [...agents.values()].filter(({ recorded }) => recorded === 'yes');
    const { store } = this.parts.engine;
    const own = store.selectFrom('remoteAgents').select(['device', 'agent']);
    const rows = await own.where('replica', '=', this.replica).execute();
    // Agents that have connected since are in `agents`.
    await this.withdraw(
      rows.filter(({ device, agent }) => agents.get(device)?.id !== agent).map(({ agent }) => agent),
    );
    const known = new Set(rows.map(({ agent }) => agent));
    const unknown = expected.filter(({ id }) => !known.has(id));
    const elsewhere = await this.recordedAmong(unknown.map(({ device }) => device));
    const isCurrent = (agent: T) => agents.get(agent.device) === agent;
    return {
      missing: [...missing, ...unknown.filter(({ device }) => !elsewhere.has(device))].filter(isCurrent),
      replaced: unknown.filter(({ device }) => elsewhere.has(device)).filter(isCurrent),
    };
  }

  /** Those of the devices whose agent is recorded. */
  private async recordedAmong(devices: readonly string[]): Promise<ReadonlySet<string>> {
    if (devices.length === 0) return new Set();
    const rows = this.parts.engine.store.selectFrom('remoteAgents').select('device');
    const found = await rows.where('device', 'in', devices).execute();
    return new Set(found.map(({ device }) => device));
  }

  /** Address of the other replica that a device's agent is connected to; null = none. */
  async holderOf(device: string): Promise<string | null> {
    if (!this.isShared) return null;
    const { engine, replicas } = this.parts;
    const rows = engine.store.selectFrom('remoteAgents').select(['replica', 'url']);
    const found = await rows.where('device', '=', device).executeTakeFirst();
    if (!found) return null;
    const others = await replicas.others();
    return others.some(({ replica }) => replica === found.replica) ? found.url : null;
  }

  /** The other running replicas. If one does not report its address, that of its agents is used; null = it has none. */
  private async others(): Promise<OtherReplica[]> {
    const others = await this.parts.replicas.others();
    if (others.every(({ url }) => url !== null)) return others;
    const agents = this.parts.engine.store.selectFrom('remoteAgents').select(['replica', 'url']).distinct();
    const urls = new Map((await agents.execute()).map(({ replica, url }) => [replica, url]));
    return others.map(({ replica, url }) => ({ replica, url: url ?? urls.get(replica) ?? null }));
  }

  /** Whether open sessions of another replica are recorded. */
  private async hasSessions(replica: string): Promise<boolean> {
    const sessions = this.parts.engine.store.selectFrom('remoteSessions').select('session');
    return (await sessions.where('replica', '=', replica).executeTakeFirst()) !== undefined;
  }

  /**
   * Sends a user's request to all other replicas, because sessions may remain at one whose last agent has left.
   * @param path with the query
   */
  async ask<T>(path: string, headers: IncomingHttpHeaders, schema: z.ZodType<T>): Promise<Answers<T>> {
    const replies = (await this.others()).map(({ replica, url }) =>
      this.answerOf({ replica, url }, { method: 'GET', path, headers }, schema),
    );
    const all = await Promise.all(replies);
    return {
      answers: all.flatMap((reply) => ('answer' in reply ? [reply.answer] : [])),
      missing: all.flatMap((reply) => ('missing' in reply && reply.missing !== null ? [reply.missing] : [])),
    };
  }

  /**
   * Sends a user's request to all other replicas, and returns the first result without waiting for the rest.
   * @returns `answer`: null if no replica has the resource
   */
  async first<T>(
    method: 'GET' | 'DELETE',
    path: string,
    headers: IncomingHttpHeaders,
    schema: z.ZodType<T>,
  ): Promise<{ answer: T | null; missing: string[] }> {
    const missing: string[] = [];
    const others = await this.others();
    const answer = await new Promise<T | null>((resolve, reject) => {
      const replies = others.map(async (other) => {
        const reply = await this.answerOf(other, { method, path, headers }, schema);
        if ('answer' in reply) resolve(reply.answer);
        else if (reply.missing !== null) missing.push(reply.missing);
      });
      Promise.all(replies).then(() => resolve(null), reject);
    });
    return { answer, missing };
  }

  /** @returns the response, or the id of the replica if it has none; null instead of the id if the replica has no such resource */
  private async answerOf<T>(
    { replica, url }: OtherReplica,
    { method, path, headers }: { method: 'GET' | 'DELETE'; path: string; headers: IncomingHttpHeaders },
    schema: z.ZodType<T>,
  ): Promise<{ answer: T } | { missing: string | null }> {
    // An earlier version without agents does not report its address.
    if (url === null) return { missing: (await this.hasSessions(replica)) ? replica : null };
    const limitMs = this.parts.limits?.answerMs ?? answerMs;
    const signal = AbortSignal.timeout(Math.max(limitMs, completeMs));
    const asked = this.send(url, { method, path, headers: credentialsIn(headers), limitMs, signal });
    const answer = await asked.catch(() => null);
    if (answer === null || 'socket' in answer) return { missing: replica };
    if (answer.status === 404) return { missing: null };
    const parsed = answer.status === 200 ? schema.safeParse(parsedJson(answer.body)) : undefined;
    return parsed?.success ? { answer: parsed.data } : { missing: replica };
  }

  /** The headers with which a user's request for a session is forwarded. */
  asUser(headers: IncomingHttpHeaders): Record<string, string> {
    return credentialsIn(headers);
  }

  /** The headers with which the request of an authenticated device is forwarded. */
  asDevice(ticket: Ticket): Record<string, string> {
    const until = this.parts.now() + ticketMs;
    const body = Buffer.from(JSON.stringify({ ...ticket, until })).toString('base64url');
    return { [ticketHeader]: `${body}.${this.sealOf(body)}` };
  }

  /** The ticket in a request of another replica. @throws AIOT_NOT_ALLOWED */
  ticketIn(headers: IncomingHttpHeaders): Ticket {
    const [body = '', seal = ''] = String(headers[ticketHeader] ?? '').split('.');
    const expected = Buffer.from(this.sealOf(body));
    const given = Buffer.from(seal);
    const isSealed = given.length === expected.length && timingSafeEqual(given, expected);
    const ticket = isSealed
      ? ticketSchema.safeParse(parsedJson(Buffer.from(body, 'base64url').toString('utf8'))).data
      : undefined;
    if (ticket && ticket.until > this.parts.now()) return ticket;
    throw new AiotError('AIOT_NOT_ALLOWED', 'only another replica of this platform can connect here');
  }

  private sealOf(body: string): string {
    const key = this.parts.authority.derive('aiot replica tickets');
    return createHmac('sha256', key).update(body).digest('base64url');
  }

  /**
   * Requests a WebSocket from another replica with the client's handshake.
   * @returns a function that passes bytes between the client's connection and that replica
   * @throws the other replica's error; AIOT_DEVICE_OFFLINE if it is unreachable
   */
  async open(
    url: string,
    {
      path,
      handshake,
      headers,
      signal,
    }: { path: string; handshake: IncomingHttpHeaders; headers: Record<string, string>; signal: AbortSignal },
  ): Promise<(client: Socket, head: Buffer) => void> {
    const key = String(handshake['sec-websocket-key'] ?? '');
    const upgrade = {
      ...{ connection: 'Upgrade', upgrade: 'websocket' },
      'sec-websocket-key': key,
      'sec-websocket-version': String(handshake['sec-websocket-version'] ?? ''),
    };
    const request = { method: 'GET', path, headers: { ...upgrade, ...headers }, limitMs: openMs, signal };
    const answer = await this.send(url, request).catch((cause: unknown) => {
      throw offlineReplica('the replica with the agent of this device does not respond', cause);
    });
    if (!('socket' in answer)) throw errorOfAnswer(answer.status, answer.body, url);
    const { socket, head: first, status, headers: answered } = answer;
    const accept = acceptOf(key);
    if (
      status !== 101 ||
      answered.upgrade?.toLowerCase() !== 'websocket' ||
      answered['sec-websocket-accept'] !== accept
    ) {
      socket.destroy();
      throw offlineReplica('the replica with the agent of this device did not open a WebSocket');
    }
    return (client, head) => {
      client.write(
        `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
      );
      client.write(first);
      socket.write(head);
      for (const [one, other] of [
        [client, socket],
        [socket, client],
      ] as const) {
        this.passed.add(one);
        // The peer may have vanished without closing its connection.
        const isLost = () => {
          client.destroy();
          socket.destroy();
        };
        const timer = setTimeout(isLost, this.parts.limits?.silenceMs ?? silenceMs);
        one.on('data', () => timer.refresh());
        one.once('error', () => other.destroy());
        one.once('close', () => {
          clearTimeout(timer);
          this.passed.delete(one);
          other.destroySoon();
        });
        one.pipe(other);
      }
      // If the client has disconnected already, it will not emit `close` again.
      if (client.closed) socket.destroy();
    };
  }

  /** Ends the connections that are passed on. */
  close(): void {
    for (const socket of this.passed) socket.destroy();
  }

  private send(
    url: string,
    {
      headers,
      limitMs,
      signal,
      ...more
    }: {
      method: string;
      path: string;
      headers: Record<string, string>;
      limitMs: number;
      signal?: AbortSignal;
    },
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      // Inside the promise, so that an invalid address of a replica is one that does not respond.
      const { hostname, port } = new URL(url);
      const request = httpsRequest({
        ...{ host: hostname.replace(/^\[|\]$/g, ''), port, ...more, agent: false, timeout: limitMs },
        ca: this.parts.authority.certificate,
        // Only the platform's CA is trusted, which issues server certificates to replicas alone. Their names are those for clients.
        checkServerIdentity: () => undefined,
        headers: { ...headers, [forwardedHeader]: '1' },
        ...(signal ? { signal } : {}),
      });
      request.once('timeout', () => request.destroy(new Error(`no response within ${limitMs} ms`)));
      request.once('error', reject);
      request.once('upgrade', (response, connection, head) => {
        // HTTPS requests always have a network socket.
        const socket = connection as Socket;
        socket.setTimeout(0);
        socket.on('error', () => socket.destroy());
        resolve({ socket, head, status: response.statusCode, headers: response.headers });
      });
      request.once('response', (response: IncomingMessage) => {
        text(response).then((body) => resolve({ status: response.statusCode ?? 0, body }), reject);
      });
      request.end();
    });
  }
}

type Answer =
  | { socket: Socket; head: Buffer; status: number | undefined; headers: IncomingHttpHeaders }
  | { status: number; body: string };

function offlineReplica(message: string, cause?: unknown): AiotError {
  const next = 'Repeat this after a few seconds: the agent reconnects to another replica.';
  return new AiotError('AIOT_DEVICE_OFFLINE', message, { cause, retryable: true, next });
}

/** The value of Sec-WebSocket-Accept that confirms a handshake (RFC 6455, section 4.2.2). */
function acceptOf(key: string): string {
  return createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
}

function credentialsIn(headers: IncomingHttpHeaders): Record<string, string> {
  return Object.fromEntries(
    credentials.flatMap((name) => (headers[name] === undefined ? [] : [[name, String(headers[name])]])),
  );
}
