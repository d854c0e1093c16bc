import { randomBytes } from 'node:crypto';
import { sha256Hex } from '../../core/index.js';
import type { Store } from '../store/database.js';

const lifetime = 365 * 86_400_000;

/** Operators' tokens: 256 random bits; only their digest is kept. */
export interface Tokens {
  /** A new token, valid for a year. */
  issue(): Promise<string>;
  /** Whether this token is one of ours and not expired. */
  valid(token: string): Promise<boolean>;
  /** What a token is called where somebody is told who did what: it does not give the token away. */
  name(token: string): string;
  any(): Promise<boolean>;
}

export function tokensIn(store: Store, now: () => number): Tokens {
  return {
    async issue() {
      const token = `aiot_${randomBytes(32).toString('base64url')}`;
      const created = now();
      const row = { digest: sha256Hex(token), role: 'operator', created, expires: created + lifetime };
      await store.insertInto('tokens').values(row).execute();
      return token;
    },
    async valid(token) {
      const found = await store
        .selectFrom('tokens')
        .select('expires')
        .where('digest', '=', sha256Hex(token))
        .where('role', '=', 'operator')
        .executeTakeFirst();
      return found !== undefined && found.expires > now();
    },
    name: (token) => `operator ${sha256Hex(token).slice(0, 12)}`,
    async any() {
      return (await store.selectFrom('tokens').select('digest').executeTakeFirst()) !== undefined;
    },
  };
}
