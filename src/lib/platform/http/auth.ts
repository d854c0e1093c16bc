import type { FastifyInstance, FastifyRequest } from 'fastify';
import { AiotError } from '../../core/index.js';
import { type Identity, peerOf } from '../broker/identity.js';
import type { ApiParts } from './parts.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Who may call the route; operators only when absent. */
    access?: 'everybody' | 'devices';
  }
  interface FastifyRequest {
    /** Who asks, for the audit. */
    who: string;
    /** The device that asks; null = an operator, or nobody. */
    device: string | null;
  }
}

/**
 * Operators show a bearer token, devices their certificate. Every route is for operators unless its config says
 * otherwise; a request is turned away before its body is read.
 */
export function guard(app: FastifyInstance, parts: Pick<ApiParts, 'tokens' | 'devices'>): void {
  app.decorateRequest('who', 'nobody');
  app.decorateRequest('device', null);
  app.addHook('onRequest', async (request) => {
    const { access } = request.routeOptions.config;
    if (access === 'everybody' || request.is404) return;
    const who = await identify(request, parts);
    if (who === null) {
      throw new AiotError('AIOT_TOKEN_INVALID', 'expected a valid token, or the certificate of a device');
    }
    request.who = who.kind === 'device' ? `device ${who.name}` : parts.tokens.name(tokenOf(request));
    request.device = who.kind === 'device' ? who.name : null;
    if (who.kind === 'device' && access !== 'devices') {
      throw new AiotError(
        'AIOT_NOT_ALLOWED',
        `the device ${who.name} may not ${request.method} ${request.url}`,
      );
    }
  });
}

async function identify(
  request: FastifyRequest,
  { tokens, devices }: Pick<ApiParts, 'tokens' | 'devices'>,
): Promise<Identity | null> {
  const token = tokenOf(request);
  if (token !== '') return (await tokens.valid(token)) ? { kind: 'operator' } : null;
  const peer = peerOf(request.raw.socket);
  const device = peer && peer !== 'refused' ? devices.authenticated(peer.fingerprint) : null;
  return device ? { kind: 'device', name: device.name } : null;
}

function tokenOf(request: FastifyRequest): string {
  return /^Bearer ([\x21-\x7e]+)$/i.exec(request.headers.authorization ?? '')?.[1] ?? '';
}
