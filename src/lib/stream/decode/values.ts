import { isUtf8 } from 'node:buffer';
import { AiotError } from '../../core/errors.js';
import type { Message } from '../message.js';

/**
 * Returns the value in a message's payload, for use in expressions. If called again with the same message, a decoder
 * returns the same value without decoding again; callers must not change it.
 * @throws AIOT_STREAM_DECODE if the payload is not in the decoder's format
 */
export type Decoder = (message: Message) => unknown;

export const decoderNames = [
  'auto',
  'json',
  'text',
  'bytes',
  'cbor',
  'msgpack',
  'protobuf',
  'avro',
  'image',
] as const;

export type DecoderName = (typeof decoderNames)[number];

export interface DecoderOptions {
  /** File of the schema: a .proto for protobuf, an .avsc for avro. */
  schema?: string;
  /** Full name of the message in a .proto, such as `plant.Reading`; required if the file contains several. */
  type?: string;
}

/** First bytes of a JSON text, including whitespace: `{ [ " - digit t f n`. Other payloads are not parsed. */
const jsonStart = new Set([...'{["-0123456789tfn \t\r\n'].map((char) => char.charCodeAt(0)));

/** Length without trailing NUL bytes, because the boards of the IoT kit send C strings with their terminator. */
export function lengthWithoutNuls(bytes: Uint8Array): number {
  let length = bytes.length;
  while (length > 0 && bytes[length - 1] === 0) length--;
  return length;
}

/** Decodes JSON, or else text without trailing NULs if it is UTF-8, or else bytes. Undefined for an empty payload. */
export function decodeAuto(bytes: Buffer): unknown {
  const length = lengthWithoutNuls(bytes);
  if (length === 0) return bytes.length === 0 ? undefined : bytes;
  if (!jsonStart.has(bytes[0]!)) return decodeText(bytes, length);
  const text = bytes.toString('utf8', 0, length);
  try {
    const value: unknown = JSON.parse(text);
    // An invalid UTF-8 byte becomes U+FFFD, which a JSON string may contain, but the payload was not JSON.
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

/** The error for a payload that cannot be decoded. `detail` gives the position and reason, as reported by the format's reader. */
export function undecoded(format: string, detail: string, cause?: unknown): AiotError {
  return new AiotError('AIOT_STREAM_DECODE', `a payload is not ${format}: ${detail}`, { cause });
}

/**
 * Converts a decoded value to one that JSON can represent, so that expressions and all output formats can handle it
 * like JSON. Bytes become base64 (as in Protobuf's JSON form), integers beyond 2^53 become decimal text, maps become
 * objects, and dates become ISO text.
 */
export function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return wholeNumber(value);
  if (typeof value !== 'object' || value === null) return value;
  if (ArrayBuffer.isView(value)) {
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64');
  }
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  // A 64-bit number of protobufjs.
  if ('low' in value && 'high' in value && 'unsigned' in value) return wholeNumber(BigInt(String(value)));
  const pairs = value instanceof Map ? [...value] : Object.entries(value);
  return Object.fromEntries(pairs.map(([name, each]) => [nameOf(name), plain(each)]));
}

function wholeNumber(value: bigint): number | string {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : String(value);
}

function nameOf(key: unknown): string {
  const name = plain(key);
  return typeof name === 'object' ? JSON.stringify(name) : String(name);
}
