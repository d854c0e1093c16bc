import { createHash } from 'node:crypto';
import { hex } from '../../core/figures.js';
import { malformed } from '../image-errors.js';
import { type ChipName, chipOfId, espChips } from './chips.js';

const imageMagic = 0xe9;

/** Size of the header, bytes: 8 for the basic header and 16 for the extended header. */
export const headerBytes = 24;

export const segmentHeaderBytes = 8;

/** ESP_IMAGE_MAX_SEGMENTS in ESP-IDF; the ROMs have the same limit. */
export const maximumSegments = 16;

export const hashBytes = 32;

/** Value for no write-protect pin. Any other value would make the ROM configure such a pin. */
export const writeProtectDisabled = 0xee;

/** esp_image_header_t (ESP-IDF, esp_app_format.h), 24 bytes. */
export interface ImageHeader {
  chip: ChipName;
  segments: number;
  /** Index into `flashModes`. */
  mode: number;
  /** Index into `flashSizes`. */
  size: number;
  /** Code of the divider, 4 bits. */
  frequency: number;
  /** Address of the first instruction. */
  entry: number;
  writeProtectPin: number;
  /** Drive strengths of the flash pins: three raw bytes. */
  drive: readonly [number, number, number];
  /** Minimum revision in the old format: only the major part or, on a C3, only the minor part. */
  minRevisionOld: number;
  /** major · 100 + minor. */
  minRevision: number;
  /** major · 100 + minor; 65535 = any; 0 in images from old tools, which do not set this field. */
  maxRevision: number;
  hashAppended: boolean;
}

/** @throws AIOT_IMAGE_MALFORMED with the offset and the reason */
export function readHeader(bytes: Uint8Array, what: string): ImageHeader {
  if (bytes.length === 0) throw malformed(what, 0, 'the file is empty');
  if (bytes[0] !== imageMagic) {
    throw malformed(
      what,
      0,
      `an image starts with ${hex(imageMagic)}, but this file starts with ${hex(bytes[0] ?? 0)}`,
    );
  }
  if (bytes.length < headerBytes) {
    throw malformed(what, bytes.length, `the file ends before its ${headerBytes}-byte header`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const segments = view.getUint8(1);
  if (segments === 0 || segments > maximumSegments) {
    throw malformed(
      what,
      1,
      `an image has 1 to ${maximumSegments} segments, but this header states ${segments}`,
    );
  }
  const id = view.getUint16(12, true);
  const chip = chipOfId(id);
  if (chip === null) {
    const known = Object.entries(espChips)
      .map(([name, { id }]) => `${id} ${name}`)
      .join(', ');
    throw malformed(what, 12, `unknown chip id ${id} (known: ${known})`);
  }
  const hash = view.getUint8(23);
  if (hash > 1) throw malformed(what, 23, `expected 0 or 1 in the SHA-256 flag, got ${hash}`);
  return {
    chip,
    segments,
    mode: view.getUint8(2),
    size: view.getUint8(3) >> 4,
    frequency: view.getUint8(3) & 0xf,
    entry: view.getUint32(4, true),
    writeProtectPin: view.getUint8(8),
    drive: [view.getUint8(9), view.getUint8(10), view.getUint8(11)],
    minRevisionOld: view.getUint8(14),
    minRevision: view.getUint16(15, true),
    maxRevision: view.getUint16(17, true),
    hashAppended: hash === 1,
  };
}

/** Encodes a header in 24 bytes. */
export function writeHeader(header: ImageHeader): Uint8Array {
  const bytes = new Uint8Array(headerBytes);
  const view = new DataView(bytes.buffer);
  bytes.set([imageMagic, header.segments, header.mode, (header.size << 4) | header.frequency]);
  view.setUint32(4, header.entry, true);
  bytes.set([header.writeProtectPin, ...header.drive], 8);
  view.setUint16(12, espChips[header.chip].id, true);
  view.setUint8(14, header.minRevisionOld);
  view.setUint16(15, header.minRevision, true);
  view.setUint16(17, header.maxRevision, true);
  view.setUint8(23, header.hashAppended ? 1 : 0);
  return bytes;
}

/** Initial value for the XOR of all bytes. Source: ESP_ROM_CHECKSUM_INITIAL in ESP-IDF. */
export const checksumStart = 0xef;

export function xorChecksum(data: Uint8Array, start = checksumStart): number {
  let sum = start;
  for (const byte of data) sum ^= byte;
  return sum;
}

/** Offset of the checksum byte for data up to `end`: the last byte in a row of 16. */
export function checksumOffset(end: number): number {
  return end + 15 - (end % 16);
}

export function sha256(data: Uint8Array): Uint8Array {
  return createHash('sha256').update(data).digest();
}
