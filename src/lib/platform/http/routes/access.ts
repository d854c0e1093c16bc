import type { FastifyRequest } from 'fastify';
import { contract } from '../../../api/contract/contract.js';
import { AiotError } from '../../../core/errors.js';
import { csrfOf, loginUrl, type WebIdentity } from '../../access/logins.js';
import type { LoginClient } from '../../access/provider-logins.js';
import type { Tokens } from '../../access/tokens.js';
import type { UserIdentity } from '../../broker/identity.js';
import { setWebSession, tokenOf, webIdentityOf, webSecretOf } from '../auth.js';
import type { Routes } from '../parts.js';
import { serve } from '../serve.js';

export const tokenRoutes: Routes =
  ({ tokens }) =>
  async (app) =>
    serve(app, contract.tokens, {
      list: async ({ user, query }) => {
        const by = grantor(user);
        return tokens.list(query, await ownerFilter(by, tokens));
      },
      get: ({ params, user }) => tokens.show(idOf(params.id, user), grantor(user)),
      create: ({ body, user }) => tokens.create(body, grantor(user)),
      revoke: ({ params, user }) => tokens.revoke(idOf(params.id, user), grantor(user)),
      rotate: ({ params, body, user }) => tokens.rotate(idOf(params.id, user), body.graceMs, grantor(user)),
    });

/** The id of a token; `self` stands for the one in use. */
function idOf(id: string, user: FastifyRequest['user']): string {
  return id === 'self' ? grantor(user).token : id;
}

/** All logins that have not ended, of browsers and of the command line. */
export const loginSessionRoutes: Routes =
  ({ logins, tokens }) =>
  async (app) =>
    serve(app, contract.sessions, {
      list: async ({ user, query }) => {
        const by = grantor(user);
        return logins.list(query, by, await ownerFilter(by, tokens));
      },
      revoke: ({ params, user }) => logins.revoke(params.id, grantor(user)),
    });

/** Owner whose tokens and logins a user may list; undefined = everyone's. */
async function ownerFilter(by: UserIdentity, tokens: Tokens): Promise<string | null | undefined> {
  if (by.role === 'operator' && by.reach === null) return undefined;
  return (await tokens.get(by.token)).owner;
}

/** Requires a user with a token, not a device. */
function grantor(user: FastifyRequest['user']): UserIdentity {
  if (user) return user;
  throw new AiotError('AIOT_TOKEN_INVALID', 'expected a token');
}

export const userRoutes: Routes =
  ({ users }) =>
  async (app) =>
    serve(app, contract.users, {
      list: ({ query }) => users.list(query),
      get: ({ params }) => users.get(params.name),
      add: ({ body, who }) => users.add(body, who),
      change: ({ params, body, user }) => users.change(params.name, body, grantor(user)),
      act: ({ params, body, who }) => users.act(params.name, body.action, who),
      remove: ({ params, who }) => users.remove(params.name, who),
    });

/**
 * A login's code must reach the client that started the login: the dashboard's own page, or a listener on the client's machine. The provider
 * checks the address too. @throws AIOT_REQUEST_INVALID
 */
function checkRedirect(redirectUri: string, hosts: readonly (string | undefined)[]): void {
  const { protocol, hostname, host: target, username } = new URL(redirectUri);
  const isLoopback = protocol === 'http:' && /^(127\.0\.0\.1|\[::1\])$/.test(hostname);
  if (username === '' && (isLoopback || (protocol === 'https:' && hosts.includes(target)))) return;
  throw new AiotError(
    'AIOT_REQUEST_INVALID',
    "body: redirectUri: expected the dashboard's address, or http://127.0.0.1:PORT/",
  );
}

const clientOf = ({ ip, headers }: FastifyRequest): LoginClient => ({
  address: ip,
  agent: headers['user-agent'],
});

/** Browsers' login sessions, with which users enter the dashboard. */
export const sessionRoutes: Routes = (parts) => async (app) => {
  const { logins, providerLogins, version, urls } = parts;

  const shown = (secret: string, found: WebIdentity | null) => ({
    user: found && {
      name: found.user.name,
      role: found.user.role,
      scopes: found.user.scopes && [...found.user.scopes],
      selector: found.user.reach?.text ?? null,
      expires: found.expires,
      csrf: csrfOf(secret),
    },
    provider: providerLogins.host,
    version,
  });

  /** Sets the cookie of a login through the provider. */
  const enter = async (login: { login: string; response: string }, client: LoginClient) => {
    const admitted = await providerLogins.finish(login, 'dashboard', client);
    if (!('secret' in admitted)) throw new AiotError('AIOT_LOGIN_FAILED', 'the login is not complete yet');
    await providerLogins.openSession(admitted, client);
    const found = await logins.identify(admitted.secret);
    if (found === null) throw new AiotError('AIOT_LOGIN_FAILED', 'the login has already ended');
    return { ...found, secret: admitted.secret };
  };

  serve(app, contract.session, {
    get: async (request) => shown(webSecretOf(request, parts), await webIdentityOf(request, parts)),
    begin: async (request, reply) => {
      const { body } = request;
      const client = clientOf(request);
      const { secret, ...found } =
        'response' in body ? await enter(body, client) : await logins.begin(body, client);
      const seconds = Math.max(1, Math.floor((found.expires - parts.now()) / 1000));
      setWebSession(reply, parts, { secret, seconds });
      return shown(secret, found);
    },
    start: ({ body, ip, headers }) => {
      if (body.kind === 'browser') checkRedirect(body.redirectUri, [headers.host, new URL(urls().http).host]);
      return providerLogins.begin(body, ip);
    },
    finish: async (request) => {
      const admitted = await providerLogins.finish(request.body, 'cli', clientOf(request));
      if (!('secret' in admitted)) return { intervalMs: admitted.intervalMs, done: null };
      const { secret: token, user, role, ends } = admitted;
      return { intervalMs: null, done: { token, user, role, ends } };
    },
    end: async (request, reply) => {
      const secret = webSecretOf(request, parts);
      const { user } = request;
      if (user) await providerLogins.end(user.token, tokenOf(request) || secret);
      if (secret !== '' && user) await logins.end(secret, user);
      setWebSession(reply, parts, null);
      return shown('', null);
    },
    link: async ({ user }) => {
      const { code, expires } = await logins.link(grantor(user));
      return { url: loginUrl(urls().http, code), expires };
    },
  });
};
