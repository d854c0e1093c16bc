import type { Expression } from '../decode/expression.js';
import { decodeAuto } from '../decode/values.js';
import type { Message, Payloads } from '../message.js';

/**
 * Keeps at most `room` payloads for which an expression is true, and drops the others from `spans`. Returns the number
 * of examined payloads.
 */
export type PayloadFilter = (payloads: Payloads, room: number) => number | Promise<number>;

interface PayloadFilterOptions {
  isTrue: (value: unknown) => boolean;
  /** Called with the error if a payload cannot be evaluated. */
  note: (error: unknown) => void;
  /** Called with each decoded payload, or with only those of its fields that the expression reads. */
  examine: (root: unknown) => void;
}

/**
 * Returns the fast path for an expression that reads only fields of the payload; undefined for any other expression.
 */
export function payloadFilter(
  { reads, evaluate }: Expression,
  { isTrue, note, examine }: PayloadFilterOptions,
): PayloadFilter | undefined {
  const scan = reads && fieldScanner(reads);
  if (!scan) return undefined;
  const nothing: Message = { topic: '', payload: new Uint8Array(0), time: 0, source: '' };
  let root: unknown;
  const decoded = () => root;

  function holds(bytes: Buffer, start: number, end: number): boolean | Promise<boolean> {
    root = scan!(bytes, start, end) ?? decodeAuto(bytes.subarray(start, end));
    examine(root);
    try {
      const result = evaluate(nothing, decoded);
      if (!(result instanceof Promise)) return isTrue(result);
      return result.then(isTrue).catch((error: unknown) => {
        note(error);
        return false;
      });
    } catch (error) {
      note(error);
      return false;
    }
  }

  function from(payloads: Payloads, room: number, begin: number, already: number): number | Promise<number> {
    const { bytes, spans, count } = payloads;
    let found = already;
    let index = begin;
    for (; index < count && found < room; index++) {
      const [start, end] = [spans[2 * index]!, spans[2 * index + 1]!];
      const held = holds(bytes, start, end);
      if (typeof held !== 'boolean') return rest(held, payloads, room, index, found);
      if (!held) continue;
      spans[2 * found] = start;
      spans[2 * found + 1] = end;
      found++;
    }
    payloads.count = found;
    return index;
  }

  async function rest(
    pending: Promise<boolean>,
    payloads: Payloads,
    room: number,
    index: number,
    found: number,
  ): Promise<number> {
    const { spans } = payloads;
    if (!(await pending)) return from(payloads, room, index + 1, found);
    spans[2 * found] = spans[2 * index]!;
    spans[2 * found + 1] = spans[2 * index + 1]!;
    return from(payloads, room, index + 1, found + 1);
  }

  return (payloads, room) => from(payloads, room, 0, 0);
}

/** A filter that selects every payload, up to `room`. */
export const everyPayload: PayloadFilter = (payloads, room) => {
  payloads.count = Math.min(payloads.count, room);
  return payloads.count;
};

const lineFeed = 10;

/** Returns the payloads, each followed by a line feed. They are moved within their own buffer, which is overwritten. */
export function linesOf({ bytes, spans, count }: Payloads): Buffer {
  let at = 0;
  for (let index = 0; index < count; index++) {
    const start = spans[2 * index]!;
    const end = spans[2 * index + 1]!;
    if (at !== start) bytes.copyWithin(at, start, end);
    at += end - start;
    bytes[at++] = lineFeed;
  }
  return bytes.subarray(0, at);
}

/** Byte values of `{ } " \\ , : . -` and of the digits 0 and 9. */
const [open, close, quote, backslash, comma, colon, point, minus, zero, nine] = [
  0x7b, 0x7d, 0x22, 0x5c, 0x2c, 0x3a, 0x2e, 0x2d, 0x30, 0x39,
];

/**
 * Powers of ten that a double represents exactly: dividing an integer below 2^53 by such a power rounds only once, as
 * in JSON.parse.
 */
const powers = Array.from({ length: 16 }, (_, exponent) => 10 ** exponent);

const literals = [
  { text: Buffer.from('true'), value: true },
  { text: Buffer.from('false'), value: false },
  { text: Buffer.from('null'), value: null },
];

/** 1 for each byte that may occur in a simple string: ASCII without quotes, backslashes or control characters. */
const simple = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte >= 0x20 && byte < 0x80 && byte !== quote && byte !== backslash ? 1 : 0,
);

/** An object with only the wanted fields of the JSON in `bytes` from `start` to `end`, or undefined. */
type FieldScanner = (
  bytes: Buffer,
  start: number,
  end: number,
) => Record<string, string | number | boolean | null> | undefined;

/**
 * Creates a function that reads a few fields of a JSON text (RFC 8259) without creating values for the other fields. It
 * handles only flat objects of ASCII strings without escapes, numbers without exponents, and literals. For these, it
 * returns the same values as JSON.parse. For all other texts, including invalid JSON, it returns undefined, and the
 * caller has to parse them. Like the decoder `auto`, it ignores trailing NUL bytes. Returns undefined instead of a
 * function if a name is not plain ASCII.
 */
export function fieldScanner(names: readonly string[]): FieldScanner | undefined {
  if (!names.every((name) => /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/.test(name) && name !== '__proto__'))
    return undefined;
  const wanted = names.map((name) => ({ name, text: Buffer.from(name) }));
  return (bytes, start, end) => {
    const found: NonNullable<ReturnType<FieldScanner>> = {};
    let last = end;
    while (last > start && bytes[last - 1] === 0) last--;
    if (bytes[start] !== open) return undefined;
    let at = blanks(bytes, start + 1, last);
    if (bytes[at] === close) return blanks(bytes, at + 1, last) === last ? found : undefined;
    for (;;) {
      const keyEnd = stringEnd(bytes, at, last);
      if (keyEnd < 0) return undefined;
      const begin = valueAfter(bytes, keyEnd + 1, last);
      const valueEnd = begin < 0 ? -1 : endOfValue(bytes, begin, last);
      if (valueEnd < 0) return undefined;
      for (const { name, text } of wanted)
        if (same(bytes, at + 1, keyEnd, text)) found[name] = scalarAt(bytes, begin, valueEnd);
      at = blanks(bytes, valueEnd, last);
      if (at >= last) return undefined;
      if (bytes[at] === close) return blanks(bytes, at + 1, last) === last ? found : undefined;
      if (bytes[at] !== comma) return undefined;
      at = blanks(bytes, at + 1, last);
    }
  };
}

// The work is split into small functions, because V8 optimizes each of them within a millisecond. A single large function would take
// thirty.

/** Position of the value after a colon, or −1. */
function valueAfter(bytes: Buffer, from: number, end: number): number {
  const at = blanks(bytes, from, end);
  if (at >= end || bytes[at] !== colon) return -1;
  const begin = blanks(bytes, at + 1, end);
  return begin < end ? begin : -1;
}

/** Position after the value at `at`; −1 if the value is not simple. */
function endOfValue(bytes: Buffer, at: number, end: number): number {
  const first = bytes[at]!;
  if (first === quote) {
    const last = stringEnd(bytes, at, end);
    return last < 0 ? -1 : last + 1;
  }
  if (first === minus || isDigit(first)) return numberEnd(bytes, at, end);
  const literal = literalAt(bytes, at, end);
  return literal ? at + literal.text.length : -1;
}

/** Position after a number. Accepts at most 15 digits, so that the integer stays below 2^53. */
function numberEnd(bytes: Buffer, at: number, end: number): number {
  const whole = bytes[at] === minus ? at + 1 : at;
  let place = digitsEnd(bytes, whole, end);
  if (place === whole || (place - whole > 1 && bytes[whole] === zero)) return -1;
  if (place < end && bytes[place] === point) {
    const decimals = place + 1;
    place = digitsEnd(bytes, decimals, end);
    if (place === decimals) return -1;
  }
  return place - whole > 15 ? -1 : place;
}

function digitsEnd(bytes: Buffer, at: number, end: number): number {
  let place = at;
  while (place < end && isDigit(bytes[place]!)) place++;
  return place;
}

/** The value that starts at `at` and ends at `end`. */
function scalarAt(bytes: Buffer, at: number, end: number): string | number | boolean | null {
  const first = bytes[at]!;
  if (first === quote) return bytes.toString('latin1', at + 1, end - 1);
  if (first !== minus && !isDigit(first)) return literalAt(bytes, at, end)!.value;
  let number = 0;
  let decimals = 0;
  for (let place = first === minus ? at + 1 : at; place < end; place++) {
    if (bytes[place] === point) decimals = end - place - 1;
    else number = number * 10 + bytes[place]! - zero;
  }
  number /= powers[decimals]!;
  return first === minus ? -number : number;
}

function literalAt(bytes: Buffer, at: number, end: number) {
  for (const literal of literals)
    if (same(bytes, at, Math.min(at + literal.text.length, end), literal.text)) return literal;
  return undefined;
}

function isDigit(byte: number): boolean {
  return byte >= zero && byte <= nine;
}

function blanks(bytes: Buffer, from: number, end: number): number {
  let at = from;
  for (; at < end; at++) {
    const byte = bytes[at]!;
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) break;
  }
  return at;
}

/** Position of the closing quote of the string at `at`; −1 if there is no string, or if the string is not simple. */
function stringEnd(bytes: Buffer, at: number, end: number): number {
  if (at >= end || bytes[at] !== quote) return -1;
  let place = at + 1;
  while (place < end && simple[bytes[place]!] === 1) place++;
  return place < end && bytes[place] === quote ? place : -1;
}

function same(bytes: Buffer, start: number, end: number, text: Buffer): boolean {
  if (end - start !== text.length) return false;
  for (let index = 0; index < text.length; index++) if (bytes[start + index] !== text[index]) return false;
  return true;
}
