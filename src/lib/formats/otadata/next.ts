import { AiotError } from '../../core/index.js';
import { otadataCrc, readOtadata } from './read.js';
import { type OtaState, otadataBytes, otadataSector, otaStates } from './types.js';

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

/** Of the two sectors; 0 = none that counts. */
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
