import { AiotError, canonicalJson, keyIdOf } from '../../core/index.js';
import { type TrustRoot, trustRootSchema } from '../../formats/index.js';
import type { Store } from '../store/database.js';

/** The trust root: which keys may sign releases. Public keys only. */
export interface Trust {
  get(): Promise<TrustRoot | null>;
  /** The first one is taken; a later one must have a higher version. @throws AIOT_TRUST_CONFLICT, AIOT_REQUEST_INVALID */
  put(trust: TrustRoot): Promise<TrustRoot>;
}

export function trustIn(store: Store): Trust {
  const get = async () => {
    const row = await store.selectFrom('meta').select('value').where('key', '=', 'trust').executeTakeFirst();
    return row ? trustRootSchema.parse(JSON.parse(row.value)) : null;
  };
  return {
    get,
    async put(trust) {
      checkUsable(trust);
      const value = canonicalJson(trust);
      const before = await get();
      if (before && canonicalJson(before) === value) return trust;
      if (before && trust.version <= before.version) {
        throw new AiotError(
          'AIOT_TRUST_CONFLICT',
          `expected a version above ${before.version}, got ${trust.version}`,
        );
      }
      await store
        .insertInto('meta')
        .values({ key: 'trust', value })
        .onConflict((conflict) => conflict.column('key').doUpdateSet({ value }))
        .execute();
      return trust;
    },
  };
}

/** One that no signature could ever satisfy would lock everybody out, its version the way back. */
function checkUsable({ keys, roles }: TrustRoot): void {
  const { keyids, threshold } = roles.release;
  const usable = new Set(keyids.filter((id) => isKey(id, keys[id]?.publicKey)));
  if (usable.size >= threshold) return;
  throw new AiotError(
    'AIOT_REQUEST_INVALID',
    `expected a trust root with at least ${threshold} release key(s), got ${usable.size}`,
  );
}

function isKey(id: string, publicKey: string | undefined): boolean {
  try {
    return publicKey !== undefined && keyIdOf(publicKey) === id;
  } catch {
    return false;
  }
}
