import { AiotError, type PlatformContext, readContexts, readText } from '../core/index.js';
import { createClient, type RegistryClient } from './client.js';
import { createGuideClient, type GuideClient } from './guide/client.js';

export interface NamedContext extends PlatformContext {
  name: string;
}

/** The context of this name, or the one in use. @throws AIOT_CONTEXT_NOT_FOUND */
export async function contextFor(name?: string): Promise<NamedContext> {
  const { current, contexts } = await readContexts();
  const wanted = name ?? current;
  const context = wanted !== undefined && Object.hasOwn(contexts, wanted) ? contexts[wanted] : undefined;
  if (wanted !== undefined && context) return { name: wanted, ...context };
  const known = Object.keys(contexts);
  throw new AiotError(
    'AIOT_CONTEXT_NOT_FOUND',
    wanted === undefined ? 'no platform is in use' : `no context is named ${wanted}`,
    { next: known.length > 0 ? `aiot context use NAME, or --context NAME: ${known.join(', ')}` : 'aiot up' },
  );
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
  if (name === undefined && (await readContexts()).current === undefined)
    return await call({ client: null, guide: null });
  const context = await contextFor(name);
  return context.kind === 'architects-guide'
    ? await withGuide(context, (guide) => call({ client: null, guide }))
    : await withClient(context.name, (client) => call({ client, guide: null }));
}

/** A client for that platform, with its CA and its token. @throws AIOT_CONTEXT_NOT_FOUND, AIOT_FILE_NOT_FOUND (the CA) */
export async function clientFor(name?: string): Promise<RegistryClient> {
  const { url, ca, token, kind, name: known } = await contextFor(name);
  if (kind === 'architects-guide') throw notForGuide(known);
  return createClient({
    url,
    ...(ca ? { ca: await readText(ca) } : {}),
    ...(token ? { token } : {}),
  });
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
      next: 'aiot device provision --chip-id ID, aiot data extract, aiot model push; for the rest: --context NAME, aiot context list',
    },
  );
}
