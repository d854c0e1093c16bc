import { fieldScanner } from '../decode/scan.js';
import { decodeAuto } from '../decode/text.js';
import type { Expression } from '../expression/types.js';
import type { Message, Payloads } from '../message.js';

/** Keeps those payloads in `spans` for which an expression is true. How many were looked at, when `room` of them were found or all. */
export type PayloadFilter = (payloads: Payloads, room: number) => number | Promise<number>;

/** The short way for an expression that looks at nothing but fields of the payload; undefined for any other. */
export function payloadFilter(
  { reads, evaluate }: Expression,
  isTrue: (value: unknown) => boolean,
  note: (error: unknown) => void,
): PayloadFilter | undefined {
  const scan = reads && fieldScanner(reads);
  if (!scan) return undefined;
  const nothing: Message = { topic: '', payload: new Uint8Array(0), time: 0, source: '' };
  let root: unknown;
  const decoded = () => root;

  function holds(bytes: Buffer, start: number, end: number): boolean | Promise<boolean> {
    root = scan!(bytes, start, end) ?? decodeAuto(bytes.subarray(start, end));
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

/** All of them, up to `room`. */
export const everyPayload: PayloadFilter = (payloads, room) => {
  payloads.count = Math.min(payloads.count, room);
  return payloads.count;
};

const lineFeed = 10;

/** The payloads, each followed by a line feed: pushed together in the memory where they are. */
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
