import { type IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance, FastifyPluginAsync, FastifyRequest } from 'fastify';
import type { WebSocket } from 'ws';
import { scopeCovers } from '../../api/contract/access.js';
import {
  type LiveMessage,
  type LiveNews,
  type LiveRequest,
  liveBeatMs,
  liveCloseCodes,
  liveRequestSchema,
} from '../../api/live.js';
import { problemOf } from '../../api/problem.js';
import { AiotError } from '../../core/errors.js';
import { onAbort } from '../../core/tasks.js';
import { toLine } from '../../stream/file/line.js';
import type { Message } from '../../stream/message.js';
import { concerns, outOfReach, requireInReach } from '../access/reach.js';
import { deliveryTest, maySubscribe, type UserIdentity } from '../broker/identity.js';
import { PublishRate } from '../broker/limits.js';
import { fitsLimits, isFilter } from '../broker/topics.js';
import { lineOf, lineTest } from '../devices/talk.js';
import { statusOf } from '../errors.js';
import { startOf } from '../events/events.js';
import { webSecretOf } from './auth.js';
import { deepest, depthOf } from './limits.js';
import type { ApiParts } from './parts.js';

/**
 * Maximum length of a page's request, bytes, maximum subscriptions on a connection, and maximum connections of a token.
 */
const longestRequest = 16 * 1024;
const mostSubscriptions = 50;
const mostConnections = 50;

/** Maximum number of requests on a connection that wait for earlier ones; beyond this, the connection is closed. */
const mostWaiting = 100;

/** Maximum number of messages that a subscription shows per second, and at once after a pause; faster output would be unreadable. */
const messagesPerSecond = 200;
const messagesAtOnce = 400;

/** Longest payload that is sent whole, bytes; for longer payloads, only the beginning is sent. */
const longestPayload = 16 * 1024;

/** With this many bytes pending on a connection, messages are left out and counted. */
const pendingBytes = 1024 ** 2;

const tickMs = 1000;

/** How long a page may take to answer the close frame at shutdown, ms. */
const partingMs = 1000;

type Parts = Pick<
  ApiParts,
  | 'broker'
  | 'ca'
  | 'denials'
  | 'devices'
  | 'events'
  | 'fleet'
  | 'live'
  | 'liveBeatMs'
  | 'logins'
  | 'log'
  | 'sessions'
  | 'store'
  | 'urls'
>;

/**
 * The dashboard's live connection: a WebSocket at /live, on the same port as the dashboard, authenticated by the
 * browser's session. It carries events, devices' messages, and MQTT messages; `liveRequestSchema` describes the
 * requests. Plain MQTT would not suffice, because it has neither events nor the times of stored messages. This
 * connection also works with an external broker and with replicas.
 */
export function liveRoute(parts: Parts, heads: UpgradeHeads): FastifyPluginAsync {
  return async (app) => {
    const open = new Set<LiveConnection>();
    app.get(
      '/live',
      {
        config: { access: 'viewer', scope: 'session', reach: 'filtered', endless: true },
        schema: { hide: true } as object,
      },
      async (request, reply) => {
        const head = heads.get(request.raw);
        const user = request.user;
        if (head === undefined || request.headers.upgrade?.toLowerCase() !== 'websocket') {
          reply.header('upgrade', 'websocket');
          throw Object.assign(new Error('/live is a WebSocket'), { statusCode: 426 });
        }
        checkOrigin(request, parts.urls().http);
        if (user === null)
          throw new AiotError('AIOT_NOT_ALLOWED', 'only users can connect to /live, not devices');
        const server = await webSockets();
        reply.hijack();
        server.handleUpgrade(request.raw, request.raw.socket, head, (socket) => {
          const own = [...open].filter((each) => each.user.token === user.token);
          const connection = new LiveConnection(parts, socket, user, webSecretOf(request, parts), request.ip);
          open.add(connection);
          socket.once('close', () => open.delete(connection));
          if (own.length >= mostConnections) socket.close(liveCloseCodes.tooMany, 'too many connections');
        });
      },
    );
    app.addHook('preClose', async () => {
      await Promise.all([...open].map((connection) => connection.leave()));
    });
  };
}

/** The bytes that followed the head of each upgrade request. */
export type UpgradeHeads = WeakMap<IncomingMessage, Buffer>;

/**
 * Passes upgrade requests to the routes, so that all of the routes' checks apply. Without this, Node would treat them as ordinary requests.
 * Returns the bytes that followed each request's head.
 */
export function routeUpgrades(app: FastifyInstance): UpgradeHeads {
  const heads: UpgradeHeads = new WeakMap<IncomingMessage, Buffer>();
  app.server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    socket.on('error', () => socket.destroy());
    // Node's parser no longer reads from this connection, so a body could not be read.
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n');
      return;
    }
    heads.set(request, head);
    const response = new ServerResponse(request);
    response.shouldKeepAlive = false;
    response.assignSocket(socket);
    response.once('finish', () => socket.destroySoon());
    app.routing(request, response);
  });
  return heads;
}

let sockets: Promise<import('ws').WebSocketServer> | undefined;

function webSockets(): Promise<import('ws').WebSocketServer> {
  sockets ??= import('ws').then(
    ({ WebSocketServer }) =>
      // Compressed frames could be decompression bombs.
      new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: longestRequest }),
  );
  return sockets;
}

/**
 * Rejects requests from pages of other origins. WebSockets are not subject to the same-origin policy, and browsers also send the session
 * cookie to other ports and subdomains of this host. Behind a proxy, the host is taken from the forwarded request. @throws AIOT_NOT_ALLOWED
 */
function checkOrigin({ headers }: FastifyRequest, url: string): void {
  const { origin, host, authorization } = headers;
  // Programs with a token send no origin, and other pages do not have the token.
  if (origin === undefined && authorization !== undefined) return;
  if (origin !== undefined && (origin === `https://${host}` || origin === new URL(url).origin)) return;
  throw new AiotError(
    'AIOT_NOT_ALLOWED',
    `headers: origin: expected https://${host}, got ${origin === undefined ? 'none' : origin.slice(0, 200)}`,
    { next: 'Open the dashboard at the address of the platform. A proxy must forward the Host header.' },
  );
}

class LiveConnection {
  /** Subscription id → the controller that ends the subscription. */
  private readonly subscriptions = new Map<number, AbortController>();
  /** Subscription id → number of messages left out and not reported yet. */
  private readonly missed = new Map<number, number>();
  private requests: Promise<void> = Promise.resolve();
  private waiting = 0;
  private isAlive = true;
  private sinceBeatMs = 0;

  constructor(
    private readonly parts: Parts,
    private readonly socket: WebSocket,
    readonly user: UserIdentity,
    /** Secret of the browser's session; empty for a program with a token. */
    private readonly secret: string,
    private readonly address: string,
  ) {
    const endOfToken = parts.sessions.begin(user, () => this.endSession());
    const tick = setInterval(() => this.tick(), tickMs);
    socket.on('message', (data, isBinary) => this.read(data as Buffer, isBinary));
    socket.on('pong', () => {
      this.isAlive = true;
    });
    socket.on('error', () => socket.terminate());
    socket.once('close', () => {
      clearInterval(tick);
      endOfToken();
      for (const subscription of this.subscriptions.values()) subscription.abort();
      this.subscriptions.clear();
    });
  }

  /** Closes the connection because the platform is stopping. */
  async leave(): Promise<void> {
    const { socket } = this;
    if (socket.readyState === socket.CLOSED) return;
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.close(1001, 'the platform is stopping');
    const timer = setTimeout(() => socket.terminate(), partingMs);
    await closed;
    clearTimeout(timer);
  }

  private endSession(): void {
    this.socket.close(liveCloseCodes.sessionEnded, 'the session has ended');
  }

  /** Processes one request at a time, in order of arrival. */
  private read(data: Buffer, isBinary: boolean): void {
    const request = isBinary ? null : requestIn(data);
    if (request === null || ++this.waiting > mostWaiting) {
      this.socket.close(1008, 'an invalid request');
      return;
    }
    this.requests = this.requests
      .then(() => this.handle(request))
      .finally(() => {
        this.waiting--;
      });
  }

  private async handle(request: LiveRequest): Promise<void> {
    const { id } = request;
    this.subscriptions.get(id)?.abort();
    this.subscriptions.delete(id);
    this.missed.delete(id);
    if (request.to === 'nothing' || this.socket.readyState !== this.socket.OPEN) return;
    const ended = new AbortController();
    this.subscriptions.set(id, ended);
    try {
      if (this.subscriptions.size > mostSubscriptions)
        throw new AiotError('AIOT_REQUEST_INVALID', `expected at most ${mostSubscriptions} subscriptions`);
      if (request.to === 'events') await this.followEvents(id, ended.signal);
      else if (request.to === 'device') await this.followDevice(request, ended.signal);
      else if (request.to === 'logs') await this.followLogs(request, ended.signal);
      else await this.followMessages(id, request.filter, ended.signal);
    } catch (error) {
      this.refuse(id, error);
    }
  }

  private refuse(id: number, error: unknown): void {
    this.subscriptions.get(id)?.abort();
    this.subscriptions.delete(id);
    const told =
      error instanceof AiotError ? error : new AiotError('AIOT_PLATFORM_FAILED', 'could not subscribe');
    if (!(error instanceof AiotError)) this.parts.log.error({ err: error }, 'could not subscribe');
    if (told.code === 'AIOT_NOT_ALLOWED')
      this.parts.denials.note({
        ...{ who: this.user.name, what: 'subscribe at /live' },
        ...{ reason: told.message, address: this.address },
      });
    const { code, detail = '', next } = problemOf(told, statusOf(told));
    void this.send({ id, error: { code, detail, ...(next && { next }) } });
  }

  /** Sends all events, at the page's pace. */
  private async followEvents(id: number, signal: AbortSignal): Promise<void> {
    this.requireScope('events:read');
    const { events, store } = this.parts;
    const after = await startOf(store, { from: 'now' });
    await this.send({ id, open: true });
    const follow = async () => {
      for await (const page of events.feed.follow(after, signal)) {
        for (const event of page.events) {
          if (signal.aborted) return;
          if (!concerns(this.user.reach, event)) continue;
          await this.send({ id, event });
        }
      }
    };
    follow().catch((error: unknown) => signal.aborted || this.refuse(id, error));
  }

  private async followDevice(
    { id, device, channels }: LiveRequest & { to: 'device' },
    signal: AbortSignal,
  ): Promise<void> {
    this.requireScope('devices:read');
    const { devices, live } = this.parts;
    const { reach } = this.user;
    requireInReach(reach, [device]);
    devices.record(device);
    const end = live.listen(device, ({ channel, at, stream, payload }) => {
      const known = channels.find((each) => each === channel);
      // The device may have left the group since.
      if (known && (reach === null || reach.has(device)))
        this.offer(id, { id, channel: known, deviceMessage: { at, stream, payload } });
    });
    onAbort(signal, end);
    await live.ready();
    await this.send({ id, open: true });
  }

  /** Sends new log lines of many devices. Lines that are left out are stored, so the page can search for them. */
  private async followLogs(
    { id, selector, ...wanted }: LiveRequest & { to: 'logs' },
    signal: AbortSignal,
  ): Promise<void> {
    this.requireScope('devices:read');
    const { fleet, live } = this.parts;
    const isWatched = fleet.watched(selector, this.user.reach);
    const isWanted = lineTest(wanted);
    const rate = new PublishRate(messagesPerSecond, messagesAtOnce, () => performance.now());
    const end = live.listen(null, (entry) => {
      if (entry.channel !== 'log' || !isWatched(entry.device)) return;
      const line = lineOf(entry);
      if (!isWanted(line)) return;
      if (rate.pauseMs() > 0) {
        this.miss(id);
        return;
      }
      rate.count();
      this.offer(id, { id, line });
    });
    onAbort(signal, end);
    await live.ready();
    await this.send({ id, open: true });
  }

  private async followMessages(id: number, filter: string, signal: AbortSignal): Promise<void> {
    const { broker } = this.parts;
    const { scopes, reach } = this.user;
    // A shared subscription would divert messages from the other members of its group.
    if (!isFilter(filter) || filter.startsWith('$share/') || !fitsLimits(broker.limits, filter))
      throw new AiotError(
        'AIOT_REQUEST_INVALID',
        `expected a topic filter such as sensors/# or +/state, got "${filter.slice(0, 200)}"`,
      );
    if (!maySubscribe(this.user, filter) && reach !== null)
      throw outOfReach(`${filter.slice(0, 200)} is beyond the devices of this token (${reach.text})`);
    if (!maySubscribe(this.user, filter))
      throw new AiotError(
        'AIOT_NOT_ALLOWED',
        `${filter.slice(0, 200)} is outside the scopes of this token (${scopes?.join(', ')})`,
      );
    const rate = new PublishRate(messagesPerSecond, messagesAtOnce, () => performance.now());
    const isFit = deliveryTest(this.user);
    const take = (message: Message) => {
      if (signal.aborted || isFit?.(message.topic) === false) return;
      if (rate.pauseMs() > 0) {
        this.miss(id);
        return;
      }
      rate.count();
      this.offer(id, { id, message: messageOf(message) });
    };
    const end = await broker.tail(filter, take, (error) => signal.aborted || this.refuse(id, error));
    const leave = () =>
      void end().catch((err: unknown) => this.parts.log.warn({ err }, 'could not end a tail'));
    onAbort(signal, leave);
    await this.send({ id, open: true });
  }

  /** @throws AIOT_NOT_ALLOWED */
  private requireScope(scope: string): void {
    const { scopes } = this.user;
    if (scopes === null || scopes.some((own) => scopeCovers(own, scope))) return;
    throw new AiotError(
      'AIOT_NOT_ALLOWED',
      `this needs the scope ${scope}; this token has ${scopes.join(', ')}`,
    );
  }

  /** Sends a message, or counts it as missed if too many bytes are pending. */
  private offer(id: number, news: LiveNews): void {
    if (this.socket.bufferedAmount > pendingBytes) this.miss(id);
    else void this.send(news);
  }

  private miss(id: number): void {
    this.missed.set(id, (this.missed.get(id) ?? 0) + 1);
  }

  /** Resolves when the operating system has accepted the message, or when the connection is closed. */
  private send(news: LiveNews): Promise<void> {
    return new Promise((resolve) => this.socket.send(JSON.stringify(news), () => resolve()));
  }

  private tick(): void {
    for (const [id, missed] of this.missed) {
      if (this.socket.bufferedAmount > pendingBytes) break;
      this.missed.delete(id);
      void this.send({ id, missed });
    }
    this.sinceBeatMs += tickMs;
    if (this.sinceBeatMs < (this.parts.liveBeatMs ?? liveBeatMs)) return;
    this.sinceBeatMs = 0;
    // A page that does not respond to a ping is gone, or no longer reading.
    if (!this.isAlive) {
      this.socket.terminate();
      return;
    }
    this.isAlive = false;
    this.socket.ping();
    void this.send({ beat: true });
    void this.checkSession();
  }

  /**
   * Ends the connection if the session has expired or was ended in another tab or replica; the session's token is
   * watched separately.
   */
  private async checkSession(): Promise<void> {
    if (this.secret === '') return;
    try {
      if ((await this.parts.logins.identify(this.secret)) === null) this.endSession();
    } catch (err) {
      this.parts.log.warn({ err }, 'could not check a session');
    }
  }
}

function requestIn(data: Buffer): LiveRequest | null {
  try {
    return liveRequestSchema.parse(JSON.parse(data.toString('utf8')));
  } catch {
    return null;
  }
}

function messageOf(message: Message): LiveMessage {
  const { payload } = message;
  const bytes = payload.length;
  if (bytes > longestPayload)
    return { ...toLine({ ...message, payload: beginningOf(payload) }), bytes, cut: true };
  const line = toLine(message);
  if (line.encoding !== 'json') return { ...line, bytes };
  const text = Buffer.from(payload).toString('utf8');
  // Encoding deeply nested values again could overflow the stack.
  return depthOf(text) > deepest ? { ...line, payload: text, encoding: 'utf8', bytes } : { ...line, bytes };
}

/** The first bytes of a payload, without an incomplete UTF-8 character at the end. */
function beginningOf(payload: Uint8Array): Uint8Array {
  let end = longestPayload;
  while (end > longestPayload - 4 && ((payload[end] ?? 0) & 0xc0) === 0x80) end--;
  return payload.subarray(0, end);
}
