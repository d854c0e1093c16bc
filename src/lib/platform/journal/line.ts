import { crc32 } from 'node:zlib';
import { AiotError } from '../../core/index.js';
import { type Entry, entrySchema, type JournalRecord, recordSchema } from './entry.js';

/** A record and the bytes that it is on disk, newline and all. */
export interface Line {
  record: JournalRecord;
  bytes: Buffer;
}

/** Bytes before the JSON: the checksum in hex and a space. */
const prefix = 9;

/**
 * One record as a line: CRC-32 (zlib's) of the JSON's bytes as 8 hex digits, a space, the JSON, a newline.
 * @throws AIOT_MESSAGE_MALFORMED for a payload that is nested deeper than JSON.stringify can go
 */
export function lineOf(record: JournalRecord): Line {
  const json = jsonOf(record);
  const sum = crc32(json).toString(16).padStart(8, '0');
  return { record, bytes: Buffer.from(`${sum} ${json}\n`) };
}

/** @throws AIOT_MESSAGE_MALFORMED as `lineOf` */
export function jsonOf(record: JournalRecord): string {
  try {
    return JSON.stringify(record);
  } catch (error) {
    const of = 'device' in record ? `${record.device}: ${record.channel}` : 'a removal';
    throw new AiotError('AIOT_MESSAGE_MALFORMED', `${of}: it is nested too deep`, { cause: error });
  }
}

/**
 * The record of a line without its newline; null when it is damaged.
 * @param checked false = a line of a journal of version 1, which is the JSON of an entry alone
 */
export function parseLine(line: Buffer, checked: boolean): JournalRecord | null {
  try {
    if (!checked) return entrySchema.safeParse(JSON.parse(line.toString('utf8'))).data ?? null;
    const json = line.subarray(prefix);
    if (line[prefix - 1] !== 32 || !/^[0-9a-f]{8}$/.test(line.toString('latin1', 0, prefix - 1))) return null;
    if (crc32(json) !== Number.parseInt(line.toString('latin1', 0, prefix - 1), 16)) return null;
    // What has the checksum is what was written, and that was checked then: its form is looked at no second time.
    const value = JSON.parse(json.toString('utf8')) as JournalRecord;
    return 'payload' in value ? value : (recordSchema.safeParse(value).data ?? null);
  } catch {
    return null;
  }
}

export function isEntry(record: JournalRecord): record is Entry {
  return !('removed' in record);
}
