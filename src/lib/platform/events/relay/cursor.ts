import { sha256Hex } from '../../../core/index.js';
import type { Store } from '../../store/database.js';

/** Where a lane stands with one far side: kept with the state. */
export interface Cursor {
  /** null = it has never been sent anything. */
  read(): Promise<string | null>;
  save(position: string): Promise<void>;
}

/** @param endpoint of the far side, without credentials: another one begins anew */
export function cursorIn(store: Store, endpoint: string, lane: string): Cursor {
  const key = `relay:${lane}:${sha256Hex(endpoint).slice(0, 16)}`;
  return {
    async read() {
      const row = await store.selectFrom('meta').select('value').where('key', '=', key).executeTakeFirst();
      return row?.value ?? null;
    },
    async save(value) {
      await store
        .insertInto('meta')
        .values({ key, value })
        .onConflict((conflict) => conflict.column('key').doUpdateSet({ value }))
        .execute();
    },
  };
}
