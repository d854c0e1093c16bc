import { AiotError } from '../../core/errors.js';
import type { Term } from './types.js';

const term =
  /^(not )?([a-z][a-z0-9-]*)\.([A-Za-z_][\w-]*(?:\.[\w-]+)*)(?:\s*(!=|<=|>=|=|<|>)\s*("[^"]*"|'[^']*'|[^\s"']+))?$/;

/**
 * Parses a condition such as `drift.drifted = true and evaluate.bytes < 60000` into terms, all of which must be true. A term consists of a
 * step's name, followed by a path in the step's result.
 * @throws AIOT_USAGE
 */
export function parseWhen(text: string): Term[] {
  return text.split(/\s+and\s+/).map((part) => {
    const [whole, not, step = '', path = '', operator, value] = term.exec(part.trim()) ?? [];
    if (whole === undefined) {
      throw new AiotError(
        'AIOT_USAGE',
        `expected STEP.FIELD, or a comparison such as drift.drifted = true; got "${part.trim()}"`,
      );
    }
    const base = { not: not !== undefined, step, path: path.split('.') };
    if (operator === undefined || value === undefined) return base;
    type Operator = NonNullable<Term['compare']>['operator'];
    return { ...base, compare: { operator: operator as Operator, value: literal(value) } };
  });
}

function literal(text: string): string | number | boolean {
  if (/^["']/.test(text)) return text.slice(1, -1);
  if (text === 'true' || text === 'false') return text === 'true';
  const number = Number(text);
  return Number.isNaN(number) ? text : number;
}

/** The first false term, as a sentence; null if all terms are true. @param results results by step */
export function refusalOfWhen(terms: readonly Term[], results: ReadonlyMap<string, unknown>): string | null {
  for (const each of terms) {
    const found = valueAt(results.get(each.step), each.path);
    if (holds(each, found) !== each.not) continue;
    const shown = found === undefined ? 'nothing' : JSON.stringify(found)?.slice(0, 60);
    return `the condition ${termText(each)} is false: the value is ${shown}`;
  }
  return null;
}

/** Formats a term in the syntax of `when`. */
function termText({ not, step, path, compare }: Term): string {
  const name = `${not ? 'not ' : ''}${step}.${path.join('.')}`;
  return compare ? `${name} ${compare.operator} ${String(compare.value)}` : name;
}

function valueAt(result: unknown, path: string[]): unknown {
  return path.reduce<unknown>(
    (value, key) =>
      value !== null && typeof value === 'object' && Object.hasOwn(value, key)
        ? (value as Record<string, unknown>)[key]
        : undefined,
    result,
  );
}

function holds({ compare }: Term, found: unknown): boolean {
  if (!compare) return Array.isArray(found) ? found.length > 0 : Boolean(found);
  const { operator, value } = compare;
  if (operator === '=') return found === value;
  if (operator === '!=') return found !== value;
  if (typeof found !== typeof value || found === undefined || found === null) return false;
  const [a, b] = [found as string | number, value as string | number];
  if (operator === '<') return a < b;
  if (operator === '<=') return a <= b;
  return operator === '>' ? a > b : a >= b;
}
