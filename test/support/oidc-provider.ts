import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import Provider, { type Configuration } from 'oidc-provider';

/** An account at the provider. */
export interface Account {
  name: string;
  groups: string[];
}

/** A running OpenID Connect provider (the npm package oidc-provider) on loopback. */
export interface RunningProvider {
  issuer: string;
  /** Accounts by subject; tests change and delete them. */
  accounts: Map<string, Account>;
  /** Subject of the account that logs in next; null = the user refuses. */
  next: string | null;
  /** Whether the login page waits for a person to press its button. */
  asks: boolean;
  /** Number of requests by path. */
  requests: Map<string, number>;
  stop(): Promise<void>;
}

export const clientId = 'aiot';
export const clientSecret = 'a-secret-of-the-client';

/** Starts the provider with a confidential client. @param redirects addresses of dashboards; none = of the command line */
export async function startProvider(redirects: string[] = []): Promise<RunningProvider> {
  let handle: (request: IncomingMessage, response: ServerResponse) => void = () => {};
  const server = createServer((request, response) => handle(request, response));
  await new Promise<void>((opened) => server.listen(0, '127.0.0.1', opened));
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const running: RunningProvider = {
    ...{ issuer, accounts: new Map(), next: null, asks: false, requests: new Map() },
    stop: async () => {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
  const configuration: Configuration = {
    clients: [
      {
        ...{ client_id: clientId, client_secret: clientSecret },
        ...(redirects.length === 0
          ? { application_type: 'native', redirect_uris: ['http://127.0.0.1/'] }
          : { application_type: 'web', redirect_uris: redirects }),
        grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
      },
    ],
    claims: { openid: ['sub'], profile: ['preferred_username'], groups: ['groups'] },
    scopes: ['openid', 'offline_access', 'profile', 'groups'],
    cookies: { keys: ['a key for the tests'] },
    features: {
      devInteractions: { enabled: false },
      deviceFlow: { enabled: true },
      revocation: { enabled: true },
    },
    interactions: { url: (_context, { uid }) => `/interaction/${uid}` },
    async findAccount(_context, subject) {
      const account = running.accounts.get(subject);
      if (!account) return undefined;
      const claims = { sub: subject, preferred_username: account.name, groups: account.groups };
      return { accountId: subject, claims: async () => claims };
    },
  };
  const provider = new Provider(issuer, configuration);
  const callback = provider.callback();
  handle = (request, response) => {
    const path = (request.url ?? '').split('?')[0] ?? '';
    running.requests.set(path, (running.requests.get(path) ?? 0) + 1);
    if (!path.startsWith('/interaction/')) return void callback(request, response);
    interact(provider, running, request, response).catch((error: unknown) => {
      response.statusCode = 500;
      response.end(String(error));
    });
  };
  return running;
}

/** Logs the next account in, and gives the consent. */
async function interact(
  provider: Provider,
  { next, asks }: RunningProvider,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { prompt, session, params } = await provider.interactionDetails(request, response);
  if (next === null) {
    const refused = { error: 'access_denied', error_description: 'the user refused' };
    return await provider.interactionFinished(request, response, refused);
  }
  if (asks && prompt.name === 'login' && request.method === 'GET') {
    response.setHeader('content-type', 'text/html; charset=utf-8');
    response.end(loginPage(next));
    return;
  }
  if (prompt.name === 'login')
    return await provider.interactionFinished(request, response, { login: { accountId: next } });
  const grant = new provider.Grant({
    accountId: session?.accountId ?? next,
    clientId: String(params.client_id),
  });
  grant.addOIDCScope(String(params.scope));
  const consent = { grantId: await grant.save() };
  await provider.interactionFinished(request, response, { consent }, { mergeWithLastSubmission: true });
}

const loginPage = (subject: string) => `<!doctype html>
<html lang="en"><title>Log in</title><link rel="icon" href="data:,">
<h1>Log in as ${subject}</h1>
<form method="post"><button>Continue</button></form></html>`;

/**
 * Visits a page as a browser does: keeps cookies, follows redirects, and submits forms. Ends at a redirect to another origin, which it returns
 * without following it, or at a page without a form.
 */
export async function browse(page: string): Promise<{ url: string; text: string }> {
  const cookies = new Map<string, string>();
  const { origin } = new URL(page);
  let url = page;
  let form: URLSearchParams | undefined;
  for (let step = 0; step < 20; step++) {
    const response = await fetch(url, {
      redirect: 'manual',
      headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
      ...(form ? { method: 'POST', body: form } : {}),
    });
    for (const line of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      if (value === '') cookies.delete(name);
      else cookies.set(name, value);
    }
    const text = await response.text();
    const location = response.headers.get('location');
    if (location !== null) {
      url = new URL(location, url).href;
      form = undefined;
      if (new URL(url).origin !== origin) return { url, text };
      continue;
    }
    const action = /<form[^>]*action="([^"]+)"/.exec(text)?.[1];
    if (action === undefined) return { url, text };
    form = new URLSearchParams();
    for (const [input] of text.matchAll(/<input[^>]*>/g)) {
      const name = /name="([^"]+)"/.exec(input)?.[1];
      const value = /value="([^"]*)"/.exec(input)?.[1];
      if (name !== undefined && value !== undefined) form.set(name, value);
    }
    // The page for typing a code, which is shown again after a refusal.
    if (/name="user_code"/.test(text) && !form.get('user_code')) return { url, text };
    if (form.has('user_code')) form.set('confirm', 'yes');
    url = new URL(action, url).href;
  }
  throw new Error(`too many pages, the last one ${url}`);
}
