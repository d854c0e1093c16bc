import {
  type ChosenContext,
  chosenContext,
  type PlatformContext,
  platformFolderOfCa,
  readContexts,
} from '../core/contexts.js';
import { AiotError, hasCode } from '../core/errors.js';
import { readText } from '../core/files.js';
import { createClient, type RegistryClient } from './client.js';
import { createGuideClient, type GuideClient } from './guide/client.js';
import type { Advice } from './transport.js';

/** The context of this name, or the one in use. @throws AIOT_CONTEXT_NOT_FOUND, AIOT_USAGE (AIOT_URL) */
export async function contextFor(name?: string): Promise<ChosenContext> {
  const chosen = await chosenContext(name);
  if (chosen) return chosen;
  const known = Object.keys((await readContexts()).contexts);
  const next = known.length > 0 ? `aiot context use NAME, or --context NAME: ${known.join(', ')}` : 'aiot up';
  throw new AiotError('AIOT_CONTEXT_NOT_FOUND', 'no platform is in use', {
    next: process.env.AIOT_TOKEN ? `AIOT_TOKEN is set: set AIOT_URL to its platform too. Or: ${next}` : next,
  });
}

/** Calls a platform and lets go of it. @throws as `clientFor`, and what the calls throw */
export async function withClient<T>(
  name: string | undefined,
  call: (client: RegistryClient) => Promise<T>,
): Promise<T> {
  const client = await clientFor(name);
  try {
    return await call(client);
  } finally {
    await client.close();
  }
}

/** What data can be fetched from: one of the two, or neither. */
export interface DataStores {
  client: RegistryClient | null;
  guide: GuideClient | null;
}

/** Calls whatever is behind a context, or the one in use, where there is one. @throws as `withClient` and `withGuide` */
export async function withStores<T>(
  name: string | undefined,
  call: (stores: DataStores) => Promise<T>,
): Promise<T> {
  const context = await chosenContext(name);
  if (!context) return await call({ client: null, guide: null });
  return context.kind === 'architects-guide'
    ? await withGuide(context, (guide) => call({ client: null, guide }))
    : await withClient(context.name, (client) => call({ client, guide: null }));
}

/** A client for that platform, with its CA and its token. @throws AIOT_CONTEXT_NOT_FOUND, AIOT_FILE_NOT_FOUND (the CA) */
export async function clientFor(name?: string): Promise<RegistryClient> {
  const context = await contextFor(name);
  const { url, ca, token, kind } = context;
  if (kind === 'architects-guide') throw notForGuide(context.name);
  return createClient({
    url,
    ...(ca ? { ca: await readCa(ca, context) } : {}),
    ...(token ? { token } : {}),
    advice: adviceFor(context),
  });
}

/**
 * Asks a platform for its status with the context's token, before the context is kept.
 * @throws AIOT_TOKEN_INVALID, AIOT_PLATFORM_UNREACHABLE, AIOT_PLATFORM_UNTRUSTED, AIOT_FILE_NOT_FOUND (the CA)
 */
export async function tryToken({ url, ca, token }: PlatformContext): Promise<void> {
  const client = createClient({
    url,
    ...(ca ? { ca: await readText(ca) } : {}),
    ...(token ? { token } : {}),
    advice: {
      AIOT_PLATFORM_UNREACHABLE: 'Check --url; --no-check keeps the context without trying its token.',
      AIOT_TOKEN_INVALID: 'Nothing was kept. Check the token: an operator makes one with aiot token create.',
      AIOT_PLATFORM_UNTRUSTED: 'Nothing was kept. Name the CA of the platform with --ca FILE.',
    },
  });
  try {
    await client.status();
  } finally {
    await client.close();
  }
}

/** A context's CA. @throws AIOT_FILE_NOT_FOUND, which names the variable or the context that asked for the file */
async function readCa(ca: string, { name, from }: ChosenContext): Promise<string> {
  const isVariable = from === 'environment' && process.env.AIOT_CA === ca;
  return await readText(ca).catch((error: unknown) => {
    if (!hasCode(error, 'AIOT_FILE_NOT_FOUND')) throw error;
    throw new AiotError(
      error.code,
      `${isVariable ? 'AIOT_CA' : `the CA of the context ${name}`}: ${error.message}`,
      {
        cause: error,
        next: isVariable
          ? 'Set AIOT_CA to the file of the platform’s CA (DIR/pki/ca.crt of aiot up --data DIR), or unset it.'
          : `aiot context add ${name} --replace --url URL --ca FILE`,
      },
    );
  });
}

/** Next steps in terms of what named the platform: AIOT_URL and its companions, or a context. */
export function adviceFor(context: ChosenContext): Advice {
  const { name, token, from } = context;
  const isTokenVariable = token !== undefined && process.env.AIOT_TOKEN === token;
  const made = 'an operator makes one with aiot token create NAME --role ROLE';
  const advice: Advice = { AIOT_PLATFORM_UNREACHABLE: adviceWhenUnreachable(context) };
  if (isTokenVariable)
    advice.AIOT_TOKEN_INVALID = `The token is that of AIOT_TOKEN: set another, or unset it. If you have none, ${made}.`;
  else if (token === undefined)
    advice.AIOT_TOKEN_INVALID =
      from === 'environment'
        ? `Set AIOT_TOKEN to a token of this platform; ${made}.`
        : `The context ${name} has no token: aiot context add ${name} --replace --url URL --token-file FILE; ${made}.`;
  if (from === 'environment')
    advice.AIOT_PLATFORM_UNTRUSTED =
      'Check AIOT_URL, and set AIOT_CA to the file of the platform’s CA: DIR/pki/ca.crt of aiot up --data DIR.';
  return advice;
}

/** Which platform was asked, how it is started where it is one of this machine, and how another one is chosen. */
function adviceWhenUnreachable({ name, ca, from, others }: ChosenContext): string {
  const isVariable = from === 'environment';
  const asked = isVariable ? 'AIOT_URL names this platform' : `The context ${name} names this platform`;
  const data = platformFolderOfCa(ca);
  const start = data === undefined ? [] : [`start it with aiot up --data ${data}`];
  const choice = isVariable
    ? 'unset AIOT_URL to talk to the context in use'
    : `choose another with aiot context use ${others.length === 1 ? others[0] : `NAME (${others.join(', ')})`}`;
  const ways = [...start, ...(others.length === 0 ? [] : [choice])];
  return `${asked}: ${ways.length > 0 ? ways.join(', or ') : 'check its address and that it runs'}.`;
}

/** Calls the installation of the guide's services behind a context and lets go of it. @throws AIOT_FILE_NOT_FOUND (the CA) */
export async function withGuide<T>(
  { url, ca, fingerprint }: PlatformContext,
  call: (client: GuideClient) => Promise<T>,
): Promise<T> {
  const trust = { ...(ca ? { ca: await readText(ca) } : {}), ...(fingerprint ? { fingerprint } : {}) };
  const client = createGuideClient({ url, ...trust });
  try {
    return await call(client);
  } finally {
    await client.close();
  }
}

function notForGuide(name: string): AiotError {
  return new AiotError(
    'AIOT_CONTEXT_KIND',
    `${name} is an installation of the guide’s services: it knows boards, models and rows, and no more`,
    {
      next: 'aiot device provision --chip-id ID, aiot data extract, aiot model push | list | pull; for the rest: --context NAME, aiot context list',
    },
  );
}
