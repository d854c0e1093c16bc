import { AiotError } from '../../../core/index.js';
import { loginLinkSchema, loginSchema, sessionSchema } from '../../../registry/index.js';
import { csrfOf, loginUrl, type WebIdentity } from '../../services/logins.js';
import type { Routes } from '../parts.js';
import { setWebSession, webIdentityOf, webSecretOf } from '../web-session.js';

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
