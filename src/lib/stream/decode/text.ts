import { isUtf8 } from 'node:buffer';
import { AiotError } from '../../core/index.js';

/** First bytes of a JSON text after blanks: `{ [ " - digit t f n`. Others need not be tried. */
const jsonStart = new Set([...'{["-0123456789tfn \t\r\n'].map((char) => char.charCodeAt(0)));

/** Length without the NUL bytes at the end: the boards of the IoT kit send strings with C's end mark. */
export function lengthWithoutNuls(bytes: Uint8Array): number {
  let length = bytes.length;
  while (length > 0 && bytes[length - 1] === 0) length--;
  return length;
}

/** JSON; else its text without NUL bytes at its end, when it is UTF-8; else the bytes. Nothing at all for an empty payload. */
export function decodeAuto(bytes: Buffer): unknown {
  const length = lengthWithoutNuls(bytes);
  if (length === 0) return bytes.length === 0 ? undefined : bytes;
  if (!jsonStart.has(bytes[0]!)) return decodeText(bytes, length);
  const text = bytes.toString('utf8', 0, length);
  try {
    const value: unknown = JSON.parse(text);
    // A byte that is no UTF-8 has become U+FFFD, which may stand in a JSON string: then it was no JSON.
    return text.includes('\uFFFD') && !isUtf8(bytes) ? bytes : value;
  } catch {
    return decodeText(bytes, length);
  }
}

function decodeText(bytes: Buffer, length: number): string | Buffer {
  return isUtf8(bytes) ? bytes.toString('utf8', 0, length) : bytes;
}

/** @throws AIOT_STREAM_DECODE */
export function decodeJson(bytes: Buffer): unknown {
  const text = bytes.toString('utf8', 0, lengthWithoutNuls(bytes));
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw undecoded('JSON', error instanceof Error ? error.message : String(error), error);
  }
}

/** `detail` says where and why, as the format's reader does. */
export function undecoded(format: string, detail: string, cause?: unknown): AiotError {
  return new AiotError('AIOT_STREAM_DECODE', `a payload is not ${format}: ${detail}`, { cause });
}
