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

/** The context with this name, or the current one. @throws AIOT_CONTEXT_NOT_FOUND, AIOT_USAGE (AIOT_URL) */
export async function contextFor(name?: string): Promise<ChosenContext> {
  const chosen = await chosenContext(name);
  if (chosen) return chosen;
  const known = Object.keys((await readContexts()).contexts);
  const next =
    known.length > 0
      ? `Choose one with \`aiot context use NAME\` or --context NAME: ${known.join(', ')}.`
      : 'To start a platform, run `aiot up`.';
  throw new AiotError('AIOT_CONTEXT_NOT_FOUND', 'no platform is selected', {
    next: process.env.AIOT_TOKEN
      ? `AIOT_TOKEN is set, so set AIOT_URL to its platform too. Or use a context. ${next}`
      : next,
  });
}

/** Runs calls on a platform and then closes the client. @throws as `clientFor`, and errors of the calls */
export async function withClient<T>(
  name: string | undefined,
  call: (client: RegistryClient) => Promise<T>,
): Promise<T> {
  const client = await clientFor(name);
  try {
    return await call(client);
  } catch (error) {
    throw await namingContext(error, name);
  } finally {
    await client.close();
  }
}

/** If the user has several contexts, an error about an unknown name also names the context in which it was looked up. */
async function namingContext(error: unknown, chosen: string | undefined): Promise<unknown> {
  if (!hasCode(error, 'AIOT_NOT_FOUND')) return error;
  const [, said, near = ''] = /^(no \S+ is named .+?)(\. Did you mean .+)?$/.exec(error.message) ?? [];
  const { name, others } = await contextFor(chosen);
  if (said === undefined || others.length === 0) return error;
  const next = `${error.next} It may be on another platform: to see your contexts, run \`aiot context list\`.`;
  const { endpoint, cause } = error;
  return error.reworded(`${said} on ${name}${near}`, {
    ...{ next, cause },
    ...(endpoint === undefined ? {} : { endpoint }),
  });
}

/** Clients for the chosen context's data service. At most one of them is not null. */
export interface DataStores {
  client: RegistryClient | null;
  guide: GuideClient | null;
}

/**
 * Runs calls on the data service of the given context, or of the current one. Without a context, neither client is available.
 * @throws as `withClient` and `withGuide`
 */
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

/** Creates a client for the context's platform, with its CA and its token. @throws AIOT_CONTEXT_NOT_FOUND, AIOT_FILE_NOT_FOUND (the CA) */
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
 * Requests a platform's status with the context's token, before the context is saved.
 * @throws AIOT_TOKEN_INVALID, AIOT_PLATFORM_UNREACHABLE, AIOT_PLATFORM_UNTRUSTED, AIOT_FILE_NOT_FOUND (the CA)
 */
export async function tryToken({ url, ca, token }: PlatformContext): Promise<void> {
  const client = createClient({
    url,
    ...(ca ? { ca: await readText(ca) } : {}),
    ...(token ? { token } : {}),
    advice: {
      AIOT_PLATFORM_UNREACHABLE:
        'Check --url. To save the context without testing its token, add --no-check.',
      AIOT_TOKEN_INVALID:
        'Nothing was saved. Check the token, or ask an operator to create one with `aiot token create`.',
      AIOT_PLATFORM_UNTRUSTED: "Nothing was saved. Specify the platform's CA with --ca FILE.",
    },
  });
  try {
    await client.status();
  } finally {
    await client.close();
  }
}

/** Reads a context's CA. AIOT_FILE_NOT_FOUND, which names the variable or the context that refers to the file */
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
          ? "Set AIOT_CA to the platform's CA file (DIR/pki/ca.crt of aiot up --data DIR), or unset it."
          : `Restore the file, or set another one with \`aiot context add ${name} --replace --url URL --ca FILE\`.`,
      },
    );
  });
}

/** Next steps for errors. They depend on whether the address came from AIOT_URL and its companions or from a context. */
export function adviceFor(context: ChosenContext): Advice {
  const { name, token, login, from } = context;
  const isTokenVariable = token !== undefined && process.env.AIOT_TOKEN === token;
  const made = 'ask an operator to run `aiot token create NAME --role ROLE`';
  const advice: Advice = { AIOT_PLATFORM_UNREACHABLE: adviceWhenUnreachable(context) };
  if (isTokenVariable)
    advice.AIOT_TOKEN_INVALID = `The token is from AIOT_TOKEN: set another one, or unset it. If you have none, ${made}.`;
  else if (login)
    advice.AIOT_TOKEN_INVALID = `The login has ended: run \`aiot login ${name}\` to log in again.`;
  else if (token === undefined)
    advice.AIOT_TOKEN_INVALID =
      from === 'environment'
        ? `Set AIOT_TOKEN to a token of this platform. If you have none, ${made}.`
        : `The context ${name} has no token: add one with \`aiot context add ${name} --replace --url URL --token-file FILE\`. If you have none, ${made}.`;
  if (from === 'environment')
    advice.AIOT_PLATFORM_UNTRUSTED =
      "Check AIOT_URL, and set AIOT_CA to the file of the platform's CA: DIR/pki/ca.crt of aiot up --data DIR.";
  return advice;
}

/**
 * Next step if the platform is unreachable: how to start it if it is on this machine, or how to choose another context.
 */
function adviceWhenUnreachable({ name, url, mqtt, ca, from, others }: ChosenContext): string {
  const isVariable = from === 'environment';
  const asked = isVariable ? 'AIOT_URL names this platform' : `The context ${name} names this platform`;
  const data = platformFolderOfCa(ca);
  const start = data === undefined ? [] : [`start it with aiot up --data ${data}${portFlags(url, mqtt)}`];
  const choice = isVariable
    ? 'unset AIOT_URL to use the current context'
    : `choose another with aiot context use ${others.length === 1 ? others[0] : `NAME (${others.join(', ')})`}`;
  const ways = [...start, ...(others.length === 0 ? [] : [choice])];
  return `${asked}: ${ways.length > 0 ? ways.join(', or ') : 'check its address and that it is running'}.`;
}

/** Flags for the ports of a platform on this machine that differ from the defaults; empty for an external broker's port. */
function portFlags(url: string, mqtt: string | undefined): string {
  const api = new URL(url);
  const broker = mqtt === undefined ? undefined : new URL(mqtt);
  const flag = (name: string, port: string | undefined, usual: string) =>
    port === undefined || port === '' || port === usual ? '' : ` --${name} ${port}`;
  const brokerPort = broker?.hostname === api.hostname ? broker.port : undefined;
  return `${flag('http-port', api.port, '8443')}${flag('mqtt-port', brokerPort, '8883')}`;
}

/** Runs calls on a context's installation of the guide's services and then closes the client. @throws AIOT_FILE_NOT_FOUND (the CA) */
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
    `${name} is an installation of the guide's services, which only supports boards, models and rows`,
    {
      next: 'Use device provision --chip-id ID, data extract, or model push, list and pull. For other commands, choose another context with --context NAME.',
    },
  );
}
