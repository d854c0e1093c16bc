import { printablePayload } from '../../core/index.js';
import type { Printer } from './types.js';
import { bytesOf } from './value.js';

const lineFeed = 10;

/** The payloads as they are, byte for byte, each followed by a line feed: one piece of memory for the whole batch. */
export const printRaw: Printer = (batch) => {
  let length = batch.length;
  const payloads: Uint8Array[] = new Array(batch.length);
  for (let index = 0; index < batch.length; index++) {
    const bytes = bytesOf(batch[index]!);
    payloads[index] = bytes;
    length += bytes.length;
  }
  const text = Buffer.allocUnsafe(length);
  let at = 0;
  for (const payload of payloads) {
    text.set(payload, at);
    at += payload.length;
    text[at++] = lineFeed;
  }
  return text;
};

/** The same where a person reads it: what would do something to the terminal is written out. */
export const printSafe: Printer = (batch) =>
  batch.map((shown) => `${printablePayload(bytesOf(shown))}\n`).join('');
