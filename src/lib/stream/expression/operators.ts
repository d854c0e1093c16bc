import { bail, isNumber } from './node.js';

/** JSONata's truth: not empty, not 0, not null. Undefined is not true. */
export function truth(value: unknown): boolean {
  switch (typeof value) {
    case 'boolean':
      return value;
    case 'string':
      return value !== '';
    case 'number':
      return isNumber(value) && value !== 0;
    case 'undefined':
      return false;
    case 'object':
      if (value === null) return false;
      if (Array.isArray(value)) return value.some(truth);
      return Object.keys(value).length > 0;
    default:
      throw bail;
  }
}

/** As `&` and $string write a value. Objects and arrays are left to the library. */
export function textOf(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return value;
    case 'undefined':
      return '';
    case 'boolean':
      return String(value);
    case 'number':
      if (!isNumber(value)) throw bail;
      // 15 digits, so that 0.1 + 0.2 is 0.3.
      return JSON.stringify(Number.isInteger(value) ? value : Number(value.toPrecision(15)));
    default:
      if (value === null) return 'null';
      throw bail;
  }
}

type Operator = (left: unknown, right: unknown) => unknown;

const numeric =
  (compute: (left: number, right: number) => number): Operator =>
  (left, right) => {
    if (left !== undefined && !isNumber(left)) throw bail;
    if (right !== undefined && !isNumber(right)) throw bail;
    return left === undefined || right === undefined ? undefined : compute(left, right);
  };

const comparing =
  (compare: (left: number, right: number) => boolean): Operator =>
  (left, right) => {
    const kind = typeof left;
    const other = typeof right;
    if (kind === other && (kind === 'number' || kind === 'string'))
      return compare(left as number, right as number);
    // Both are looked at before a missing one makes the result undefined: an object beside it is an error.
    for (const each of [kind, other])
      if (each !== 'undefined' && each !== 'number' && each !== 'string') throw bail;
    if (kind === 'undefined' || other === 'undefined') return undefined;
    throw bail;
  };

function same(left: unknown, right: unknown): boolean {
  if (left === right) return true;
  if (typeof left !== 'object' || typeof right !== 'object' || left === null || right === null) return false;
  throw bail;
}

const missing = (left: unknown, right: unknown) => left === undefined || right === undefined;

/** Both sides are evaluated; `and` and `or`, which may leave one out, are in compile-node.ts. */
export const operators: Readonly<Record<string, Operator>> = {
  '+': numeric((left, right) => left + right),
  '-': numeric((left, right) => left - right),
  '*': numeric((left, right) => left * right),
  '/': numeric((left, right) => left / right),
  '%': numeric((left, right) => left % right),
  '<': comparing((left, right) => left < right),
  '<=': comparing((left, right) => left <= right),
  '>': comparing((left, right) => left > right),
  '>=': comparing((left, right) => left >= right),
  // With something that is missing nothing is equal, and nothing unequal.
  '=': (left, right) => !missing(left, right) && same(left, right),
  '!=': (left, right) => !missing(left, right) && !same(left, right),
  '&': (left, right) => textOf(left) + textOf(right),
  in: (left, right) => {
    if (missing(left, right)) return false;
    return Array.isArray(right) ? right.includes(left) : right === left;
  },
};
