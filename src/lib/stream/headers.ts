import { isUtf8 } from 'node:buffer';
import type { Header } from './message.js';

// Brokers differ in what a header may contain: Kafka carries bytes, an MQTT 5 user property is text without control characters, a NATS
// header is one line of text. Values that do not fit are carried as base64 under a marked name, so that they are restored behind any number of bridges.

/** Suffix of the name of a header whose value is base64. */
const bytesMark = ';base64';

/** Text if the bytes are UTF-8, so that a value reads the same whichever broker carried it. */
export function headerValue(bytes: Uint8Array): string | Uint8Array {
  return isUtf8(bytes) ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString() : bytes;
}

/** Whether a text can be the value of a header in the broker's format. */
type Fits = (text: string) => boolean;

/** A header as text: `NAME;base64` with base64 if its value does not fit, or would be read as marked. The inverse of `unmarked`. */
export function marked([name, value]: Header, fits: Fits): [name: string, text: string] {
  const known = typeof value === 'string' ? value : headerValue(value);
  if (typeof known === 'string' && fits(known) && unmarked(name, known, fits)[0] === name)
    return [name, known];
  return [`${name}${bytesMark}`, Buffer.from(value as string).toString('base64')];
}

/** The header that `marked` made into this name and text. Others stay as they are, even if their names look marked. */
export function unmarked(name: string, text: string, fits: Fits): Header {
  if (!name.endsWith(bytesMark)) return [name, text];
  const bytes = Buffer.from(text, 'base64');
  const original = name.slice(0, -bytesMark.length);
  const value = headerValue(bytes);
  const needed = typeof value !== 'string' || !fits(value) || original.endsWith(bytesMark);
  return needed && bytes.toString('base64') === text ? [original, value] : [name, text];
}
