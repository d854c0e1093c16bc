import { matchesGlob } from './glob.js';
import { type Key, keys, tagKey } from './keys.js';
import { parseExpression } from './parse.js';
import type { Expression, Operator, Selectable, Term } from './types.js';

export type Test = (device: Selectable) => boolean;

/**
 * The test that a selector says: `all`, `type=esp32 and fw<1.4`, `site=lab and not (online=true or lastSeen>2d)`. What a
 * device does not have fits no comparison but `!=`.
 * @param now ms since 1970, for times that are told as ago
 * @throws AIOT_SELECTOR_INVALID
 */
export function parseSelector(text: string, now: number): Test {
  return testOf(parseExpression(text), now);
}

export function testOf(expression: Expression, now: number): Test {
  switch (expression.kind) {
    case 'all':
      return () => true;
    case 'not': {
      const inner = testOf(expression.of, now);
      return (device) => !inner(device);
    }
    case 'and': {
      const parts = expression.of.map((part) => testOf(part, now));
      return (device) => parts.every((part) => part(device));
    }
    case 'or': {
      const parts = expression.of.map((part) => testOf(part, now));
      return (device) => parts.some((part) => part(device));
    }
    case 'term':
      return termTest(expression, now);
  }
}

const fits: Partial<Record<Operator, (order: number) => boolean>> = {
  '<': (order) => order < 0,
  '<=': (order) => order <= 0,
  '>': (order) => order > 0,
  '>=': (order) => order >= 0,
};

function termTest({ key, operator, values }: Term, now: number): Test {
  const rule: Key = key.startsWith('tag.') ? tagKey(key.slice('tag.'.length)) : (keys[key] as Key);
  const [value = ''] = values;
  const equal = rule.equal ?? ((text: string, wanted: string) => text === wanted);
  const isOne =
    values.length === 1
      ? (text: string) => equal(text, value)
      : (text: string) => values.some((each) => equal(text, each));
  const some = someText(rule);
  const is = some(isOne);
  switch (operator) {
    case 'has':
      return some(() => true);
    case '=':
    case 'in':
      return is;
    case '!=':
      return (device) => !is(device);
    case '~':
      return some((text) => matchesGlob(text, value));
    default: {
      const order = rule.order?.(value, now);
      const holds = fits[operator];
      return (device) => {
        const found = order?.(device) ?? null;
        return found !== null && holds?.(found) === true;
      };
    }
  }
}

/** Whether one of the texts of a key fits. Asked of each of many devices: a single text makes no list. */
function someText({ text, texts }: Key): (fits: (text: string) => boolean) => Test {
  if (texts) return (fits) => (device) => texts(device).some(fits);
  return (fits) => (device) => {
    const own = text?.(device) ?? null;
    return own !== null && fits(own);
  };
}
