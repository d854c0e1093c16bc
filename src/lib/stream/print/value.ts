import { isUtf8 } from 'node:buffer';
import type { Shown } from '../tail/types.js';

/** What is shown of a message, as text: a text as it is, bytes as UTF-8 or base64, anything else as JSON. */
export function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  if (ArrayBuffer.isView(value)) {
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    return bytes.toString(isUtf8(bytes) ? 'utf8' : 'base64');
  }
  return JSON.stringify(value) ?? '';
}

/** The bytes that are shown of a message: its payload, or what was made of it. */
export function bytesOf({ message, value }: Shown): Uint8Array {
  if (value === undefined) return message.payload;
  return ArrayBuffer.isView(value) ? (value as Uint8Array) : Buffer.from(textOf(value));
}
