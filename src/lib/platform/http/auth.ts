import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { sha256Hex } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import { atLeast, type Role, type ScopeNoun, scopeCovers } from '../../registry/access.js';
import type { Failures } from '../access/secrets.js';
import { csrfOf, type WebIdentity } from '../access/users.js';
import { certifiedDevice, type Identity, peerOf, type UserIdentity } from '../broker/identity.js';
import { whenClosed } from '../listen.js';
import type { ApiParts } from './parts.js';

/**
 * `devices`: devices, and viewers upward. `controllers`: clients of the Direct Device Integration API, who have a guard of their
 * own. A role: those with it or more.
 */
export type Access = 'everybody' | 'devices' | 'controllers' | Role;

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Who may call the route; when absent: viewers what only reads, operators everything else. */
    access?: Access;
    /** The scope that a narrowed token needs for it (`models:push`); when absent it follows from the path. */
    scope?: string | readonly string[];
    /** Its answer has no end of its own: nobody waits for it when the platform stops. */
    endless?: boolean;
    /** Its answer may have been deleted for its age (410). */
    mayBeGone?: boolean;
    /** What it answers with may not be there yet, though no part of the path names it. */
    mayBeMissing?: boolean;
  }
  interface FastifyRequest {
    /** Who asks, for the events. */
    who: string;
    /** Who asks, when it is somebody with a token. */
    user: UserIdentity | null;
    /** The device that asks; null = somebody with a token, or nobody. */
    device: string | null;
    /** A token, a login or a certificate came along, whether it is valid or not. */
    showsCredentials: boolean;
  }
}

/** What a ci may besides reading: uploads, pushes, labels, rollouts and jobs. All else that changes anything is an operator's. */
const forCi = new Set(
  [
    ...['PUT /blobs/:digest', 'POST /labels', 'POST /rollouts', 'POST /jobs', 'POST /manifests'],
    ...['POST /models/:name/versions', 'POST /firmware/:name/versions', 'POST /configs/:name/versions'],
    ...['firmware', 'configs'].map((noun) => `POST /${noun}/:name/versions/:version/manifest`),
    ...['POST', 'HEAD', 'PATCH', 'DELETE', 'OPTIONS'].flatMap((method) => [
      `${method} /uploads`,
      `${method} /uploads/:id`,
    ]),
  ].map((route) => route.replace(' ', ' /api/v1')),
);

/** Who may call a route. */
export function accessOf({ access }: { access?: Access }, method: string, url = ''): Access {
  if (access !== undefined) return access;
  if (forCi.has(`${method} ${url}`)) return 'ci';
  return method === 'GET' || method === 'HEAD' ? 'viewer' : 'operator';
}

/**
 * People and programs show a bearer token, the dashboard's pages a cookie, devices their certificate; a request is turned away before its body is read.
 */
export function guard(
  app: FastifyInstance,
  parts: Pick<ApiParts, 'tokens' | 'logins' | 'ca' | 'devices' | 'sessions' | 'failures' | 'connections'>,
  countStranger: CountStranger,
): void {
  app.decorateRequest('who', 'nobody');
  app.decorateRequest('user', null);
  app.decorateRequest('device', null);
  app.decorateRequest('showsCredentials', false);
  app.addHook('onRequest', async (request, reply) => {
    const { config } = request.routeOptions;
    const access = accessOf(config, request.method, request.routeOptions.url);
    if (access === 'everybody' || access === 'controllers' || request.is404) return;
    request.showsCredentials =
      request.headers.authorization !== undefined ||
      webSecretOf(request, parts) !== '' ||
      peerOf(request.raw.socket) !== null;
    const who = await identify(request, parts);
    if (who === null) {
      if (!request.showsCredentials) {
        await countStranger(request, reply);
        throw new AiotError('AIOT_TOKEN_INVALID', 'expected a token, or the certificate of a device');
      }
      const seconds = parts.failures.http.wait(request.ip);
      if (seconds > 0) {
        reply.header('retry-after', seconds);
        throw tooOften(seconds);
      }
      throw new AiotError('AIOT_TOKEN_INVALID', refusedCredentials(request));
    }
    parts.connections.known(request.raw.socket);
    request.who = who.kind === 'device' ? `device ${who.name}` : who.name;
    if (who.kind === 'device') request.device = who.name;
    else request.user = who;
    const refusal = refusalOf(who, access, request);
    if (refusal !== null) throw new AiotError('AIOT_NOT_ALLOWED', refusal);
    // What is still open when its token ends (a download, server-sent events) ends with it.
    if (who.kind === 'user')
      whenClosed(
        reply.raw,
        parts.sessions.begin(who.token, () => cut(reply)),
      );
  });
}

function refusedCredentials({ raw }: FastifyRequest): string {
  return peerOf(raw.socket) === null
    ? 'expected a valid token, or the certificate of a device'
    : 'the client certificate is not a valid one of a device here, and decides also beside a token';
}

/** Ends an answer that is on its way. One that has not begun goes out first: it may be that of the revocation itself. */
function cut(reply: FastifyReply): void {
  if (reply.raw.headersSent) reply.raw.destroy();
  else reply.raw.shouldKeepAlive = false;
}

function refusalOf(
  who: UserIdentity | DeviceIdentity,
  access: Access,
  request: FastifyRequest,
): string | null {
  const path = request.url.split('?')[0] ?? '';
  const what = `${request.method} ${path.slice(0, 200)}`;
  if (who.kind === 'device') return access === 'devices' ? null : `the device ${who.name} may not ${what}`;
  const reads = request.method === 'GET' || request.method === 'HEAD';
  const least: Role =
    access === 'everybody' || access === 'devices' || access === 'controllers'
      ? reads
        ? 'viewer'
        : 'operator'
      : access;
  if (!atLeast(who.role, least))
    return `${what} is for the role ${least}; this token has the role ${who.role}`;
  if (allowsRoute(who.scopes, request)) return null;
  return `${what} is outside the scopes of this token (${who.scopes?.join(', ')})`;
}

type DeviceIdentity = Extract<Identity, { kind: 'device' }>;

/** A client certificate decides alone: a refused one is not made good by a token or a cookie beside it. */
async function identify(
  request: FastifyRequest,
  parts: Pick<ApiParts, 'tokens' | 'logins' | 'ca' | 'devices'>,
): Promise<UserIdentity | DeviceIdentity | null> {
  const { tokens, devices } = parts;
  const device = certifiedDevice(request.raw.socket, devices);
  if (device === 'refused') return null;
  if (device !== null) return { kind: 'device', name: device.name };
  const token = tokenOf(request);
  if (token !== '') return tokens.identify(token);
  return (await webIdentityOf(request, parts))?.user ?? null;
}

/** The bearer token that a request shows; empty = none. */
export function tokenOf(request: FastifyRequest): string {
  return /^Bearer ([\x21-\x7e]+)$/i.exec(request.headers.authorization ?? '')?.[1] ?? '';
}

/** Path below /api/v1 → what scopes call it. */
const nouns: Record<string, ScopeNoun> = {
  ...{ devices: 'devices', claims: 'devices', activation: 'devices', groups: 'devices' },
  ...{ models: 'models', manifests: 'models', firmware: 'firmware', configs: 'configs' },
  ...{ rollouts: 'rollouts', jobs: 'jobs', pipelines: 'pipelines' },
  ...{ datasets: 'data', labels: 'data', retention: 'data' },
  ...{ events: 'events', audit: 'events', webhooks: 'webhooks' },
  ...{ users: 'users', tokens: 'users' },
};

/** What everybody with a token may read, however narrow it is: without it no client can say what it talks to. */
const common = new Set(['status', 'trust']);

/** What narrows with the token itself: a session may no more than the token that opens it. */
const own = 'session';

/**
 * The scopes of which one lets a narrowed token call this route. Blobs are part of models, firmware and configurations, and so are
 * uploads of them; what is nowhere else is the platform's.
 */
export function scopesOf(method: string, url: string, asked?: string | readonly string[]): readonly string[] {
  if (asked !== undefined) return typeof asked === 'string' ? [asked] : asked;
  const reads = method === 'GET' || method === 'HEAD';
  const path = url.replace(/^\/api\/v1\//, '');
  const [first = ''] = path.split('/');
  if (first === 'blobs' || first === 'uploads') {
    const action = reads && first === 'blobs' ? 'read' : 'push';
    return [`models:${action}`, `firmware:${action}`, `configs:${action}`];
  }
  const noun = nouns[first] ?? 'platform';
  if (reads) return [`${noun}:read`];
  const pushes =
    method === 'POST' &&
    /^(models|firmware|configs)\/[^/]+\/versions(\/[^/]+\/manifest)?$|^manifests$/.test(path);
  return [`${noun}:${pushes ? 'push' : 'write'}`];
}

/** Whether a token with these scopes (null = not narrowed) may call the route that was asked for. */
function allowsRoute(
  scopes: readonly string[] | null,
  { method, routeOptions }: Pick<FastifyRequest, 'method' | 'routeOptions'>,
): boolean {
  if (scopes === null) return true;
  const url = routeOptions.url ?? '';
  const reads = method === 'GET' || method === 'HEAD';
  if (reads && common.has(url.replace(/^\/api\/v1\//, ''))) return true;
  if (routeOptions.config.scope === own) return true;
  const wanted = scopesOf(method, url, routeOptions.config.scope);
  return scopes.some((scope) => wanted.some((one) => scopeCovers(scope, one)));
}

type Parts = Pick<ApiParts, 'logins' | 'ca'>;

/** Cookies know no ports: each platform of a host has a name of its own. `__Host-`: over TLS, of this host, for all paths. */
function cookieName(ca: string): string {
  return `__Host-aiot-${sha256Hex(ca).slice(0, 8)}`;
}

/** The secret of the session whose cookie a browser sends; empty = none. */
export function webSecretOf({ headers }: FastifyRequest, { ca }: Parts): string {
  const wanted = cookieName(ca);
  for (const pair of (headers.cookie ?? '').split(';')) {
    const [name = '', value = ''] = pair.trim().split('=');
    if (name === wanted) return value;
  }
  return '';
}

/**
 * Who is logged in in the browser that asks; null = nobody. What changes anything is to show that a page of ours sent it: the
 * browser adds the cookie to requests of other pages on this host as well. @throws AIOT_NOT_ALLOWED
 */
export async function webIdentityOf(request: FastifyRequest, parts: Parts): Promise<WebIdentity | null> {
  const secret = webSecretOf(request, parts);
  if (secret === '') return null;
  const { method, headers } = request;
  const reads = method === 'GET' || method === 'HEAD';
  if (!reads && headers['x-aiot-csrf'] !== csrfOf(secret)) {
    throw new AiotError('AIOT_NOT_ALLOWED', 'headers: x-aiot-csrf: expected what GET /api/v1/session says');
  }
  return parts.logins.identify(secret);
}

/** Gives the browser the session, or with null takes it away. */
export function setWebSession(
  reply: FastifyReply,
  { ca }: Parts,
  session: { secret: string; seconds: number } | null,
): void {
  const value = session === null ? '; Max-Age=0' : `${session.secret}; Max-Age=${session.seconds}`;
  reply.header('set-cookie', `${cookieName(ca)}=${value}; Path=/; Secure; HttpOnly; SameSite=Strict`);
}

/** Requests a minute. */
export interface Rates {
  /** Of one token, or of one device. */
  known: number;
  /** Of one address, to what is open to everybody. */
  anonymous: number;
  /** Of one address, with wrong tokens, and as many with wrong claims: beyond, it is told to wait. */
  failures: number;
}

export const usualRates: Rates = { known: 60_000, anonymous: 1200, failures: 20 };

/** Counts a request of an address without credentials. @throws AIOT_RATE_LIMITED */
type CountStranger = (request: FastifyRequest, reply: FastifyReply) => Promise<void>;

/**
 * Bounds how often one token, device or address may ask. Loopback probes are not counted. Returns how the guard counts the requests
 * that it refuses for want of credentials, which never reach the count of all others.
 */
export async function limitRates(
  app: FastifyInstance,
  rates: Rates,
  failures: Failures,
): Promise<CountStranger> {
  const { default: rateLimit } = await import('@fastify/rate-limit');
  app.addHook('onRequest', async (request, reply) => {
    // What everybody may try is where secrets could be guessed.
    if (accessOf(request.routeOptions.config, request.method) !== 'everybody' || request.method === 'GET')
      return;
    const seconds = failures.claims.wait(request.ip);
    if (seconds === 0) return;
    reply.header('retry-after', seconds);
    throw tooOften(seconds);
  });
  app.addHook(
    'onResponse',
    async ({ user, device, ip, method, showsCredentials, routeOptions: { config, url } }, { statusCode }) => {
      if (user !== null || device !== null || (statusCode !== 401 && statusCode !== 403)) return;
      if (accessOf(config, method, url) === 'everybody') failures.claims.note(ip);
      else if (showsCredentials) failures.http.note(ip);
    },
  );
  await app.register(rateLimit, {
    hook: 'preParsing',
    timeWindow: 60_000,
    cache: 10_000,
    keyGenerator: keyOf,
    max: (request) => (request.user || request.device !== null ? rates.known : rates.anonymous),
    allowList: (request) => request.routeOptions.url === '/healthz' || request.routeOptions.url === '/readyz',
    errorResponseBuilder: (_request, { ttl }) => tooOften(Math.ceil(ttl / 1000)),
    enableDraftSpec: true,
  });
  const count = app.createRateLimit();
  return async (request, reply) => {
    const counted = await count(request);
    if (counted.isAllowed || !counted.isExceeded) return;
    reply.header('retry-after', counted.ttlInSeconds);
    throw tooOften(counted.ttlInSeconds);
  };
}

function keyOf({ user, device, ip }: FastifyRequest): string {
  if (user) return user.token;
  return device === null ? ip : `device ${device}`;
}

function tooOften(seconds: number): AiotError {
  return new AiotError('AIOT_RATE_LIMITED', `asked too often: expected the next request in ${seconds} s`, {
    retryable: true,
  });
}
