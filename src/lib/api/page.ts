import { type ZodType, z } from 'zod';
import { AiotError } from '../core/errors.js';

/** Default number of entries in a response, and their maximum. */
const usual = 100;
const most = 1000;

/** Query of every list: at most `limit` entries after the one with the key `after`, which is the `next` of the previous page. */
export const pageQuerySchema = z.object({
  limit: z.coerce.number().int().min(1).max(most).default(usual),
  after: z.string().min(1).max(512).optional(),
});
/** A flag in a query: `true` or `false`, nothing else. */
export const queryFlagSchema = z
  .stringbool({ truthy: ['true'], falsy: ['false'], case: 'sensitive' })
  .meta({ type: 'boolean' });
export type PageQuery = z.output<typeof pageQuerySchema>;

/**
 * Response body of a list: `{NOUN: [...], next}`. Pass `next` as `after` to get the next page; null = this is the last
 * page.
 */
export function pageSchema<Noun extends string, Entry extends ZodType>(noun: Noun, entry: Entry) {
  const shape = { [noun]: z.array(entry) } as Record<Noun, z.ZodArray<Entry>>;
  return z.object({ ...shape, next: z.string().nullable().default(null) });
}

/** Makes a page from the rows of a query for `limit + 1` rows after `after`. The extra row shows that there is a next page. */
export function pageOfRows<T>(
  rows: readonly T[],
  limit: number,
  keyOf: (entry: T) => string,
): { entries: T[]; next: string | null } {
  const entries = rows.slice(0, limit);
  const last = entries.at(-1);
  return { entries, next: rows.length > limit && last !== undefined ? keyOf(last) : null };
}

/** Parses a cursor that is a number. @throws AIOT_REQUEST_INVALID */
export function numberOf(key: string): number {
  if (/^\d{1,15}$/.test(key)) return Number(key);
  throw new AiotError(
    'AIOT_REQUEST_INVALID',
    'querystring: after: expected the `next` value of a previous page',
  );
}

/** Returns all entries of a list; requests them page by page. */
export async function everyPage<T>(
  ask: (page: PageQuery) => Promise<{ entries: T[]; next: string | null }>,
): Promise<T[]> {
  const all: T[] = [];
  let after: string | undefined;
  do {
    const page: { entries: T[]; next: string | null } = await ask({ limit: most, after });
    for (const entry of page.entries) all.push(entry);
    after = page.next ?? undefined;
  } while (after !== undefined);
  return all;
}
