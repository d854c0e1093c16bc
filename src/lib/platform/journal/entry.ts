import { crc32 } from 'node:zlib';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';

/** What a device said, and when it came. */
const entrySchema = z.object({
  /** ms since 1970, by the platform's clock: it may go back, the order of the journal does not. */
  at: z.number(),
  device: z.string(),
  channel: z.enum(['telemetry', 'inference', 'reply', 'log']),
  /** Of telemetry. */
  stream: z.string().optional(),
  payload: z.record(z.string(), z.unknown()),
  /** It had come before: only that is noted, without the payload's data. */
  repeat: z.literal(true).optional(),
});

export type Entry = z.output<typeof entrySchema>;

/** Names one recording of one device; `stream` is empty for channels that have none. */
export interface TakeKey {
  channel: Entry['channel'];
  stream: string;
  device: string;
  recording: string;
}

/** A recording was removed: what the journal had of it until here is no more. */
interface Removal {
  at: number;
  removed: TakeKey;
}

/** One line of the journal. */
export type JournalRecord = Entry | Removal;

const takeKeySchema = z.object({
  channel: entrySchema.shape.channel,
  stream: z.string(),
  device: z.string(),
  recording: z.string(),
});

const recordSchema = z.union([entrySchema, z.object({ at: z.number(), removed: takeKeySchema })]);

/** Where a line lies: number of the segment, offset and length in bytes, without the newline. */
export interface Place {
  segment: number;
  offset: number;
  length: number;
}

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
