import { createHmac, createSign, generateKeyPairSync, type JsonWebKey, type KeyObject } from 'node:crypto';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

/** Deviations from a login provider's correct responses. */
export interface Lies {
  /** Claims of the ID token that differ. */
  claims?: Record<string, unknown>;
  /** How the ID token is signed; `hmac`: with the public key as the secret. */
  sign?: 'right' | 'none' | 'hmac' | 'other key' | 'unknown key';
  /** Members of the metadata that differ. */
  metadata?: Record<string, unknown>;
  /** Takes over the response of a path. `form`: the fields of the request's body. */
  answer?: (path: string, response: ServerResponse, form: URLSearchParams) => boolean;
}

const base64 = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

/**
 * A login provider whose responses are wrong in ways that a test chooses. A correct provider is in oidc-provider.ts. The code of a login, and
 * its refresh token, are the account's subject.
 */
export async function startFakeProvider() {
  const own = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const other = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const jwk: JsonWebKey = { ...own.publicKey.export({ format: 'jwk' }), kid: 'k1', alg: 'RS256', use: 'sig' };
  const state = { lies: {} as Lies, nonce: '', issuer: '' };

  const idToken = (sub: string) => {
    const { sign = 'right', claims = {} } = state.lies;
    const now = Math.floor(Date.now() / 1000);
    const alg = { right: 'RS256', none: 'none', hmac: 'HS256', 'other key': 'RS256', 'unknown key': 'RS256' }[
      sign
    ];
    const kid = sign === 'unknown key' ? 'k2' : 'k1';
    const payload = {
      ...{ iss: state.issuer, aud: 'aiot', sub, iat: now, exp: now + 60, nonce: state.nonce },
      ...{ preferred_username: 'ana', groups: ['staff'], ...claims },
    };
    const input = `${base64({ alg, kid })}.${base64(payload)}`;
    const rsa = (key: KeyObject) => createSign('RSA-SHA256').update(input).sign(key, 'base64url');
    const pem = own.publicKey.export({ type: 'spki', format: 'pem' });
    const hmac = () => createHmac('sha256', pem).update(input).digest('base64url');
    const signature =
      sign === 'none'
        ? ''
        : sign === 'hmac'
          ? hmac()
          : rsa(sign === 'other key' ? other.privateKey : own.privateKey);
    return `${input}.${signature}`;
  };

  const server = createServer(async (request, response) => {
    const path = (request.url ?? '').split('?')[0] ?? '';
    const form = new URLSearchParams(await text(request));
    const subject = form.get('code') ?? form.get('refresh_token') ?? form.get('device_code') ?? '';
    if (state.lies.answer?.(path, response, form)) return;
    const { issuer } = state;
    const answers: Record<string, () => unknown> = {
      '/.well-known/openid-configuration': () => ({
        ...{ issuer, authorization_endpoint: `${issuer}/authorize`, token_endpoint: `${issuer}/token` },
        device_authorization_endpoint: `${issuer}/device`,
        ...{ jwks_uri: `${issuer}/jwks`, id_token_signing_alg_values_supported: ['RS256', 'HS256', 'none'] },
        ...state.lies.metadata,
      }),
      '/jwks': () => ({ keys: [jwk] }),
      '/device': () => ({
        ...{ device_code: 's-1', user_code: 'ABCD', verification_uri: `${issuer}/code`, expires_in: 600 },
        interval: 1,
      }),
      '/token': () => ({
        ...{ access_token: 'a', token_type: 'Bearer', id_token: idToken(subject), refresh_token: subject },
      }),
    };
    response.setHeader('content-type', 'application/json');
    const answer = answers[path];
    if (!answer) response.statusCode = 404;
    response.end(JSON.stringify(answer?.() ?? {}));
  });
  await new Promise<void>((opened) => server.listen(0, '127.0.0.1', opened));
  state.issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    state,
    issuer: state.issuer,
    idToken,
    stop: async () => {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
}
