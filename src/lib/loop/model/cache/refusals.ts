import { join } from 'node:path';
import { z } from 'zod';
import { aiotVersion, readJson, writeJsonAtomic } from '../../../core/index.js';

const refusalSchema = z.object({
  digest: z.string(),
  title: z.string(),
  reason: z.string(),
  /** ms since 1970 */
  at: z.number(),
  /** Another aiot may run it rightly: it is tried again by that one. */
  aiot: z.string(),
});
export type Refusal = z.output<typeof refusalSchema>;

/** Contents that were tried on this machine and found wrong: they are not tried again after a restart either. */
export interface Refusals {
  has(digest: string): Promise<Refusal | null>;
  /** Kept for this process even where the disk takes nothing. */
  add(digest: string, title: string, reason: string, now: number): Promise<void>;
  /** Digests, in the order they were found in by this process. */
  list(): string[];
}

/** Those of a cache folder: one file a digest, which counts for as long as aiot is the same. */
export function refusalsOf(cache: string): Refusals {
  const own = new Map<string, Refusal>();
  const fileOf = (digest: string) =>
    join(cache, 'loop', 'refused', `${digest.slice(digest.indexOf(':') + 1)}.json`);
  return {
    async has(digest) {
      const known = own.get(digest);
      if (known) return known;
      const read = refusalSchema.safeParse(await readJson(fileOf(digest)).catch(() => null));
      if (!read.success || read.data.digest !== digest || read.data.aiot !== aiotVersion()) return null;
      own.set(digest, read.data);
      return read.data;
    },
    async add(digest, title, reason, at) {
      const refusal = { digest, title, reason, at, aiot: aiotVersion() };
      own.set(digest, refusal);
      await writeJsonAtomic(fileOf(digest), refusal);
    },
    list: () => [...own.keys()],
  };
}
