import { constants } from 'node:fs';
import { access, statfs } from 'node:fs/promises';
import { digestOf } from '../../core/index.js';
import type { ApiParts } from './parts.js';

/** Space below which nothing more is taken on, bytes. */
const leastFree = 16 * 1024 ** 2;

/** How long one look may take, ms. */
const patience = 3000;

export interface Readiness {
  ready: boolean;
  /** What was looked at → what is wrong with it; null = nothing. */
  checks: Record<string, string | null>;
}

/** Whether requests can be served just now: each part is tried, none is changed. */
export async function readinessOf(
  parts: Pick<ApiParts, 'store' | 'blobs' | 'condition' | 'dataDir'>,
): Promise<Readiness> {
  const looks: Record<string, () => Promise<string | null>> = {
    async database() {
      await parts.store.selectFrom('meta').select('key').limit(1).execute();
      return (await parts.condition()).ready ? null : 'it cannot be used';
    },
    async disk() {
      await access(parts.dataDir, constants.W_OK);
      const { bavail, bsize } = await statfs(parts.dataDir);
      return bavail * bsize >= leastFree ? null : 'it is full';
    },
    async blobs() {
      await parts.blobs.size(digestOf(''));
      return null;
    },
  };
  const entries = Object.entries(looks).map(async ([name, look]) => [name, await outcome(look)] as const);
  const checks = Object.fromEntries(await Promise.all(entries));
  return { ready: Object.values(checks).every((trouble) => trouble === null), checks };
}

async function outcome(look: () => Promise<string | null>): Promise<string | null> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve(`no answer in ${patience} ms`), patience);
  });
  try {
    return await Promise.race([look(), late]);
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : 'it failed';
  } finally {
    clearTimeout(timer);
  }
}
