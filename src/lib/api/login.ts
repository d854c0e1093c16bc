import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import * as z from 'zod';
import { addContext, checkContext, type PlatformContext, readContexts } from '../core/contexts.js';
import { AiotError, hasCode } from '../core/errors.js';
import { readText } from '../core/files.js';
import { onAbort } from '../core/tasks.js';
import { createClient, type RegistryClient } from './client.js';
import { contextFor } from './context.js';
import { type FinishedLogin, type ProviderLogin, roles } from './contract/access.js';

/**
 * Longest duration of a login, ms; the platform's limit too. It is measured on this machine's monotonic clock, because the clocks of this
 * machine and the platform may differ.
 */
const longestMs = 10 * 60_000;

/** Shortest interval between polls for a code after a temporary failure, ms. */
const againMs = 2000;

export interface LoginOptions {
  /** Context in which the login is stored; absent = the context that names the platform. */
  name?: string | undefined;
  /** The platform's address; absent = the platform of `context`, or of the context `name` if it exists. */
  url?: string | undefined;
  ca?: string | undefined;
  mqtt?: string | undefined;
  context?: string | undefined;
  /** Whether to overwrite a token that is not from a login. */
  replace?: boolean | undefined;
  way: 'browser' | 'device';
  /** Shows the page that the user must open, and the code to enter there. */
  show: (page: Pick<ProviderLogin, 'url' | 'code'>) => void | Promise<void>;
  signal: AbortSignal;
}

/** Result of `aiot login`. */
export const loginResultSchema = z.object({
  context: z.string(),
  url: z.string(),
  user: z.string(),
  role: z.enum(roles),
  /** When the login ends at the latest, ms since 1970. */
  ends: z.int(),
});

/** Result of `aiot logout`. */
export const logoutResultSchema = z.object({ context: z.string(), url: z.string() });

/**
 * Logs in through the platform's login provider, and stores the login's token in a context. A token that is not from a login is not
 * overwritten, because it works without the provider.
 * @throws AIOT_ALREADY_EXISTS, AIOT_CONTEXT_NOT_FOUND, AIOT_LOGIN_FAILED, AIOT_NOT_ALLOWED, AIOT_NOT_FOUND, AIOT_PROVIDER_UNREACHABLE
 */
export async function logIn(options: LoginOptions): Promise<z.output<typeof loginResultSchema>> {
  const { way, show, signal } = options;
  const { name, context } = await contextOfLogin(options);
  const client = await clientWithout(context);
  try {
    await requireProvider(client);
    const { token, user, role, ends } =
      way === 'device' ? await withCode(client, show, signal) : await withBrowser(client, show, signal);
    await addContext(name, { ...context, token, login: true }, { replace: true, use: true });
    return { context: name, url: context.url, user, role, ends };
  } finally {
    await client.close();
  }
}

/**
 * Ends a context's login, at the platform and at the provider, and deletes its token. The context stays.
 * @throws AIOT_USAGE if the context's token is not from a login
 */
export async function logOut(name?: string): Promise<z.output<typeof logoutResultSchema>> {
  const { name: found } = await contextFor(name);
  const { contexts, current } = await readContexts();
  const context = contexts[found];
  if (!context?.login)
    throw new AiotError('AIOT_USAGE', `the context ${found} has no login`, {
      next: `To revoke its token, run \`aiot token revoke ID\`. To delete the context, run \`aiot context remove ${found}\`.`,
    });
  const { token, ...rest } = context;
  if (token !== undefined) {
    const client = await clientWithout(context, token);
    try {
      await client.session.end();
    } catch (error) {
      // The login has ended already.
      if (!hasCode(error, 'AIOT_TOKEN_INVALID')) throw error;
    } finally {
      await client.close();
    }
  }
  await addContext(found, rest, { replace: true, use: current === found });
  return { context: found, url: context.url };
}

/** The context to store the login in, without its token. */
async function contextOfLogin(options: LoginOptions): Promise<{ name: string; context: PlatformContext }> {
  const { url, ca, mqtt, replace } = options;
  const { contexts } = await readContexts();
  const own = options.name !== undefined && Object.hasOwn(contexts, options.name) ? options.name : undefined;
  const base = url === undefined ? await contextFor(options.context ?? own) : undefined;
  const name = options.name ?? base?.name;
  if (name === undefined)
    throw new AiotError('AIOT_USAGE', 'expected a name for the context', {
      next: 'Name the context of a new platform: `aiot login NAME --url URL`.',
    });
  const context = await checkContext({
    ...{ url: url ?? base?.url ?? '', kind: base?.kind },
    ca: ca === undefined ? base?.ca : resolve(ca),
    mqtt: mqtt ?? base?.mqtt,
  });
  const before = Object.hasOwn(contexts, name) ? contexts[name] : undefined;
  if (before && !replace && ((before.token !== undefined && !before.login) || before.url !== context.url)) {
    const why = before.url === context.url ? 'has a token that is not from a login' : `is for ${before.url}`;
    throw new AiotError('AIOT_ALREADY_EXISTS', `the context ${name} ${why}`, {
      subject: 'context',
      next: 'To keep it, log in under another name: `aiot login NAME`. To overwrite it, add --replace.',
    });
  }
  return { name, context: { ...context, ...(base?.plain ? { plain: base.plain } : {}) } };
}

async function clientWithout({ url, ca }: PlatformContext, token?: string): Promise<RegistryClient> {
  return createClient({ url, ...(ca ? { ca: await readText(ca) } : {}), ...(token ? { token } : {}) });
}

/** Checked first, so that no port is opened for a login that cannot succeed. @throws AIOT_NOT_FOUND */
async function requireProvider(client: RegistryClient): Promise<void> {
  const { provider } = await client.session.get();
  if (provider !== null) return;
  throw new AiotError('AIOT_NOT_FOUND', `the platform at ${client.url} has no login provider`, {
    next: 'Ask an operator for a token, and add it with `aiot context add NAME --url URL`. To add a provider, restart the platform with `aiot up --oidc-issuer URL`.',
  });
}

type Done = NonNullable<FinishedLogin['done']>;

/** A login with a code, which the user enters on any machine (RFC 8628). */
async function withCode(
  client: RegistryClient,
  show: LoginOptions['show'],
  signal: AbortSignal,
): Promise<Done> {
  const { login, intervalMs, ...page } = await client.session.start({ kind: 'device' });
  await show(webPage(page));
  const until = performance.now() + longestMs;
  for (let waitMs = intervalMs ?? againMs; ; ) {
    await setTimeout(waitMs, undefined, { signal });
    try {
      const answer = await client.session.finish({ login });
      if (answer.done) return answer.done;
      waitMs = answer.intervalMs ?? waitMs;
    } catch (error) {
      // The user may still enter the code.
      if (!(error instanceof AiotError) || !error.retryable || performance.now() > until) throw error;
      waitMs = Math.max(waitMs, againMs);
    }
  }
}

/** A login in this machine's browser, which the provider redirects to a listener on loopback (RFC 8252, 7.3). */
async function withBrowser(
  client: RegistryClient,
  show: LoginOptions['show'],
  signal: AbortSignal,
): Promise<Done> {
  const listener = await openListener(signal);
  try {
    const { login, ...page } = await client.session.start({
      kind: 'browser',
      redirectUri: listener.url,
    });
    const { searchParams } = new URL(webPage(page).url);
    const response = listener.response(searchParams.get('state') ?? '');
    // If the page cannot be shown, nothing waits for the redirect.
    response.catch(() => {});
    await show(page);
    const { done } = await client.session.finish({ login, response: await response });
    if (done) return done;
    throw new AiotError('AIOT_LOGIN_FAILED', 'the login is not complete');
  } finally {
    listener.close();
  }
}

/** Requires a web page, because the URL is opened on this machine. @throws AIOT_LOGIN_FAILED */
function webPage<T extends { url: string }>(page: T): T {
  if (/^https?:\/\//i.test(page.url) && URL.canParse(page.url)) return page;
  throw new AiotError(
    'AIOT_LOGIN_FAILED',
    `the login page is ${page.url.slice(0, 60)}; expected an https URL`,
  );
}

/** Listens on a free port of this machine for the provider's redirect. */
async function openListener(signal: AbortSignal) {
  const server = createServer({ requestTimeout: 10_000 });
  await new Promise<void>((opened, failed) => {
    server.once('error', failed);
    server.listen(0, '127.0.0.1', opened);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/`,
    /** The query of the first redirect with this state. Other requests, such as those of other pages, are ignored. */
    response: (state: string) =>
      new Promise<string>((resolve, reject) => {
        const late = new AiotError('AIOT_LOGIN_FAILED', 'the login timed out');
        const timer = globalThis.setTimeout(() => reject(late), longestMs);
        onAbort(signal, () => reject(signal.reason));
        server.once('close', () => clearTimeout(timer));
        server.on('request', ({ method, url = '' }, reply) => {
          // Some paths, such as //, are not valid references.
          const page = URL.canParse(url, 'http://127.0.0.1') ? new URL(url, 'http://127.0.0.1') : null;
          const isPage = method === 'GET' && page?.pathname === '/';
          const isOurs = isPage && page.searchParams.get('state') === state;
          reply.writeHead(isOurs ? 200 : 404, { 'content-type': 'text/plain', connection: 'close' });
          reply.end(isOurs ? 'You can close this page and return to the terminal.\n' : 'not found\n');
          if (isOurs) resolve(page.search.slice(1));
        });
      }),
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
