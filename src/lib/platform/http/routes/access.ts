import type { FastifyRequest } from 'fastify';
import { contract } from '../../../api/contract/contract.js';
import { AiotError } from '../../../core/errors.js';
import { csrfOf, loginUrl, type WebIdentity } from '../../access/users.js';
import type { UserIdentity } from '../../broker/identity.js';
import { setWebSession, webIdentityOf, webSecretOf } from '../auth.js';
import type { Routes } from '../parts.js';
import { serve } from '../serve.js';

export const tokenRoutes: Routes =
  ({ tokens }) =>
  async (app) =>
    serve(app, contract.tokens, {
      list: async ({ user, query }) => {
        const by = grantor(user);
        const owner = by.role === 'operator' ? undefined : (await tokens.get(by.token)).owner;
        return tokens.list(query, owner);
      },
      get: ({ params, user }) => tokens.show(params.id, grantor(user)),
      create: ({ body, user }) => tokens.create(body, grantor(user)),
      revoke: ({ params, user }) => tokens.revoke(params.id, grantor(user)),
      rotate: ({ params, body, user }) => tokens.rotate(params.id, body.graceMs, grantor(user)),
    });

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
      act: ({ params, body, who }) => users.act(params.name, body.action, who),
      remove: ({ params, who }) => users.remove(params.name, who),
    });

/** Browsers' login sessions, with which users enter the dashboard. */
export const sessionRoutes: Routes = (parts) => async (app) => {
  const { logins, version, urls } = parts;

  const shown = (secret: string, found: WebIdentity | null) => ({
    user: found && {
      name: found.user.name,
      role: found.user.role,
      scopes: found.user.scopes && [...found.user.scopes],
      expires: found.expires,
      csrf: csrfOf(secret),
    },
    version,
  });

  serve(app, contract.session, {
    get: async (request) => shown(webSecretOf(request, parts), await webIdentityOf(request, parts)),
    begin: async ({ body }, reply) => {
      const { secret, ...found } = await logins.begin(body);
      const seconds = Math.max(1, Math.floor((found.expires - parts.now()) / 1000));
      setWebSession(reply, parts, { secret, seconds });
      return shown(secret, found);
    },
    end: async (request, reply) => {
      const secret = webSecretOf(request, parts);
      if (secret !== '' && request.user) await logins.end(secret, request.user);
      setWebSession(reply, parts, null);
      return shown('', null);
    },
    link: async ({ user }) => {
      const { code, expires } = await logins.link(grantor(user));
      return { url: loginUrl(urls().http, code), expires };
    },
  });
};
