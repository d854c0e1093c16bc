import { dictionary } from '../../core/index.js';
import { logHead } from './level.js';

const number = String.raw`[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?`;
const unit = String.raw`(?:\s?[A-Za-zµ°Ω%][\w/²³°%]{0,7}(?![\w:=]))?`;
const pair = new RegExp(
  String.raw`^\s*([A-Za-z_][\w.\[\]/-]{0,39})\s*[:=]\s*(${number})${unit}\s*(?:[,;\t ]|$)`,
);
const plain = new RegExp(String.raw`^\s*(${number})\s*(?:[,;\t ]|$)`);

/**
 * The numbers of a line that consists of numbers: `1.2, 3.4`, `current:1.2 temperature=23.5 C`, `{"x": 1}`, also behind a
 * log line's head. Null for every other line: text with a number in it is no measurement. Numbers without a name are
 * called `1`, `2`, ….
 */
export function numbersOf(line: string): Record<string, number> | null {
  const text = (logHead(line)?.message ?? line).trim();
  if (text === '') return null;
  return text.startsWith('{') ? ofJson(text) : (all(text, pair) ?? all(text, plain));
}

/** Takes one after the other off the front; all of it has to go. */
function all(text: string, form: RegExp): Record<string, number> | null {
  const values = dictionary<number>();
  let count = 0;
  for (let rest = text; rest !== ''; count++) {
    const found = form.exec(rest);
    if (!found) return null;
    const named = found.length > 2;
    values[named ? (found[1] ?? '') : String(count + 1)] = Number(found[named ? 2 : 1]);
    rest = rest.slice(found[0].length).trimStart();
  }
  return values;
}

function ofJson(text: string): Record<string, number> | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  const values = dictionary<number>();
  collect(value, '', values);
  return Object.keys(values).length > 0 ? values : null;
}

/** Numbers of an object and of those in it: `{"acc": {"x": 1}}` → `acc.x`. */
function collect(value: unknown, path: string, into: Record<string, number>, depth = 0): void {
  if (typeof value === 'number') into[path || '1'] = value;
  else if (typeof value === 'object' && value !== null && depth < 4)
    for (const [key, inner] of Object.entries(value))
      collect(inner, path ? `${path}.${key}` : key, into, depth + 1);
}
