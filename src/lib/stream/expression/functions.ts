import { bail, isNumber, type Scope } from './node.js';
import { textOf, truth } from './operators.js';

/** A function of the language: how many arguments it takes here, and what it does with them. Other counts go to the library. */
interface Known {
  least: number;
  most: number;
  call: (scope: Scope, ...given: unknown[]) => unknown;
}

/** Of texts; undefined of nothing. Other kinds of arguments are errors, which the library words. */
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
    // What is not decimal (0xBC) and what is no number at all is the library's.
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

/** Half to even, in decimal: 2.5 → 2, and 1.005 to two places is 1. */
function round(_scope: Scope, value: unknown, places?: unknown): unknown {
  if (value === undefined && places === undefined) return undefined;
  if (!isNumber(value) || (places !== undefined && !isNumber(places))) throw bail;
  if (places !== undefined && !Number.isInteger(places)) throw bail;
  const shifted = places ? shift(value, places) : value;
  let result = Math.round(shifted);
  if (Math.abs(result - shifted) === 0.5 && Math.abs(result % 2) === 1) result -= 1;
  return (places ? shift(result, -places) : result) + 0;
}

/** Moves the decimal point in the number's text: a product would bring errors of its own. */
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

/** The picture-less form alone, in the years that have four digits. */
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
