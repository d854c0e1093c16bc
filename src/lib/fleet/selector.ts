import { AiotError } from '../core/index.js';

/** What a selector can look at. */
export interface Selectable {
  name: string;
  type: string;
  state: string;
}

interface Term {
  key: keyof Selectable;
  equal: boolean;
  value: string;
}

const keys: readonly string[] = ['name', 'type', 'state'] satisfies (keyof Selectable)[];

/**
 * `all`, or terms joined by `and`: `type=virtual and name!=motor-1`. Returns the test.
 * @throws AIOT_SELECTOR_INVALID with the term that could not be read
 */
export function parseSelector(text: string): (device: Selectable) => boolean {
  const trimmed = text.trim();
  if (trimmed === 'all') return () => true;
  const terms = trimmed.split(/\s+and\s+/i).map(parseTerm);
  return (device) => terms.every(({ key, equal, value }) => (device[key] === value) === equal);
}

function parseTerm(text: string): Term {
  const match = /^([a-z]+)\s*(!?=)\s*([a-z0-9._-]+)$/i.exec(text);
  const [, key = '', operator, value = ''] = match ?? [];
  if (!match) {
    throw new AiotError('AIOT_SELECTOR_INVALID', `expected all, key=value or key!=value, got "${text}"`);
  }
  if (!keys.includes(key)) {
    throw new AiotError('AIOT_SELECTOR_INVALID', `expected a key of ${keys.join(', ')}, got "${key}"`);
  }
  return { key: key as keyof Selectable, equal: operator === '=', value };
}
