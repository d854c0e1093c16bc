import { isUtf8 } from 'node:buffer';
import type { Header } from './message.js';

// Brokers differ in what a header may contain. Kafka carries bytes, an MQTT 5 user property is text without control characters, and a NATS
// header is one line of text. Values that do not fit are carried as base64 under a marked name, so that they can be restored after any
// number of bridges.

/** Suffix for the name of a header whose value is base64. */
const bytesMark = ';base64';

/** A value as text if its bytes are UTF-8, so that the value is the same regardless of the broker that carried it. */
export function headerValue(bytes: Uint8Array): string | Uint8Array {
  return isUtf8(bytes) ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString() : bytes;
}

/** Returns whether a text can be a header value in the broker's format. */
type Fits = (text: string) => boolean;

/** A header name with its values. */
type Named<Value> = readonly [name: string, values: readonly Value[]];

/**
 * Returns the values under one name as text. If a value does not fit, or could be mistaken for a marked value, all
 * values become base64 under `NAME;base64`. Marking all of them keeps their order at brokers that group values by name.
 * The inverse of `unmarked`.
 * @param force whether to mark the values even if they fit
 */
export function marked([name, values]: Named<Header[1]>, fits: Fits, force = false): Named<string> {
  const known = values.map((value) => (typeof value === 'string' ? value : headerValue(value)));
  const plain = known.filter((value) => typeof value === 'string');
  const fit = plain.length === known.length && plain.every(fits);
  if (!force && fit && unmarked([name, plain], fits)[0] === name) return [name, plain];
  return [`${name}${bytesMark}`, values.map((value) => Buffer.from(value as string).toString('base64'))];
}

/** Restores values encoded by `marked`. Returns other values unchanged, even if their names look marked. */
export function unmarked([name, texts]: Named<string>, fits: Fits): Named<Header[1]> {
  if (!name.endsWith(bytesMark)) return [name, texts];
  const original = markedName(name);
  const bytes = texts.map((text) => Buffer.from(text, 'base64'));
  const values = bytes.map(headerValue);
  const needed =
    original.endsWith(bytesMark) || values.some((value) => typeof value !== 'string' || !fits(value));
  const exact = texts.every((text, index) => bytes[index]!.toString('base64') === text);
  return needed && exact ? [original, values] : [name, texts];
}

/** The name without its mark. */
export function markedName(name: string): string {
  return name.endsWith(bytesMark) ? name.slice(0, -bytesMark.length) : name;
}
