import { crc32 } from 'node:zlib';
import { AiotError } from '../core/errors.js';

/** The partition: two sectors of 0x1000, each with one entry of 32 bytes at its begin. */
export const otadataBytes = 0x2000;

export const otadataSector = 0x1000;

/** States of an entry. Source: ESP-IDF, esp_flash_partitions.h (esp_ota_img_states_t). */
export const otaStates = {
  new: 0,
  pending: 1,
  valid: 2,
  invalid: 3,
  aborted: 4,
  undefined: 0xffffffff,
} as const;

export type OtaState = keyof typeof otaStates;

export const otaStateNames = Object.keys(otaStates) as OtaState[];

export interface OtadataEntry {
  /** Rises with every switch: slot = (sequence - 1) modulo the number of slots. */
  sequence: number;
  state: OtaState;
  /** Whether the bootloader would take it: not invalid, not aborted, CRC right. */
  usable: boolean;
}

export interface Otadata {
  /** One a sector; null = blank. */
  entries: [OtadataEntry | null, OtadataEntry | null];
  /**
   * The slot that the bootloader starts, of `count` app slots; null = none is named: it starts the factory app, or slot 0
   * where there is none.
   */
  active(count: number): number | null;
}

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

/** CRC of the sequence alone, as the bootloader makes it. */
function otadataCrc(sequence: number): number {
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

/** No slot named yet. */
export function blankOtadata(): Uint8Array {
  return Buffer.alloc(otadataBytes, 0xff);
}

/**
 * Names the slot to be started next: a higher sequence in the sector that does not count now, so that a power cut while it
 * is written leaves the old choice. The same slot again gets a new entry as well.
 * @param bytes the partition as it is, 0x2000 bytes; an entry that is damaged counts as none
 * @param slot from 0
 * @param count of app slots
 * @param state `undefined` = taken as it is; `new` = the bootloader goes back unless the app confirms itself (rollback on)
 * @throws AIOT_OTADATA_MALFORMED (another length), AIOT_USAGE (no such slot)
 */
export function nextOtadata(
  bytes: Uint8Array,
  slot: number,
  count: number,
  state: OtaState = 'undefined',
): Uint8Array {
  requireSlot(slot, count);
  const next = Buffer.from(bytes);
  const [first, second] = usableSequences(bytes);
  const newest = Math.max(first, second);
  const target = newest === 0 || second > first ? 0 : 1;
  const sequence = newest + 1 + ((((slot - newest) % count) + count) % count);
  writeEntry(next, target * otadataSector, sequence, state);
  return next;
}

/** As a board has it that was first started from slot 0 and then switched, slot by slot, up to this one. */
export function firstOtadata(slot: number, count: number, state: OtaState = 'undefined'): Uint8Array {
  requireSlot(slot, count);
  let bytes = blankOtadata();
  for (let n = 0; n <= slot; n++) bytes = nextOtadata(bytes, n, count, n === slot ? state : 'undefined');
  return bytes;
}

/** Sequences of the two sectors; 0 for one that does not count. */
function usableSequences(bytes: Uint8Array): [number, number] {
  const blank = blankOtadata().subarray(otadataSector);
  const sectors = [bytes.subarray(0, otadataSector), bytes.subarray(otadataSector)];
  if (bytes.length !== otadataBytes) readOtadata(bytes);
  return sectors.map((sector) => {
    try {
      const [entry] = readOtadata(Buffer.concat([sector, blank])).entries;
      return entry?.usable ? entry.sequence : 0;
    } catch {
      return 0;
    }
  }) as [number, number];
}

function writeEntry(bytes: Buffer, at: number, sequence: number, state: OtaState): void {
  bytes.fill(0xff, at, at + otadataSector);
  bytes.writeUInt32LE(sequence, at);
  bytes.writeUInt32LE(otaStates[state], at + 24);
  bytes.writeUInt32LE(otadataCrc(sequence), at + 28);
}

function requireSlot(slot: number, count: number): void {
  if (Number.isInteger(slot) && Number.isInteger(count) && count <= 16 && slot >= 0 && slot < count) return;
  throw new AiotError('AIOT_USAGE', `expected a slot of 0 to ${count - 1} (at most 16 slots), got ${slot}`);
}
