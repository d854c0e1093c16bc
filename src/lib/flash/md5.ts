import { createHash } from 'node:crypto';

/** The same image goes onto many boards, and is compared more than once on each. */
const known = new WeakMap<Uint8Array, string>();

/** MD5, 32 hex digits: the digest that the chips' loaders compute. */
export function md5Of(data: Uint8Array): string {
  const found = known.get(data);
  if (found !== undefined) return found;
  const digest = createHash('md5').update(data).digest('hex');
  known.set(data, digest);
  return digest;
}
