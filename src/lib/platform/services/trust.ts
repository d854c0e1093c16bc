import { AiotError, canonicalJson } from '../../core/index.js';
import { type TrustRoot, trustRootSchema } from '../../formats/index.js';
import type { Store } from '../store/database.js';

/** The trust root: which keys may sign releases. Public keys only. */
export interface Trust {
  get(): Promise<TrustRoot | null>;
  /** The first one is taken; a later one must have a higher version. @throws AIOT_TRUST_CONFLICT */
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
