import { createHmac, randomUUID, timingSafeEqual } from 'node:crypto';
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
import { replicaLifeMs } from '../replicas.js';
import type { Engine } from '../store/engine.js';

/** Marks a request from another replica, which is never forwarded again. */
export const forwardedHeader = 'x-aiot-forwarded';
/** Proves that another replica has authenticated the device of a request. */
export const ticketHeader = 'x-aiot-replica-ticket';

/** How long a ticket is valid, ms. It allows for differing clocks. */
const ticketMs = 60_000;
/** How long another replica may take to respond, ms; a request for a session also waits for the device's consent. */
const answerMs = 5000;
const openMs = 15_000 + remoteConsentMs;
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
  /** Id of this replica, as in the table `replicas`. */
  replica: () => string;
  /** Address of this replica for others. */
  url: () => string;
  /** ms since 1970 */
  now: () => number;
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
    return this.parts.replica();
  }

  /** Ids of the replicas that are running; without a shared database, only this one. */
  async runningReplicas(): Promise<ReadonlySet<string>> {
    const { engine, now } = this.parts;
    if (!this.isShared) return new Set([this.replica]);
    const running = engine.store.selectFrom('replicas').select('replica');
    const rows = await running.where('seen', '>=', now() - replicaLifeMs).execute();
    return new Set([this.replica, ...rows.map(({ replica }) => replica)]);
  }

  /** Whether other replicas may exist. */
  get isShared(): boolean {
    return this.parts.engine.changes.shared;
  }

  /** Records that the agent of a device is connected to this replica. @returns the id of the connection */
  async announce(device: string, agent: string = randomUUID()): Promise<string> {
    if (!this.isShared) return agent;
    const { engine, replica, url, now } = this.parts;
    const row = { replica: replica(), url: url(), agent, connected: now() };
    await engine.store
      .insertInto('remoteAgents')
      .values({ device, ...row })
      .onConflict((conflict) => conflict.column('device').doUpdateSet(row))
      .execute();
    return agent;
  }

  async withdraw(agents: readonly string[]): Promise<void> {
    if (!this.isShared || agents.length === 0) return;
    await this.parts.engine.store.deleteFrom('remoteAgents').where('agent', 'in', agents).execute();
  }

  /**
   * Compares the agents of this replica with the record. Missing ones are recorded again, and connections that no longer exist are removed.
   * @param agents device → id of its connection
   * @returns devices whose agent has connected to another replica since
   */
  async review(agents: ReadonlyMap<string, string>): Promise<string[]> {
    if (!this.isShared) return [];
    const { store } = this.parts.engine;
    const own = store.selectFrom('remoteAgents').select(['device', 'agent']);
    const recorded = await own.where('replica', '=', this.parts.replica()).execute();
    await this.withdraw(
      recorded.filter(({ device, agent }) => agents.get(device) !== agent).map(({ agent }) => agent),
    );
    const known = new Set(recorded.map(({ agent }) => agent));
    const unknown = [...agents].filter(([, agent]) => !known.has(agent));
    if (unknown.length === 0) return [];
    const devices = unknown.map(([device]) => device);
    const rows = await store
      .selectFrom('remoteAgents')
      .select('device')
      .where('device', 'in', devices)
      .execute();
    const elsewhere = new Set(rows.map(({ device }) => device));
    for (const [device, agent] of unknown) if (!elsewhere.has(device)) await this.announce(device, agent);
    return [...elsewhere];
  }

  /** Address of the other replica that a device's agent is connected to; null = none. */
  async holderOf(device: string): Promise<string | null> {
    const found = await this.running()?.where('remoteAgents.device', '=', device).executeTakeFirst();
    return found?.url ?? null;
  }

  /** Addresses of the other replicas that have agents, and therefore sessions. */
  private async others(): Promise<string[]> {
    return ((await this.running()?.execute()) ?? []).map(({ url }) => url);
  }

  private running() {
    if (!this.isShared) return undefined;
    const { engine, replica, now } = this.parts;
    return engine.store
      .selectFrom('remoteAgents')
      .innerJoin('replicas', 'replicas.replica', 'remoteAgents.replica')
      .select('remoteAgents.url')
      .distinct()
      .where('remoteAgents.replica', '!=', replica())
      .where('replicas.seen', '>=', now() - replicaLifeMs);
  }

  /**
   * The responses of the other replicas to a user's request. Replicas that are unreachable, or reject the request, are left out.
   * @param path with the query
   */
  async ask<T>(
    method: 'GET' | 'DELETE',
    path: string,
    headers: IncomingHttpHeaders,
    schema: z.ZodType<T>,
  ): Promise<T[]> {
    const urls = await this.others();
    const answers = await Promise.all(
      urls.map(async (url) => {
        const asked = this.send(url, { method, path, headers: credentialsIn(headers), limitMs: answerMs });
        const answer = await asked.catch(() => null);
        if (answer === null || 'socket' in answer || answer.status !== 200) return [];
        const parsed = schema.safeParse(parsedJson(answer.body));
        return parsed.success ? [parsed.data] : [];
      }),
    );
    return answers.flat();
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
    const upgrade = {
      ...{ connection: 'Upgrade', upgrade: 'websocket' },
      'sec-websocket-key': String(handshake['sec-websocket-key'] ?? ''),
      'sec-websocket-version': String(handshake['sec-websocket-version'] ?? ''),
    };
    const request = { method: 'GET', path, headers: { ...upgrade, ...headers }, limitMs: openMs, signal };
    const answer = await this.send(url, request).catch((cause: unknown) => {
      throw new AiotError(
        'AIOT_DEVICE_OFFLINE',
        'the replica with the agent of this device does not respond',
        {
          ...{
            cause,
            retryable: true,
            next: 'Try again in a moment: the agent reconnects to another replica.',
          },
        },
      );
    });
    if (!('socket' in answer)) throw errorOfAnswer(answer.status, answer.body, url);
    const { socket, head: first, accept } = answer;
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
        one.once('error', () => other.destroy());
        one.once('close', () => {
          this.passed.delete(one);
          other.destroySoon();
        });
        one.pipe(other);
      }
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
    const { hostname, port } = new URL(url);
    return new Promise((resolve, reject) => {
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
        resolve({ socket, head, accept: String(response.headers['sec-websocket-accept'] ?? '') });
      });
      request.once('response', (response: IncomingMessage) => {
        text(response).then((body) => resolve({ status: response.statusCode ?? 0, body }), reject);
      });
      request.end();
    });
  }
}

type Answer = { socket: Socket; head: Buffer; accept: string } | { status: number; body: string };

function credentialsIn(headers: IncomingHttpHeaders): Record<string, string> {
  return Object.fromEntries(
    credentials.flatMap((name) => (headers[name] === undefined ? [] : [[name, String(headers[name])]])),
  );
}
