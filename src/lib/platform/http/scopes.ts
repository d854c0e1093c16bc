import type { FastifyRequest } from 'fastify';
import { type ScopeNoun, scopeCovers } from '../../registry/index.js';

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
export function allowsRoute(
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
