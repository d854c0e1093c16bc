import { crc32 } from 'node:zlib';
import { AiotError } from '../core/errors.js';
import { hex } from '../core/figures.js';

/** Size of the partition, bytes: two sectors of 0x1000, each of which starts with an entry of 32 bytes. */
export const otadataBytes = 0x2000;

export const otadataSector = 0x1000;

/** Entry states. Source: ESP-IDF, esp_flash_partitions.h (esp_ota_img_states_t). */
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
  /** Incremented with every switch. The slot is (sequence - 1) modulo the number of slots. */
  sequence: number;
  state: OtaState;
  /** Whether the bootloader would accept the entry: its CRC is valid, and its state is neither invalid nor aborted. */
  usable: boolean;
}

export interface Otadata {
  /** One entry per sector; null = blank. */
  entries: [OtadataEntry | null, OtadataEntry | null];
  /**
   * The slot that the bootloader starts if there are `count` app slots. null = no slot is selected, so the bootloader starts the factory
   * app or, without a factory app, slot 0.
   */
  active(count: number): number | null;
}

/**
 * Reads an otadata partition. Source: ESP-IDF, esp_flash_partitions.h (esp_ota_select_entry_t) and bootloader_common.c (how an entry is
 * selected).
 * @throws AIOT_FILE_MALFORMED for a wrong length, or an entry that is neither blank nor has a valid CRC
 */
export function readOtadata(bytes: Uint8Array): Otadata {
  const data = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (data.length !== otadataBytes) {
    throw malformed(Math.min(data.length, otadataBytes), `expected 0x2000 bytes, got ${hex(data.length)}`);
  }
  const entries: Otadata['entries'] = [readEntry(data, 0), readEntry(data, otadataSector)];
  const [first, second] = entries.map((entry) => (entry?.usable ? entry.sequence : 0)) as [number, number];
  const newest = Math.max(first, second);
  return { entries, active: (count) => (newest === 0 ? null : (newest - 1) % count) };
}

/** One entry per sector, each read on its own; null = blank or damaged. */
export function otadataEntries(bytes: Uint8Array): Otadata['entries'] {
  const data = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return [0, otadataSector].map((at) => {
    try {
      return readEntry(data, at);
    } catch (error) {
      if (error instanceof AiotError) return null;
      throw error;
    }
  }) as Otadata['entries'];
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
      `the CRC of sequence number ${sequence} is ${hex(right, 8)}, but the entry states ${hex(crc, 8)}`,
    );
  }
  if (sequence === 0 || sequence === 0xffffffff)
    throw malformed(at, `expected a sequence number of at least 1, got ${sequence}`);
  const state = otaStateNames.find((name) => otaStates[name] === code);
  if (state === undefined)
    throw malformed(at + 24, `expected a state of 0 to 4 or 0xffffffff, got ${hex(code, 8)}`);
  const tail = data.subarray(at + 32, at + otadataSector).findIndex((byte) => byte !== 0xff);
  if (tail >= 0) throw malformed(at + 32 + tail, 'expected 0xff after the entry');
  return { sequence, state, usable: state !== 'invalid' && state !== 'aborted' };
}

/** As in the bootloader, the CRC covers only the sequence number. */
function otadataCrc(sequence: number): number {
  const word = Buffer.alloc(4);
  word.writeUInt32LE(sequence);
  return crc32(word, 0xffffffff) >>> 0;
}

function malformed(at: number, what: string): AiotError {
  return new AiotError('AIOT_FILE_MALFORMED', `otadata, offset ${hex(at)}: ${what}`, { subject: 'otadata' });
}

/** An otadata partition without a selected slot. */
export function blankOtadata(): Uint8Array {
  return Buffer.alloc(otadataBytes, 0xff);
}

/**
 * Selects the slot to start next. Writes a higher sequence number to the unused sector, so that a power cut during the write leaves the old
 * selection. A new entry is written even if the same slot is selected again.
 * @param bytes the current partition, 0x2000 bytes; a damaged entry is considered blank
 * @param slot from 0
 * @param count number of app slots
 * @param state `undefined` = accepted without a trial; `new` = the bootloader rolls back unless the app confirms itself (rollback enabled)
 * @throws AIOT_FILE_MALFORMED (wrong length), AIOT_USAGE (no such slot)
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

/** The otadata of a board that first started slot 0 and was then switched, slot by slot, to this slot. */
export function firstOtadata(slot: number, count: number, state: OtaState = 'undefined'): Uint8Array {
  requireSlot(slot, count);
  let bytes = blankOtadata();
  for (let n = 0; n <= slot; n++) bytes = nextOtadata(bytes, n, count, n === slot ? state : 'undefined');
  return bytes;
}

/** The two sectors' sequence numbers; 0 for an unusable sector. */
function usableSequences(bytes: Uint8Array): [number, number] {
  if (bytes.length !== otadataBytes) readOtadata(bytes);
  return otadataEntries(bytes).map((entry) => (entry?.usable ? entry.sequence : 0)) as [number, number];
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
