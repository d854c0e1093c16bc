import type { FastifyRequest } from 'fastify';
import * as z from 'zod';
import { AiotError } from '../../../core/errors.js';
import {
  madeTokenSchema,
  newTokenSchema,
  newUserSchema,
  removedUserSchema,
  rotateTokenSchema,
  tokenSchema,
  userActionSchema,
  userSchema,
} from '../../../registry/access.js';
import { pageQuerySchema, pageSchema } from '../../../registry/page.js';
import { loginLinkSchema, loginSchema, sessionSchema } from '../../../registry/session-api.js';
import { csrfOf, loginUrl, type WebIdentity } from '../../access/users.js';
import type { UserIdentity } from '../../broker/identity.js';
import { setWebSession, webIdentityOf, webSecretOf } from '../auth.js';
import { created } from '../describe.js';
import type { Routes } from '../parts.js';

const tokenParams = z.object({ id: z.string() });

/** Everybody with a token may look after their own; what is more, the service refuses. */
const config = { access: 'viewer' } as const;

export const tokenRoutes: Routes =
  ({ tokens }) =>
  async (app) => {
    app.get(
      '/tokens',
      {
        config,
        schema: {
          summary: 'Tokens, without what is secret; those of others only for operators',
          querystring: pageQuerySchema,
          response: { 200: pageSchema('tokens', tokenSchema) },
        },
      },
      async (request) => {
        const by = grantor(request);
        const owner = by.role === 'operator' ? undefined : (await tokens.get(by.token)).owner;
        return tokens.list(request.query, owner);
      },
    );

    app.get(
      '/tokens/:id',
      {
        config,
        schema: {
          summary: 'One token, without what is secret; that of another only for operators',
          params: tokenParams,
          response: { 200: tokenSchema },
        },
      },
      (request) => tokens.show(request.params.id, grantor(request)),
    );

    app.post(
      '/tokens',
      {
        config,
        schema: {
          summary: 'Make a token; its secret is in this answer only',
          body: newTokenSchema,
          response: { 201: madeTokenSchema },
        },
      },
      async (request, reply) => {
        const made = await tokens.create(request.body, grantor(request));
        return created(reply, 'tokens', made.id).send(made);
      },
    );

    app.delete(
      '/tokens/:id',
      {
        config,
        schema: {
          summary: 'Revoke a token, and end what is open with it',
          params: tokenParams,
          response: { 200: tokenSchema },
        },
      },
      (request) => tokens.revoke(request.params.id, grantor(request)),
    );

    app.post(
      '/tokens/:id/rotate',
      {
        config,
        schema: {
          summary: 'Give a token another secret; the one before ends',
          params: tokenParams,
          body: rotateTokenSchema,
          response: { 201: madeTokenSchema },
        },
      },
      async (request, reply) => {
        const { params, body } = request;
        const made = await tokens.rotate(params.id, body.graceMs, grantor(request));
        return created(reply, 'tokens', made.id).send(made);
      },
    );
  };

function grantor({ user }: FastifyRequest): UserIdentity {
  if (user) return user;
  throw new AiotError('AIOT_TOKEN_INVALID', 'expected a token');
}

const userParams = z.object({ name: z.string() });

export const userRoutes: Routes =
  ({ users }) =>
  async (app) => {
    app.get(
      '/users',
      {
        config: { access: 'operator' },
        schema: {
          summary: 'Users, by name',
          querystring: pageQuerySchema,
          response: { 200: pageSchema('users', userSchema) },
        },
      },
      ({ query }) => users.list(query),
    );

    app.get(
      '/users/:name',
      {
        config: { access: 'operator' },
        schema: { summary: 'One user', params: userParams, response: { 200: userSchema } },
      },
      ({ params }) => users.get(params.name),
    );

    app.post(
      '/users',
      { schema: { summary: 'Add a user', body: newUserSchema, response: { 201: userSchema } } },
      async ({ body, who }, reply) => {
        const user = await users.add(body, who);
        return created(reply, 'users', user.name).send(user);
      },
    );

    app.post(
      '/users/:name/state',
      {
        schema: {
          summary: 'Disable a user, with all its tokens, or enable it again',
          params: userParams,
          body: userActionSchema,
          response: { 200: userSchema },
        },
      },
      ({ params, body, who }) => users.act(params.name, body.action, who),
    );

    app.delete(
      '/users/:name',
      {
        schema: {
          summary: 'Remove a user and revoke its tokens',
          params: userParams,
          response: { 200: removedUserSchema },
        },
      },
      ({ params, who }) => users.remove(params.name, who),
    );
  };

/** Who is logged in in a browser: the dashboard's way in. */
export const sessionRoutes: Routes = (parts) => async (app) => {
  const { logins, version, urls } = parts;

  const shown = (secret: string, found: WebIdentity | null) => ({
    user: found && {
      ...{
        name: found.user.name,
        role: found.user.role,
        scopes: found.user.scopes && [...found.user.scopes],
      },
      ...{ expires: found.expires, csrf: csrfOf(secret) },
    },
    version,
  });

  app.get(
    '/session',
    {
      config: { access: 'everybody' },
      schema: {
        summary: 'Who is logged in in this browser; user is null for nobody',
        response: { 200: sessionSchema },
      },
    },
    async (request) => shown(webSecretOf(request, parts), await webIdentityOf(request, parts)),
  );

  app.post(
    '/session',
    {
      config: { access: 'everybody' },
      schema: {
        summary: 'Log in, by the code of a link or a token; the session is a cookie',
        body: loginSchema,
        response: { 200: sessionSchema },
      },
    },
    async ({ body }, reply) => {
      const { secret, ...found } = await logins.begin(body);
      const seconds = Math.max(1, Math.floor((found.expires - parts.now()) / 1000));
      setWebSession(reply, parts, { secret, seconds });
      return shown(secret, found);
    },
  );

  app.delete(
    '/session',
    {
      config: { access: 'viewer', scope: 'session' },
      schema: { summary: 'Log out', response: { 200: sessionSchema } },
    },
    async (request, reply) => {
      const secret = webSecretOf(request, parts);
      if (secret !== '' && request.user) await logins.end(secret, request.user);
      setWebSession(reply, parts, null);
      return shown('', null);
    },
  );

  app.post(
    '/session/links',
    {
      config: { access: 'viewer', scope: 'session' },
      schema: {
        summary: 'A link that logs one browser into the dashboard, once',
        response: { 200: loginLinkSchema },
      },
    },
    async ({ user }) => {
      if (!user) throw new AiotError('AIOT_TOKEN_INVALID', 'expected a token');
      const { code, expires } = await logins.link(user);
      return { url: loginUrl(urls().http, code), expires };
    },
  );
};
