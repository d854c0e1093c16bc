import { createHash } from 'node:crypto';

/** First half of the keys of all our advisory locks: `aiot`. */
export const lockClass = Buffer.from('aiot').readInt32BE();

/** Second half: of what is locked. */
export function lockKey(name: string): number {
  return createHash('sha256').update(name).digest().readInt32BE();
}
