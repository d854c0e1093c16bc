import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { atLeast, type Role, type ScopeNoun, scopeCovers } from '../../api/contract/access.js';
import { type Access as ApiAccess, accessOf, type ReachRule } from '../../api/contract/endpoint.js';
import type { ErrorCode } from '../../core/catalogue.js';
import { sha256Hex } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import { csrfOf, type WebIdentity } from '../access/logins.js';
import { outOfReach, type Reach, requireInReach } from '../access/reach.js';
import type { Failures } from '../access/secrets.js';
import { certifiedDevice, type Identity, peerOf, type UserIdentity } from '../broker/identity.js';
import { whenClosed } from '../listen.js';
import { schemaRegistryPath } from '../schemas/schemas.js';
import type { ApiParts } from './parts.js';

/** As in the contract; `controllers`: clients of the Direct Device Integration API, which have their own guard. */
export type Access = ApiAccess | 'controllers';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Roles that may call the route; if absent, viewers may call reads, and operators everything else. */
    access?: Access;
    /** Scope that a restricted token needs for the route (`models:push`), or one of several; derived from the path when absent. */
    scope?: string | readonly string[];
    /** How the route treats users whose rights are limited to some devices, as in the contract. */
    reach?: ReachRule;
    /** Whether the response never ends on its own; shutdown does not wait for such a response. */
    endless?: boolean;
    /** Whether the handler itself answers repeated requests, as in the contract. */
    ownRepeats?: boolean;
    /** Error codes and additional HTTP statuses of the route, as in the contract. */
    errors?: readonly ErrorCode[];
    statuses?: readonly number[];
  }
  interface FastifyRequest {
    /** Name of the requester, for events. */
    who: string;
    /** The requester, if it has a token. */
    user: UserIdentity | null;
    /** The requesting device; null = a user with a token, or an unauthenticated client. */
    device: string | null;
    /** Whether a token, a login or a certificate was presented, valid or not. */
    showsCredentials: boolean;
  }
}

/**
 * Authenticates requests before their bodies are read. Users present a bearer token, the dashboard's pages a cookie, and devices their
 * certificate.
 */
export function guard(
  app: FastifyInstance,
  parts: Pick<
    ApiParts,
    'tokens' | 'logins' | 'ca' | 'devices' | 'sessions' | 'failures' | 'connections' | 'denials'
  >,
  countStranger: CountStranger,
): void {
  app.decorateRequest('who', 'nobody');
  app.decorateRequest('user', null);
  app.decorateRequest('device', null);
  app.decorateRequest('showsCredentials', false);
  app.addHook('onResponse', async (request, { statusCode }) => noteDenial(request, statusCode, parts));
  // A device may have left the limits of the token while the body was arriving.
  app.addHook('preHandler', async (request) => {
    if (request.user?.reach) requireReach(request.user.reach, request);
  });
  app.addHook('onRequest', async (request, reply) => {
    const { config } = request.routeOptions;
    const access = accessOf<'controllers'>(config, request.method);
    if (access === 'everybody' || access === 'controllers' || request.is404) return;
    request.showsCredentials =
      request.headers.authorization !== undefined ||
      webSecretOf(request, parts) !== '' ||
      peerOf(request.raw.socket) !== null;
    const who = await identify(request, parts);
    if (who === null) {
      if (!request.showsCredentials) {
        await countStranger(request, reply);
        throw new AiotError('AIOT_TOKEN_INVALID', 'expected a token or a device certificate');
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
    if (who.kind === 'user' && who.reach !== null) requireReach(who.reach, request);
    // Long responses (a download, server-sent events) end when their token does, or when its role changes.
    if (who.kind === 'user')
      whenClosed(
        reply.raw,
        parts.sessions.begin(who, () => cut(reply)),
      );
  });
}

/** Records rejected attempts. A reader without credentials, such as a browser before its login, has not attempted anything. */
function noteDenial(request: FastifyRequest, status: number, { denials }: Pick<ApiParts, 'denials'>): void {
  if ((status !== 401 && status !== 403) || request.is404) return;
  if (!request.showsCredentials && (request.method === 'GET' || request.method === 'HEAD')) return;
  const reason =
    status === 403 ? 'not allowed' : request.showsCredentials ? 'invalid credentials' : 'no credentials';
  const what = `${request.method} ${request.routeOptions.url ?? ''}`;
  denials.note({ who: request.who, what, reason, address: request.ip });
}

function refusedCredentials({ raw }: FastifyRequest): string {
  return peerOf(raw.socket) === null
    ? 'expected a valid token or device certificate'
    : 'the client certificate is not valid for a device here; it takes precedence over a token';
}

/**
 * Ends a response in progress when its token ends. A response that has not begun is sent first, because it may be the response to the
 * revocation itself.
 */
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
  if (who.kind === 'device')
    return access === 'devices' ? null : `the device ${who.name} is not allowed to use ${what}`;
  const reads = request.method === 'GET' || request.method === 'HEAD';
  const least: Role =
    access === 'everybody' || access === 'devices' || access === 'controllers'
      ? reads
        ? 'viewer'
        : 'operator'
      : access;
  if (!atLeast(who.role, least))
    return `${what} requires the role ${least}; this token has the role ${who.role}`;
  if (allowsRoute(who.scopes, request) || concernsItself(who, request)) return null;
  return `${what} is outside the scopes of this token (${who.scopes?.join(', ')})`;
}

/** Rejects requests beyond the devices of a limited token. Routes must state how they respect the limit. @throws AIOT_NOT_ALLOWED */
function requireReach(reach: Reach, { method, url, params, routeOptions: { config } }: FastifyRequest): void {
  if (config.reach === 'shared' || config.reach === 'filtered') return;
  const { device, name } = params as { device?: string; name?: string };
  const subject = device ?? name;
  if (config.reach === 'named' && subject !== undefined) {
    requireInReach(reach, [subject]);
    return;
  }
  const what = `${method} ${(url.split('?')[0] ?? '').slice(0, 200)}`;
  throw outOfReach(`${what} concerns all devices; this token is limited to some (${reach.text})`);
}

type DeviceIdentity = Extract<Identity, { kind: 'device' }>;

/** If a client certificate is presented, only that counts; a token or cookie does not help if the certificate is rejected. */
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

/**
 * A request's bearer token; empty = none. Clients of the schema registry may send it as a password instead (RFC 7617), with any user name.
 */
export function tokenOf(request: FastifyRequest): string {
  if (`${request.routeOptions.url ?? ''}/`.startsWith(`${schemaRegistryPath}/`)) {
    const [, basic] = /^Basic ([A-Za-z0-9+/]+={0,2})$/i.exec(request.headers.authorization ?? '') ?? [];
    const [, password] = /^[^:]*:([\x21-\x7e]+)$/.exec(Buffer.from(basic ?? '', 'base64').toString()) ?? [];
    if (password !== undefined) return password;
  }
  return /^Bearer ([\x21-\x7e]+)$/i.exec(request.headers.authorization ?? '')?.[1] ?? '';
}

/** Path below /api/v1 → noun of its scopes. */
const nouns: Record<string, ScopeNoun> = {
  ...{
    devices: 'devices',
    claims: 'devices',
    batches: 'devices',
    enrollments: 'devices',
    activation: 'devices',
    groups: 'devices',
    attention: 'devices',
    crashes: 'devices',
    logs: 'devices',
    'remote-sessions': 'devices',
    commands: 'devices',
    settings: 'devices',
  },
  ...{
    models: 'models',
    'model-files': 'models',
    manifests: 'models',
    'training-runs': 'models',
    firmware: 'firmware',
    configs: 'configs',
  },
  ...{ rollouts: 'rollouts', jobs: 'jobs', pipelines: 'pipelines' },
  ...{ 'pipeline-runners': 'pipelines', 'pipeline-requests': 'pipelines' },
  ...{ datasets: 'data', labels: 'data', retention: 'data', 'log-retention': 'data' },
  ...{
    events: 'events',
    audit: 'events',
    alarms: 'devices',
    webhooks: 'webhooks',
    'alarm-targets': 'webhooks',
  },
  ...{ users: 'users', tokens: 'users', sessions: 'users' },
};

/** Paths that every token may read, however restricted, because without them a client could not identify the platform. */
const common = new Set(['status', 'trust']);

/** A path that needs no scope, because a session has no more rights than the token that opens it. */
const own = 'session';

/**
 * Scopes for this route; a restricted token needs one of them. Blobs and their uploads belong to models, firmware and configurations; everything else
 * belongs to the platform.
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
  if (first === 'broker') return ['broker:authorize'];
  const noun = nouns[first] ?? 'platform';
  if (method === 'POST' && /^pipeline-requests(\/:id\/cancel)?$/.test(path)) return ['pipelines:run'];
  if (reads) return [`${noun}:read`];
  const pushes =
    method === 'POST' &&
    /^(models|firmware|configs)\/[^/]+\/versions(\/[^/]+\/manifest)?$|^manifests$|^(training-runs|model-files)\/[^/]+$/.test(
      path,
    );
  return [`${noun}:${pushes ? 'push' : 'write'}`];
}

/** Whether a token reads, rotates or revokes itself, which it may regardless of its scopes, because it gains no rights. */
function concernsItself({ token }: UserIdentity, { params, routeOptions }: FastifyRequest): boolean {
  if (!/^\/api\/v1\/tokens\/:id(\/|$)/.test(routeOptions.url ?? '')) return false;
  const { id } = params as { id?: string };
  return id === 'self' || id === token;
}

/** Whether a token with these scopes (null = unrestricted) may call the requested route. */
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

/**
 * Name of the session cookie. Cookies ignore ports, so each platform on a host needs a different name. The prefix
 * `__Host-` restricts the cookie to TLS and to this host.
 */
function cookieName(ca: string): string {
  return `__Host-aiot-${sha256Hex(ca).slice(0, 8)}`;
}

/** The session secret in the browser's cookie; empty = none. */
export function webSecretOf({ headers }: FastifyRequest, { ca }: Parts): string {
  const wanted = cookieName(ca);
  for (const pair of (headers.cookie ?? '').split(';')) {
    const [name = '', value = ''] = pair.trim().split('=');
    if (name === wanted) return value;
  }
  return '';
}

/**
 * The user logged in to the requesting browser; null = none. Changes must prove that they come from our page, because the browser also adds
 * the cookie to requests from other pages on this host. @throws AIOT_NOT_ALLOWED
 */
export async function webIdentityOf(request: FastifyRequest, parts: Parts): Promise<WebIdentity | null> {
  const secret = webSecretOf(request, parts);
  if (secret === '') return null;
  const { method, headers } = request;
  const reads = method === 'GET' || method === 'HEAD';
  if (!reads && headers['x-aiot-csrf'] !== csrfOf(secret)) {
    throw new AiotError(
      'AIOT_NOT_ALLOWED',
      'headers: x-aiot-csrf: expected the value from GET /api/v1/session',
      { next: 'Get the value with GET /api/v1/session, then send it in this header.' },
    );
  }
  return parts.logins.identify(secret);
}

/** Sets the session cookie, or deletes it with null. */
export function setWebSession(
  reply: FastifyReply,
  { ca }: Parts,
  session: { secret: string; seconds: number } | null,
): void {
  const value = session === null ? '; Max-Age=0' : `${session.secret}; Max-Age=${session.seconds}`;
  reply.header('set-cookie', `${cookieName(ca)}=${value}; Path=/; Secure; HttpOnly; SameSite=Strict`);
}

/** Maximum number of requests per minute. */
export interface Rates {
  /** For one token, or one device. */
  known: number;
  /** For one address, to public routes. */
  anonymous: number;
  /**
   * For one address: requests with wrong tokens and, counted separately, with wrong claims. Beyond this number, the
   * address must wait.
   */
  failures: number;
}

export const usualRates: Rates = { known: 60_000, anonymous: 1200, failures: 20 };

/** Counts a request without credentials. @throws AIOT_RATE_LIMITED */
type CountStranger = (request: FastifyRequest, reply: FastifyReply) => Promise<void>;

/**
 * Limits the request rate of a token, device or address. Requests to /healthz and /readyz are not counted. Returns the
 * function with which the guard counts requests that it rejects for missing credentials; these requests never reach the
 * general count.
 */
export async function limitRates(
  app: FastifyInstance,
  rates: Rates,
  failures: Failures,
): Promise<CountStranger> {
  const { default: rateLimit } = await import('@fastify/rate-limit');
  app.addHook('onRequest', async (request, reply) => {
    // Only public routes that write accept a secret that could be guessed, such as a claim or a login code.
    if (
      accessOf<'controllers'>(request.routeOptions.config, request.method) !== 'everybody' ||
      request.method === 'GET'
    )
      return;
    const seconds = failures.claims.wait(request.ip);
    if (seconds === 0) return;
    reply.header('retry-after', seconds);
    throw tooOften(seconds);
  });
  app.addHook(
    'onResponse',
    async ({ user, device, ip, method, showsCredentials, routeOptions: { config } }, { statusCode }) => {
      if (user !== null || device !== null || (statusCode !== 401 && statusCode !== 403)) return;
      if (accessOf<'controllers'>(config, method) === 'everybody') failures.claims.note(ip);
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
  return new AiotError('AIOT_RATE_LIMITED', `too many requests: send the next one in ${seconds} s`, {
    retryable: true,
  });
}
