import type jsonata from 'jsonata';
import type { Message } from '../message.js';

/**
 * A JSONata function: its implementation, and the argument counts that the implementation handles. The library handles
 * other counts.
 */
interface Known {
  least: number;
  most: number;
  call: (scope: Scope, ...given: unknown[]) => unknown;
}

/** Wraps a string function so that it returns undefined if the string is missing. Arguments of other types are left to the library. */
const ofText =
  (compute: (text: string, ...rest: string[]) => unknown) =>
  (_scope: Scope, text: unknown, ...rest: unknown[]) => {
    if (rest.some((each) => typeof each !== 'string')) throw bail;
    if (text === undefined) return undefined;
    if (typeof text !== 'string') throw bail;
    return compute(text, ...(rest as string[]));
  };

const ofNumber = (compute: (number: number) => number) => (_scope: Scope, number: unknown) => {
  if (number === undefined) return undefined;
  if (!isNumber(number)) throw bail;
  return compute(number);
};

const one = (call: Known['call']): Known => ({ least: 1, most: 1, call });
const two = (call: Known['call']): Known => ({ least: 2, most: 2, call });

function numberOf(_scope: Scope, value: unknown): unknown {
  if (typeof value === 'string') {
    // Non-decimal literals (0xBC) and non-numbers are left to the library.
    if (!/^-?[0-9]+(\.[0-9]+)?([Ee][-+]?[0-9]+)?$/.test(value)) throw bail;
    const number = Number.parseFloat(value);
    if (!Number.isFinite(number)) throw bail;
    return number;
  }
  if (typeof value === 'boolean') return value ? 1 : 0;
  if (value === undefined) return undefined;
  if (!isNumber(value)) throw bail;
  return value;
}

/** Rounds half to even, in decimal: 2.5 → 2, and 1.005 to two places is 1. */
function round(_scope: Scope, value: unknown, places?: unknown): unknown {
  if (value === undefined && places === undefined) return undefined;
  if (!isNumber(value) || (places !== undefined && !isNumber(places))) throw bail;
  if (places !== undefined && !Number.isInteger(places)) throw bail;
  const shifted = places ? shift(value, places) : value;
  let result = Math.round(shifted);
  if (Math.abs(result - shifted) === 0.5 && Math.abs(result % 2) === 1) result -= 1;
  return (places ? shift(result, -places) : result) + 0;
}

/** Moves the decimal point in the number's text, because multiplication would introduce rounding errors. */
function shift(value: number, places: number): number {
  const [digits, exponent = '0'] = value.toString().split('e');
  return Number(`${digits}e${Number(exponent) + places}`);
}

function before(text: string, mark = ''): string {
  const at = text.indexOf(mark);
  return at < 0 ? text : text.slice(0, at);
}

function after(text: string, mark = ''): string {
  const at = text.indexOf(mark);
  return at < 0 ? text : text.slice(at + mark.length);
}

/** $fromMillis without a picture string, for years with four digits. Other calls are left to the library. */
function fromMillis(_scope: Scope, millis: unknown): unknown {
  if (millis === undefined) return undefined;
  if (!isNumber(millis) || !Number.isInteger(millis)) throw bail;
  const date = new Date(millis);
  if (!(date.getUTCFullYear() >= 1000 && date.getUTCFullYear() <= 9999)) throw bail;
  return date.toISOString();
}

const now = (scope: Scope): number => {
  scope.now ??= Date.now();
  return scope.now;
};

/** Thrown for values that only the library can evaluate or reject. The library then evaluates the whole expression for this message. */
export const bail = Symbol('left to the library');

export const functions: Readonly<Record<string, Known>> = {
  abs: one(ofNumber(Math.abs)),
  boolean: one((_scope, value) => (value === undefined ? undefined : truth(value))),
  ceil: one(ofNumber(Math.ceil)),
  contains: two(ofText((text, part = '') => text.includes(part))),
  exists: one((_scope, value) => value !== undefined),
  floor: one(ofNumber(Math.floor)),
  fromMillis: one(fromMillis),
  length: one(ofText((text) => [...text].length)),
  lowercase: one(ofText((text) => text.toLowerCase())),
  millis: { least: 0, most: 0, call: now },
  not: one((_scope, value) => (value === undefined ? undefined : !truth(value))),
  now: { least: 0, most: 0, call: (scope) => new Date(now(scope)).toISOString() },
  number: one(numberOf),
  round: { least: 1, most: 2, call: round },
  split: two(ofText((text, separator = '') => text.split(separator))),
  string: one((_scope, value) => (value === undefined ? undefined : textOf(value))),
  substringAfter: two(ofText(after)),
  substringBefore: two(ofText(before)),
  trim: one(ofText((text) => text.replace(/[ \t\n\r]+/g, ' ').replace(/^ | $/g, ''))),
  uppercase: one(ofText((text) => text.toUpperCase())),
};

/** JSONata's boolean conversion: not empty, not 0, not null. Undefined is not true. */
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

/** Converts a value to text as `&` and $string do. Objects and arrays are left to the library. */
function textOf(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return value;
    case 'undefined':
      return '';
    case 'boolean':
      return String(value);
    case 'number':
      if (!isNumber(value)) throw bail;
      // With 15 digits, 0.1 + 0.2 gives 0.3.
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
    // The types of both sides are checked first, because an object causes an error even if the other side is missing.
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

/** Operators that evaluate both sides; `and` and `or` may skip one side, and are in expression.ts. */
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
  // A missing value is neither equal nor unequal to anything.
  '=': (left, right) => !missing(left, right) && same(left, right),
  '!=': (left, right) => !missing(left, right) && !same(left, right),
  '&': (left, right) => textOf(left) + textOf(right),
  in: (left, right) => {
    if (missing(left, right)) return false;
    return Array.isArray(right) ? right.includes(left) : right === left;
  },
};

/** The context in which an expression is evaluated. */
export interface Scope {
  message: Message;
  /** The decoded payload. */
  root: unknown;
  /** ms since 1970, the same throughout one evaluation, as in the library. */
  now?: number;
}

/** A compiled part of an expression, evaluated with `input` as its context (`$`). @throws `bail` */
export type Evaluate = (input: unknown, scope: Scope) => unknown;

/** A node of the library's syntax tree, with the fields that the library's types omit. */
export type Node = Omit<jsonata.ExprNode, 'type' | 'lhs' | 'rhs' | 'value'> & {
  type: string;
  value?: unknown;
  lhs?: unknown;
  rhs?: Node;
  expression?: Node;
  condition?: Node;
  then?: Node;
  else?: Node;
  predicate?: { type: string; expr: Node; position?: number }[];
};

export function isNumber(value: unknown): value is number {
  // The library rejects non-finite numbers.
  return typeof value === 'number' && (Number.isFinite(value) || giveUp());
}

export function giveUp(): never {
  throw bail;
}
