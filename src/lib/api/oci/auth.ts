import { AiotError } from '../../core/errors.js';
import type { OciCredentials } from './credentials.js';

interface Challenge {
  scheme: 'basic' | 'bearer';
  realm: string;
  service?: string | undefined;
  scope?: string | undefined;
}

/** Parses the challenge of a registry's 401 (RFC 9110, 11.6.1). Token servers use Docker's protocol. @throws AIOT_OCI_REFUSED */
export function challengeOf(header: string): Challenge {
  const [, scheme = '', rest = ''] = /^\s*(\w+)\s*(.*)$/.exec(header) ?? [];
  const said = Object.fromEntries(
    [...rest.matchAll(/(\w+)=(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))/g)].map(([, name = '', quoted, bare]) => [
      name.toLowerCase(),
      quoted?.replace(/\\(.)/g, '$1') ?? bare ?? '',
    ]),
  );
  const { realm = '', service, scope } = said;
  const kind = scheme.toLowerCase();
  if (kind === 'basic' || (kind === 'bearer' && URL.canParse(realm)))
    return { scheme: kind, realm, service, scope };
  throw new AiotError(
    'AIOT_OCI_REFUSED',
    `the registry uses an unsupported authentication scheme: "${scheme}"`,
  );
}

interface TokenRequest {
  url: URL;
  method: 'GET' | 'POST';
  headers: Record<string, string>;
  body?: string;
}

/** Builds the token request: a GET with a password, an OAuth 2 POST with an identity token, or an anonymous GET. */
export function tokenRequest(
  { realm, service, scope }: Challenge,
  known: OciCredentials | null,
): TokenRequest {
  const url = new URL(realm);
  const asked = { ...(service ? { service } : {}), ...(scope ? { scope } : {}) };
  if (known && 'identityToken' in known) {
    const body = new URLSearchParams({
      ...asked,
      ...{ grant_type: 'refresh_token', refresh_token: known.identityToken, client_id: 'aiot' },
    }).toString();
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    return { url, method: 'POST', headers, body };
  }
  for (const [name, value] of Object.entries(asked)) url.searchParams.set(name, value);
  if (!known) return { url, method: 'GET', headers: {} };
  const authorization = `Basic ${Buffer.from(`${known.username}:${known.password}`).toString('base64')}`;
  return { url, method: 'GET', headers: { authorization } };
}
