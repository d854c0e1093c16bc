import { randomBytes } from 'node:crypto';

const alphabet = '0123456789abcdefghjkmnpqrstvwxyz';

/** Pattern of the names that people give to devices, models, datasets and contexts. They appear in topics, paths and URLs. */
export const namePattern = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$/;

/** Members of a telemetry message that are not fields (docs/reference/protocol.md). No field may have one of these names. */
export const telemetryNames: ReadonlySet<string> = new Set(['seq', 't', 'rate', 'recording']);

/** A new id: `prefix_` and 26 characters. Ten of them encode the time, so that ids sort by creation, and 16 are random (80 bits). */
export function newId(prefix: string, now: number = Date.now()): string {
  let time = '';
  for (let rest = now, i = 0; i < 10; i++) {
    time = alphabet[rest % 32] + time;
    rest = Math.floor(rest / 32);
  }
  let random = '';
  for (const byte of randomBytes(16)) random += alphabet[byte % 32];
  return `${prefix}_${time}${random}`;
}

/** The time, ms since 1970, in an id of `newId`. */
export function timeOfId(id: string): number {
  const time = id.slice(-26, -16);
  return [...time].reduce((sum, letter) => sum * 32 + alphabet.indexOf(letter), 0);
}

/**
 * An empty record for keys from outside, such as names chosen by users. It inherits nothing, so `constructor` and `__proto__` are ordinary
 * keys. In a plain object, such keys would read or change inherited members, or store nothing.
 */
export function dictionary<Value>(): Record<string, Value> {
  return Object.create(null) as Record<string, Value>;
}
