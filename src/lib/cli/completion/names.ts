import { join } from 'node:path';
import type { RegistryClient } from '../../api/client.js';
import { contextFor, withClient } from '../../api/context.js';
import { makeFolder, writeFileAtomic } from '../../core/files.js';
import { cacheFolder } from '../../core/folders.js';

/** Resources whose names the shells complete. */
export const nameKinds = [
  'devices',
  'models',
  'firmware',
  'configs',
  'rollouts',
  'streams',
  'users',
  'tokens',
  'sessions',
  'webhooks',
  'alarms',
  'jobs',
] as const;

export type NameKind = (typeof nameKinds)[number];

/** Names are inserted unchanged, so those with characters that a shell interprets are omitted. */
const safe = /^[A-Za-z0-9_][A-Za-z0-9_.:/-]*$/;

const mostNames = 2000;

type Lists = Record<NameKind, (client: RegistryClient) => Promise<string[]>>;

const named = async (list: Promise<{ name: string }[]>) => (await list).map(({ name }) => name);
const identified = async (list: Promise<{ id: string }[]>) => (await list).map(({ id }) => id);

const lists: Lists = {
  devices: ({ devices }) => named(devices.list()),
  models: ({ models }) => named(models.list()),
  firmware: ({ firmware }) => named(firmware.list()),
  configs: ({ configs }) => named(configs.list()),
  rollouts: ({ rollouts }) => identified(rollouts.list()),
  streams: ({ datasets }) => named(datasets.list()),
  users: ({ users }) => named(users.list()),
  tokens: ({ tokens }) => identified(tokens.list()),
  sessions: ({ sessions }) => identified(sessions.list()),
  webhooks: ({ webhooks }) => identified(webhooks.list()),
  alarms: ({ alarms }) => named(alarms.list()),
  jobs: ({ jobs }) => identified(jobs.list()),
};

/** Folder of a context's names, which contains a file for each kind. The completion scripts read these files. */
export function namesFolder(context: string): string {
  return join(cacheFolder(), 'completion', context);
}

/**
 * Writes the names of a platform's resources to the cache, for completion. Lists that the token has no permission to read
 * stay unchanged.
 * @returns the number of names by kind
 * @throws AIOT_CONTEXT_NOT_FOUND, AIOT_PLATFORM_UNREACHABLE if no list could be read
 */
export async function refreshNames(
  context: string | undefined,
  signal: AbortSignal,
): Promise<Partial<Record<NameKind, number>>> {
  const { name } = await contextFor(context);
  const folder = namesFolder(name);
  await makeFolder(folder, 0o700);
  const counts: Partial<Record<NameKind, number>> = {};
  await withClient(context, async (client) => {
    const results = await Promise.allSettled(
      nameKinds.map(async (kind) => {
        const names = (await lists[kind](client)).filter((each) => safe.test(each)).slice(0, mostNames);
        if (signal.aborted) return;
        await writeFileAtomic(join(folder, kind), names.map((each) => `${each}\n`).join(''), 0o600);
        counts[kind] = names.length;
      }),
    );
    const [first] = results;
    if (first?.status === 'rejected' && Object.keys(counts).length === 0) throw first.reason;
  });
  return counts;
}
