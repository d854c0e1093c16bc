import { crc32 } from 'node:zlib';
import { digestOf } from '../../core/crypto.js';
import { blankRecord, type DeviceRecord, deviceRecordSchema, type SlotIndex } from '../update/record.js';
import type { Flash } from './flash.js';

/**
 * Layout of a device's flash: two sectors of records, then slot A and slot B of equal size.
 *
 * A record sector is, little-endian, u32 magic `AREC`, u32 counter, u32 length, u32 CRC-32 of counter, length and JSON, then the JSON. As
 * in an ESP32's otadata, the older sector is rewritten, and the valid sector with the higher counter is used. A power cut during a write
 * therefore leaves the previous record valid.
 */
export interface DeviceStore {
  readonly slotBytes: number;
  /** Returns the current record, or a blank one on a new flash. */
  readRecord(): DeviceRecord;
  /** Writes the record. It is durable when this returns. */
  writeRecord(record: DeviceRecord): void;
  /** Erases the first sectors of a slot, as many as `bytes` occupy. */
  eraseSlot(slot: SlotIndex, bytes: number): void;
  writeSlot(slot: SlotIndex, offset: number, data: Uint8Array): void;
  readSlot(slot: SlotIndex, bytes: number, from?: number): Uint8Array;
  hashSlot(slot: SlotIndex, bytes: number): string;
  /**
   * Prepares a slot for the remaining bytes when it contains only part of `bytes` bytes: erases the last sector that
   * was started, and returns the offset at which to resume.
   */
  resumeSlot(slot: SlotIndex, bytes: number): number;
  /** Slots whose bytes do not match the digest in the record. */
  damagedSlots(record: DeviceRecord): SlotIndex[];
}

const magic = 0x43455241;
const headerBytes = 16;

interface Stored {
  sector: number;
  counter: number;
  record: DeviceRecord;
}

/** Size of a flash with two slots of `slotBytes` each. */
export function flashBytesFor(slotBytes: number, sectorBytes = 4096): number {
  return 2 * sectorBytes + 2 * Math.ceil(slotBytes / sectorBytes) * sectorBytes;
}

export function createDeviceStore(flash: Flash): DeviceStore {
  const { sectorBytes } = flash;
  const slotSectors = Math.floor((flash.bytes / sectorBytes - 2) / 2);
  const firstSector = (slot: SlotIndex) => 2 + slot * slotSectors;
  const sectorsFor = (bytes: number) => Math.min(slotSectors, Math.ceil(bytes / sectorBytes));
  const at = (slot: SlotIndex) => firstSector(slot) * sectorBytes;

  const readSector = (sector: number): Stored | null => {
    const data = Buffer.from(flash.read(sector * sectorBytes, sectorBytes));
    const length = data.readUInt32LE(8);
    if (data.readUInt32LE(0) !== magic || length > sectorBytes - headerBytes) return null;
    const json = data.subarray(headerBytes, headerBytes + length);
    if (data.readUInt32LE(12) !== crc32(json, crc32(data.subarray(4, 12)))) return null;
    const record = deviceRecordSchema.safeParse(JSON.parse(json.toString('utf8')));
    return record.success ? { sector, counter: data.readUInt32LE(4), record: record.data } : null;
  };
  const newest = (): Stored | null => {
    const [a, b] = [readSector(0), readSector(1)];
    if (!a || !b) return a ?? b;
    return a.counter > b.counter ? a : b;
  };

  return {
    slotBytes: slotSectors * sectorBytes,
    readRecord: () => newest()?.record ?? blankRecord,
    writeRecord(record) {
      const before = newest();
      const json = Buffer.from(JSON.stringify(record));
      if (json.length > sectorBytes - headerBytes)
        throw new RangeError(`the record of ${json.length} bytes does not fit into a sector`);
      const data = Buffer.alloc(headerBytes + json.length);
      data.writeUInt32LE(magic, 0);
      data.writeUInt32LE((before?.counter ?? 0) + 1, 4);
      data.writeUInt32LE(json.length, 8);
      json.copy(data, headerBytes);
      data.writeUInt32LE(crc32(json, crc32(data.subarray(4, 12))), 12);
      const sector = before?.sector === 0 ? 1 : 0;
      flash.erase(sector);
      flash.write(sector * sectorBytes, data);
      flash.sync();
    },
    eraseSlot(slot, bytes) {
      for (let i = 0; i < sectorsFor(bytes); i++) flash.erase(firstSector(slot) + i);
    },
    writeSlot(slot, offset, data) {
      if (offset + data.length > slotSectors * sectorBytes) throw new RangeError('past the end of the slot');
      flash.write(at(slot) + offset, data);
    },
    readSlot: (slot, bytes, from = 0) => flash.read(at(slot) + from, bytes),
    hashSlot: (slot, bytes) => digestOf(flash.read(at(slot), bytes)),
    resumeSlot(slot, bytes) {
      let written = 0;
      const erased = (sector: number) =>
        flash.read((firstSector(slot) + sector) * sectorBytes, sectorBytes).every((byte) => byte === 0xff);
      while (written < sectorsFor(bytes) && !erased(written)) written++;
      if (written === 0) return 0;
      // The last sector that was started may contain an incomplete write.
      flash.erase(firstSector(slot) + written - 1);
      return (written - 1) * sectorBytes;
    },
    damagedSlots(record) {
      return ([0, 1] as const).filter((slot) => {
        const content = record.slots[slot];
        return content !== null && digestOf(flash.read(at(slot), content.bytes)) !== content.digest;
      });
    },
  };
}
