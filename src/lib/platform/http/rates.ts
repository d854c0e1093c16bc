import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { AiotError } from '../../core/index.js';
import type { Failures } from '../services/failures.js';
import { accessOf } from './auth.js';

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
export type CountStranger = (request: FastifyRequest, reply: FastifyReply) => Promise<void>;

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

export function tooOften(seconds: number): AiotError {
  return new AiotError('AIOT_RATE_LIMITED', `asked too often: expected the next request in ${seconds} s`, {
    retryable: true,
  });
}
