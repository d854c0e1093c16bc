import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { entryCrc, headerCrc } from '../src/lib/formats/nvs/types.js';

/** Corrects the checksum and hash that follow the segments of an ESP image. */
export function mendedImage(bytes: Buffer): Buffer {
  let [at, sum] = [24, 0xef];
  for (let left = bytes[1] ?? 0; left > 0 && at + 8 <= bytes.length; left--) {
    const length = bytes.readUInt32LE(at + 4);
    for (const byte of bytes.subarray(at + 8, at + 8 + length)) sum ^= byte;
    at += 8 + length;
  }
  const place = at + 15 - (at % 16);
  if (place >= bytes.length) return bytes;
  bytes[place] = sum;
  if (bytes[23] === 1 && place + 33 <= bytes.length)
    createHash('sha256')
      .update(bytes.subarray(0, place + 1))
      .digest()
      .copy(bytes, place + 1);
  return bytes;
}

/** Corrects the MD5 of a partition table's rows. */
export function mendedTable(bytes: Buffer): Buffer {
  for (let at = 0; at + 32 <= bytes.length; at += 32) {
    if (bytes.readUInt16LE(at) !== 0xebeb) continue;
    createHash('md5')
      .update(bytes.subarray(0, at))
      .digest()
      .copy(bytes, at + 16);
    break;
  }
  return bytes;
}

/** Corrects the CRCs of NVS pages, and of everything in them that looks like an entry. */
export function mendedNvs(bytes: Buffer): Buffer {
  for (let page = 0; page + 4096 <= bytes.length; page += 4096) {
    const whole = bytes.subarray(page, page + 4096);
    whole.writeUInt32LE(headerCrc(whole), 28);
    for (let at = 64; at + 32 <= 4096; at += 32) {
      const entry = whole.subarray(at, at + 32);
      const [span, length] = [entry[2]!, entry.readUInt16LE(24)];
      if (entry[0] === 0xff || span === 0 || at + span * 32 > 4096) continue;
      if (span > 1)
        entry.writeUInt32LE(crc32(whole.subarray(at + 32, at + 32 + length), 0xffffffff) >>> 0, 28);
      entry.writeUInt32LE(entryCrc(entry), 4);
      at += (span - 1) * 32;
    }
  }
  return bytes;
}

/** Fields of ONNX messages that are themselves messages, by message and field number. */
const onnxMessages: Readonly<Record<string, Readonly<Record<number, string>>>> = {
  model: { 7: 'graph', 8: 'other', 25: 'function' },
  function: { 7: 'node' },
  graph: { 1: 'node', 5: 'tensor', 11: 'value', 12: 'value' },
  node: { 5: 'attribute' },
  attribute: { 5: 'tensor', 6: 'graph' },
  tensor: { 13: 'other' },
  value: { 2: 'type' },
  type: { 1: 'tensorType' },
  tensorType: { 2: 'shape' },
  shape: { 1: 'other' },
  other: {},
};

/** Corrects the lengths of nested messages, because otherwise an inserted or removed byte would invalidate the whole file. */
export function mendedOnnx(bytes: Buffer, kind = 'model'): Buffer {
  const parts: Buffer[] = [];
  let at = 0;
  const varint = () => {
    const start = at;
    while (at < bytes.length && at - start < 10 && bytes[at++]! >= 0x80);
    return bytes.subarray(start, at).reduceRight((value, byte) => value * 128 + (byte & 127), 0);
  };
  while (at < bytes.length) {
    const start = at;
    const tag = varint();
    const [field, wire] = [Math.floor(tag / 8), tag % 8];
    if (wire === 0) varint();
    else if (wire === 1) at += 8;
    else if (wire === 5) at += 4;
    else if (wire === 2) {
      const head = bytes.subarray(start, at);
      const end = Math.min(varint() + at, bytes.length);
      const inner = onnxMessages[kind]?.[field];
      const body = bytes.subarray(at, end);
      const mended = inner === undefined ? body : mendedOnnx(body, inner);
      parts.push(head, Buffer.from(bytesOfVarint(mended.length)), mended);
      at = end;
      continue;
    } else continue;
    if (at <= bytes.length) parts.push(bytes.subarray(start, at));
  }
  return Buffer.concat(parts);
}

function bytesOfVarint(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) | 128, ...bytesOfVarint(Math.floor(value / 128))];
}

/** Corrects the CRCs of both OTA data entries. */
export function mendedOtadata(bytes: Buffer): Buffer {
  for (const at of [0, 0x1000])
    if (at + 32 <= bytes.length)
      bytes.writeUInt32LE(crc32(bytes.subarray(at, at + 4), 0xffffffff) >>> 0, at + 28);
  return bytes;
}

/** Corrects the last byte of each Intel HEX line, which is its checksum. */
export function mendedHex(bytes: Buffer): Buffer {
  const lines = bytes
    .toString('latin1')
    .split('\n')
    .map((line) => {
      const found = /^:([0-9A-Fa-f]{8,})[0-9A-Fa-f]{2}(\s*)$/.exec(line);
      if (!found?.[1] || found[1].length % 2 === 1) return line;
      const sum = Buffer.from(found[1], 'hex').reduce((total, byte) => total + byte, 0);
      return `:${found[1]}${(-sum & 0xff).toString(16).padStart(2, '0').toUpperCase()}${found[2]}`;
    });
  return Buffer.from(lines.join('\n'), 'latin1');
}
