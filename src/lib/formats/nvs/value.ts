import { isUtf8 } from 'node:buffer';
import { AiotError } from '../../core/index.js';
import { type NvsEntry, type NvsNumberType, nvsNumbers } from './types.js';

/**
 * A value from the text or file of a CSV row. Encodings: numbers, `string`, `binary` (bytes as they are), `hex2bin`,
 * `base64`, `blob_fill(LENGTH;0xBYTE)` and `blob_sz_fill(…)` (filled up to the length; the second with its size, u32, before).
 * @throws AIOT_NVS_UNFIT; strings and blobs are not shown, for they may be secrets
 */
export function nvsValue(
  place: { namespace: string; key: string },
  encoding: string,
  bytes: Uint8Array,
): NvsEntry {
  const name = `${place.namespace}.${place.key}`;
  const text = () => Buffer.from(bytes).toString('utf8').trim();
  if (Object.hasOwn(nvsNumbers, encoding)) return numberOf(place, encoding as NvsNumberType, text(), name);
  if (encoding === 'string') {
    if (!isUtf8(bytes)) throw unfit(name, 'expected a string in UTF-8');
    return { ...place, type: 'string', value: Buffer.from(bytes).toString('utf8') };
  }
  if (encoding === 'binary') return { ...place, type: 'blob', value: bytes };
  if (encoding === 'hex2bin') return { ...place, type: 'blob', value: hexOf(text(), name) };
  if (encoding === 'base64') return { ...place, type: 'blob', value: base64Of(text(), name) };
  const [, sized, length, fill] = /^blob_(sz_)?fill\((\d{1,6});0x([0-9a-f]{2})\)$/i.exec(encoding) ?? [];
  if (length === undefined || fill === undefined) {
    throw unfit(name, `expected an encoding such as u32, string or base64, got ${JSON.stringify(encoding)}`);
  }
  return { ...place, type: 'blob', value: filled(bytes, Number(length), Number(`0x${fill}`), !!sized, name) };
}

function numberOf(
  place: { namespace: string; key: string },
  type: NvsNumberType,
  text: string,
  name: string,
): NvsEntry {
  const [, sign, digits] = /^([+-]?)(0x[0-9a-f]+|\d+)$/i.exec(text) ?? [];
  if (digits === undefined)
    throw unfit(name, `expected a whole number for ${type}, got ${JSON.stringify(text.slice(0, 40))}`);
  const value = sign === '-' ? -BigInt(digits) : BigInt(digits);
  const { min, max } = nvsNumbers[type];
  if (value < min || value > max)
    throw unfit(name, `expected ${type} to be from ${min} to ${max}, got ${value}`);
  return type === 'u64' || type === 'i64'
    ? { ...place, type, value }
    : { ...place, type, value: Number(value) };
}

function hexOf(text: string, name: string): Uint8Array {
  if (/^([0-9a-f]{2})*$/i.test(text)) return Buffer.from(text, 'hex');
  throw unfit(name, 'expected pairs of hexadecimal digits for hex2bin');
}

function base64Of(text: string, name: string): Uint8Array {
  const packed = text.replace(/\s+/g, '');
  const whole = packed.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(packed);
  if (whole) return Buffer.from(packed, 'base64');
  throw unfit(name, 'expected base64 with its padding');
}

function filled(bytes: Uint8Array, length: number, fill: number, sized: boolean, name: string): Uint8Array {
  if (bytes.length > length)
    throw unfit(name, `expected at most ${length} bytes to fill up, got ${bytes.length}`);
  const whole = Buffer.alloc(length, fill);
  whole.set(bytes);
  if (!sized) return whole;
  const head = Buffer.alloc(4);
  head.writeUInt32LE(bytes.length);
  return Buffer.concat([head, whole]);
}

function unfit(name: string, what: string): AiotError {
  return new AiotError('AIOT_NVS_UNFIT', `${name}: ${what}`);
}
