import { type ZodType, z } from 'zod';
import { AiotError } from '../core/errors.js';

/** How many entries an answer holds when nobody says, and at most. */
const usual = 100;
const most = 1000;

/** Query of every list: at most `limit` entries, those behind the one whose key is `after` (the `next` of the page before). */
export const pageQuerySchema = z.object({
  limit: z.coerce.number().int().min(1).max(most).default(usual),
  after: z.string().min(1).max(512).optional(),
});
/** A flag in a query: `true` or `false`, nothing else. */
export const queryFlagSchema = z
  .stringbool({ truthy: ['true'], falsy: ['false'], case: 'sensitive' })
  .meta({ type: 'boolean' });
export type PageQuery = z.output<typeof pageQuerySchema>;

/** Body of a list: `{NOUN: [...], next}`; `next` is what to ask `after`, null at the end. */
export function pageSchema<Noun extends string, Entry extends ZodType>(noun: Noun, entry: Entry) {
  const shape = { [noun]: z.array(entry) } as Record<Noun, z.ZodArray<Entry>>;
  return z.object({ ...shape, next: z.string().nullable().default(null) });
}

/** One page, where a database was asked for `limit + 1` rows behind `after`: the one too many says that there are more. */
export function pageOfRows<T>(
  rows: readonly T[],
  limit: number,
  keyOf: (entry: T) => string,
): { entries: T[]; next: string | null } {
  const entries = rows.slice(0, limit);
  const last = entries.at(-1);
  return { entries, next: rows.length > limit && last !== undefined ? keyOf(last) : null };
}

/** A cursor that is a number. @throws AIOT_REQUEST_INVALID */
export function numberOf(key: string): number {
  if (/^\d{1,15}$/.test(key)) return Number(key);
  throw new AiotError('AIOT_REQUEST_INVALID', 'querystring: after: expected the `next` of a page before');
}

/** All entries of a list, page by page. `ask` gets the query of each page (`limit=1000&after=…`). */
export async function everyPage<T>(
  ask: (query: string) => Promise<{ entries: T[]; next: string | null }>,
): Promise<T[]> {
  const all: T[] = [];
  let after: string | null = null;
  do {
    const query: string = `limit=${most}${after === null ? '' : `&after=${encodeURIComponent(after)}`}`;
    const page: { entries: T[]; next: string | null } = await ask(query);
    for (const entry of page.entries) all.push(entry);
    after = page.next;
  } while (after !== null);
  return all;
}
