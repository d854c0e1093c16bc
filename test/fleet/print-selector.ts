import { type Expression, keywords, type Term, valueText } from '../../src/lib/fleet/selector.js';
import { keys } from '../../src/lib/fleet/selector-keys.js';

/** Prints a selector in its canonical form, which parses to the same expression. */
export function printSelector(expression: Expression): string {
  switch (expression.kind) {
    case 'all':
      return 'all';
    case 'term':
      return printTerm(expression);
    case 'not':
      return `not ${within(expression.of)}`;
    case 'and':
    case 'or':
      return expression.of.map(within).join(` ${expression.kind} `);
  }
}

/** Adds parentheses where they are needed, and between `and` and `or` for readability. */
function within(expression: Expression): string {
  const text = printSelector(expression);
  return expression.kind === 'and' || expression.kind === 'or' ? `(${text})` : text;
}

function printTerm({ key, operator, values }: Term): string {
  const name = keyText(key);
  if (operator === 'has') return `has ${name}`;
  const shown = values.map(valueText);
  return operator === 'in' ? `${name} in (${shown.join(', ')})` : `${name}${operator}${shown[0]}`;
}

/** Omits the prefix of a tag if the tag's name is unambiguous. */
function keyText(key: string): string {
  const tag = key.startsWith('tag.') ? key.slice('tag.'.length) : key;
  const taken = [...Object.keys(keys), ...keywords].some((each) => each.toLowerCase() === tag.toLowerCase());
  return taken || tag.startsWith('tag.') ? key : tag;
}
