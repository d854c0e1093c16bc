import { decode, encode } from 'cborg';
import { crc16 } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';

/**
 * Packets of the Simple Management Protocol (SMP), which Zephyr's MCUmgr and MCUboot's serial recovery use: a header of 8 bytes and a
 * CBOR map. Source: Zephyr's documentation, "SMP Protocol Specification" and "MCUmgr over serial".
 */
export interface SmpPacket {
  op: SmpOp;
  /** 1 for the second version of the protocol, in which errors include their group. */
  version: 0 | 1;
  group: number;
  id: number;
  sequence: number;
  body: Record<string, unknown>;
}

export const smpOps = { read: 0, readResponse: 1, write: 2, writeResponse: 3 } as const;

export type SmpOp = (typeof smpOps)[keyof typeof smpOps];

export const smpGroups = { os: 0, image: 1, statistics: 2, shell: 9 } as const;

/** Commands by group. */
export const smpCommands = {
  os: { echo: 0, reset: 5, parameters: 6 },
  image: { state: 0, upload: 1, erase: 5 },
  statistics: { data: 0, list: 1 },
  shell: { execute: 0 },
} as const;

export const smpHeaderBytes = 8;

export function encodeSmp(packet: SmpPacket): Uint8Array {
  const body = encode(packet.body);
  const bytes = Buffer.alloc(smpHeaderBytes + body.length);
  bytes.writeUInt8((packet.version << 3) | packet.op, 0);
  bytes.writeUInt16BE(body.length, 2);
  bytes.writeUInt16BE(packet.group, 4);
  bytes.writeUInt8(packet.sequence, 6);
  bytes.writeUInt8(packet.id, 7);
  bytes.set(body, smpHeaderBytes);
  return bytes;
}

/** @throws AIOT_SMP_FAILED for a packet that does not conform to the protocol */
export function decodeSmp(bytes: Uint8Array): SmpPacket {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.length < smpHeaderBytes) throw garbled(`a packet of ${view.length} bytes has no header`);
  const length = view.readUInt16BE(2);
  if (view.length !== smpHeaderBytes + length)
    throw garbled(
      `a packet has ${view.length - smpHeaderBytes} bytes after its header, which states ${length}`,
    );
  const [first] = view;
  const body = bodyOf(view.subarray(smpHeaderBytes));
  return {
    op: ((first ?? 0) & 3) as SmpOp,
    version: ((first ?? 0) >> 3) & 3 ? 1 : 0,
    group: view.readUInt16BE(4),
    id: view.readUInt8(7),
    sequence: view.readUInt8(6),
    body,
  };
}

function bodyOf(bytes: Uint8Array): Record<string, unknown> {
  // MCUboot answers some requests with an empty body instead of an empty map.
  if (bytes.length === 0) return {};
  let value: unknown;
  try {
    value = decode(bytes, { rejectDuplicateMapKeys: true });
  } catch (cause) {
    throw garbled('a packet contains invalid CBOR', cause);
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array))
    return value as Record<string, unknown>;
  throw garbled('a packet contains no map');
}

function garbled(reason: string, cause?: unknown): AiotError {
  return new AiotError('AIOT_SMP_FAILED', `the response does not follow SMP: ${reason}`, { cause });
}

/** Longest line on a serial port, bytes, including its marker and end. Zephyr's receive buffer has 128 bytes. */
const lineBytes = 127;
const marks = { first: [0x06, 0x09], next: [0x04, 0x14] } as const;
const lineEnd = 0x0a;

/** Encodes a packet for a serial console: length, packet and CRC in base64, split into marked lines. */
export function encodeLines(packet: Uint8Array): Uint8Array {
  const framed = Buffer.alloc(packet.length + 4);
  framed.writeUInt16BE(packet.length + 2, 0);
  framed.set(packet, 2);
  framed.writeUInt16BE(crc16(packet), packet.length + 2);
  const text = framed.toString('base64');
  // In addition to marker and end, one byte is reserved for a carriage return.
  const step = Math.floor((lineBytes - 4) / 4) * 4;
  const lines: Buffer[] = [];
  for (let at = 0; at < text.length; at += step) {
    const mark = at === 0 ? marks.first : marks.next;
    lines.push(Buffer.from(mark), Buffer.from(text.slice(at, at + step)), Buffer.of(lineEnd));
  }
  return Buffer.concat(lines);
}

/** Longest accepted packet, bytes: no server has larger buffers. */
const longestPacket = 64 * 1024;

/** Finds packets among the lines of a serial console. Other lines, such as log output, and damaged packets are skipped. */
export class LineDecoder {
  private line: number[] = [];
  private packet = Buffer.alloc(0);
  private expected = 0;

  /** Returns the packets that these bytes complete. */
  push(bytes: Uint8Array): Uint8Array[] {
    const found: Uint8Array[] = [];
    for (const byte of bytes) {
      if (byte !== lineEnd) {
        if (this.line.length < 4 * lineBytes) this.line.push(byte);
        continue;
      }
      const packet = this.take(Buffer.from(this.line));
      this.line = [];
      if (packet !== null) found.push(packet);
    }
    return found;
  }

  private take(line: Buffer): Uint8Array | null {
    // Log output without a line end may precede a packet on the same line.
    const first = line.lastIndexOf(Buffer.from(marks.first));
    if (first >= 0) {
      this.packet = Buffer.from(line.subarray(first + 2).toString('latin1'), 'base64');
      this.expected = this.packet.length < 2 ? 0 : this.packet.readUInt16BE(0) + 2;
    } else if (line[0] === marks.next[0] && line[1] === marks.next[1] && this.expected > 0) {
      this.packet = Buffer.concat([this.packet, Buffer.from(line.subarray(2).toString('latin1'), 'base64')]);
    } else {
      return null;
    }
    if (this.expected < 4 || this.expected > longestPacket) this.expected = 0;
    if (this.expected === 0 || this.packet.length < this.expected) return null;
    const whole = this.packet.subarray(2, this.expected - 2);
    const intact = crc16(whole) === this.packet.readUInt16BE(this.expected - 2);
    this.expected = 0;
    return intact ? whole : null;
  }
}
