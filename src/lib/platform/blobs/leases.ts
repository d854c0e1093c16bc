import type { Store } from '../store/database.js';
import { type BlobStore, hexOf } from './store.js';

/** How long a blob that nothing refers to is kept for who has put it, ms. */
export const leaseMs = 24 * 3600 * 1000;

/** Fewer than a statement may have parameters. */
const rowsAtOnce = 500;

/** Who puts a blob is given time to refer to it: until then it is no orphan, whatever else was done with its content. */
export interface Leases {
  /** Begins, or begins anew. */
  take(...digests: string[]): Promise<void>;
  /** Those that are under way; those that are over go. */
  current(): Promise<Set<string>>;
}

export function leasesIn(store: Store, now: () => number): Leases {
  return {
    async take(...digests) {
      const until = now() + leaseMs;
      for (let at = 0; at < digests.length; at += rowsAtOnce) {
        const some = digests.slice(at, at + rowsAtOnce);
        await store
          .insertInto('blobLeases')
          .values(some.map((digest) => ({ digest, until })))
          .onConflict((conflict) => conflict.column('digest').doUpdateSet({ until }))
          .execute();
      }
    },
    async current() {
      await store.deleteFrom('blobLeases').where('until', '<=', now()).execute();
      const rows = await store.selectFrom('blobLeases').select('digest').execute();
      return new Set(rows.map(({ digest }) => digest));
    },
  };
}

/** Something refers to these from now on: in the transaction that makes it do so. */
export async function releaseLeases(digests: readonly string[], transaction: Store): Promise<void> {
  if (digests.length === 0) return;
  await transaction.deleteFrom('blobLeases').where('digest', 'in', digests).execute();
}

/** The same store, where a put begins with a lease: a sweep between the put and what refers to it finds the lease. */
export function leased(blobs: BlobStore, leases: Leases): BlobStore {
  return {
    ...blobs,
    async put(digest, source) {
      hexOf(digest);
      await leases.take(digest);
      return blobs.put(digest, source);
    },
    async adopt(digest, path) {
      await leases.take(digest);
      return blobs.adopt(digest, path);
    },
  };
}
