import { crc32 } from 'node:zlib';
import { AiotError } from '../../core/index.js';
import {
  type Otadata,
  type OtadataEntry,
  otadataBytes,
  otadataSector,
  otaStateNames,
  otaStates,
} from './types.js';

/**
 * Source: ESP-IDF, esp_flash_partitions.h (esp_ota_select_entry_t) and bootloader_common.c (which entry counts).
 * @throws AIOT_OTADATA_MALFORMED for another length, or an entry that is neither blank nor one with its CRC
 */
export function readOtadata(bytes: Uint8Array): Otadata {
  const data = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (data.length !== otadataBytes) {
    throw malformed(
      Math.min(data.length, otadataBytes),
      `expected 0x2000 bytes, got 0x${data.length.toString(16)}`,
    );
  }
  const entries: Otadata['entries'] = [readEntry(data, 0), readEntry(data, otadataSector)];
  const [first, second] = entries.map((entry) => (entry?.usable ? entry.sequence : 0)) as [number, number];
  const newest = Math.max(first, second);
  return { entries, active: (count) => (newest === 0 ? null : (newest - 1) % count) };
}

function readEntry(data: Buffer, at: number): OtadataEntry | null {
  const sequence = data.readUInt32LE(at);
  const code = data.readUInt32LE(at + 24);
  const crc = data.readUInt32LE(at + 28);
  const blank = data.subarray(at, at + otadataSector).every((byte) => byte === 0xff);
  if (blank) return null;
  const right = otadataCrc(sequence);
  if (crc !== right) {
    throw malformed(
      at + 28,
      `the CRC of sequence ${sequence} is ${hex(right)}, and the entry says ${hex(crc)}`,
    );
  }
  if (sequence === 0 || sequence === 0xffffffff)
    throw malformed(at, `expected a sequence from 1, got ${sequence}`);
  const state = otaStateNames.find((name) => otaStates[name] === code);
  if (state === undefined)
    throw malformed(at + 24, `expected a state of 0 to 4 or 0xffffffff, got ${hex(code)}`);
  const tail = data.subarray(at + 32, at + otadataSector).findIndex((byte) => byte !== 0xff);
  if (tail >= 0) throw malformed(at + 32 + tail, 'expected 0xff behind the entry');
  return { sequence, state, usable: state !== 'invalid' && state !== 'aborted' };
}

/** Of the sequence alone, as the bootloader makes it. */
export function otadataCrc(sequence: number): number {
  const word = Buffer.alloc(4);
  word.writeUInt32LE(sequence);
  return crc32(word, 0xffffffff) >>> 0;
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(8, '0')}`;
}

function malformed(at: number, what: string): AiotError {
  return new AiotError('AIOT_OTADATA_MALFORMED', `otadata, offset 0x${at.toString(16)}: ${what}`);
}
