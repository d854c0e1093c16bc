import type { Store } from '../store/database.js';
import { type BlobStore, hexOf } from './store.js';

/** How long an unreferenced blob is retained for its uploader, ms. */
export const leaseMs = 24 * 3600 * 1000;

/** Number of digests in one statement, below the database's parameter limit. */
const rowsAtOnce = 500;

/** Leases protect new uploads: an unreferenced blob is not deleted before its lease expires. */
export interface Leases {
  /** Starts or renews leases. */
  take(...digests: string[]): Promise<void>;
  /** Returns current leases; deletes expired ones. */
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

/** Releases leases of digests that are now referenced, in the transaction that adds the reference. */
export async function releaseLeases(digests: readonly string[], transaction: Store): Promise<void> {
  if (digests.length === 0) return;
  await transaction.deleteFrom('blobLeases').where('digest', 'in', digests).execute();
}

/** Wraps a store so that every put begins with a lease, which protects the blob from a sweep until it is referenced. */
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
