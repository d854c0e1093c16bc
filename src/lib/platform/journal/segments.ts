import { mkdir, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import * as z from 'zod';
import type { Finding } from '../verify/damage.js';
import type { LogFile } from '../verify/ledger.js';
import { type Entry, entrySchema, type JournalRecord, jsonOf, type TakeKey } from './entry.js';
import { brokenLines, findingsOf, lessBy, salvaged, Tallies, type Tally } from './lost.js';
import type { Prepared, TableTelemetry, Transaction } from './tables.js';

// Segments of lines: the form of telemetry in backups, and of the journal that earlier versions kept in the data folder.

/** A removed recording; all of its entries before this line are void. */
interface Removal {
  at: number;
  removed: TakeKey;
}

const takeKeySchema = z.object({
  channel: entrySchema.shape.channel,
  stream: z.string(),
  device: z.string(),
  recording: z.string(),
});

const recordSchema = z.union([entrySchema, z.object({ at: z.number(), removed: takeKeySchema })]);

/** Number of bytes before the JSON: the checksum in hex and a space. */
const prefix = 9;

/**
 * One record as a line: CRC-32 (zlib's) of the JSON's bytes as 8 hex digits, a space, the JSON, a newline.
 * @throws AIOT_MESSAGE_MALFORMED for a payload that is nested too deeply for JSON.stringify
 */
export function lineOf(record: JournalRecord): Buffer {
  const json = jsonOf(record);
  return Buffer.from(`${crc32(json).toString(16).padStart(8, '0')} ${json}\n`);
}

/**
 * Parses a line's record, without the newline; null if the line is damaged.
 * @param checked false = a line from a version 1 journal, which is only an entry's JSON
 */
export function parseLine(line: Buffer, checked: boolean): JournalRecord | Removal | null {
  try {
    if (!checked)
      return (entrySchema.safeParse(JSON.parse(line.toString('utf8'))).data ?? null) as Entry | null;
    const json = line.subarray(prefix);
    if (line[prefix - 1] !== 32 || !/^[0-9a-f]{8}$/.test(line.toString('latin1', 0, prefix - 1))) return null;
    if (crc32(json) !== Number.parseInt(line.toString('latin1', 0, prefix - 1), 16)) return null;
    // A matching checksum proves that this is the record that was validated and written, so it is not validated again.
    const value = JSON.parse(json.toString('utf8')) as JournalRecord | Removal;
    if ('payload' in value) return value;
    return (recordSchema.safeParse(value).data ?? null) as Removal | null;
  } catch {
    return null;
  }
}

/** A segment's file. Each removal of recordings rewrites the segment as its next generation. */
export interface SegmentFile {
  segment: number;
  generation: number;
  /** Whether lines have checksums; lines in a version 1 journal have none. */
  checked: boolean;
}

/** `00000012.log`, `00000012.3.log` after three removals; `00000012.ndjson` in version 1. */
export function segmentPath(folder: string, { segment, generation, checked }: SegmentFile): string {
  const number = String(segment).padStart(8, '0');
  if (!checked) return join(folder, `${number}.ndjson`);
  return join(folder, `${number}${generation === 0 ? '' : `.${generation}`}.log`);
}

/**
 * Lists the segments of a folder in ascending order, each in its newest generation. A generation gets its name only once it is complete.
 */
export async function listSegments(folder: string): Promise<SegmentFile[]> {
  const rank = ({ generation, checked }: SegmentFile) => (checked ? generation + 1 : 0);
  const newest = new Map<number, SegmentFile>();
  for (const name of await readdir(folder)) {
    const [, number, generation = '0', kind] = /^(\d{8})(?:\.(\d{1,9}))?\.(log|ndjson)$/.exec(name) ?? [];
    if (number === undefined) continue;
    const file = { segment: Number(number), generation: Number(generation), checked: kind === 'log' };
    const known = newest.get(file.segment);
    if (!known || rank(known) < rank(file)) newest.set(file.segment, file);
  }
  return [...newest.values()].sort((a, b) => a.segment - b.segment);
}

/** An unreadable part of a segment. */
interface DamagedLine {
  from: number;
  bytes: Buffer;
}

/** Maximum number of bytes of a damaged line to examine, because a segment without newlines is a single line. */
const mostSalvaged = 1 << 20;

/**
 * Reads a segment from an offset and passes on each record with the offset after it. A last line without a newline was never acknowledged, and is
 * left out. Damaged lines are passed to `broken`.
 */
export async function scanSegment(
  folder: string,
  file: SegmentFile,
  from: number,
  take: (record: JournalRecord | Removal, end: number) => void | Promise<void>,
  broken: (line: DamagedLine) => void = () => {},
): Promise<void> {
  let offset = from;
  for await (const line of linesFrom(segmentPath(folder, file), from)) {
    const record = parseLine(line, file.checked);
    const end = offset + line.length + 1;
    if (record) {
      const taken = take(record, end);
      if (taken !== undefined) await taken;
    } else broken({ from: offset, bytes: Buffer.from(line.subarray(0, mostSalvaged)) });
    offset = end;
  }
}

/** Yields the complete lines, without their newlines. */
async function* linesFrom(path: string, offset: number): AsyncGenerator<Buffer> {
  const file = await open(path, 'r');
  try {
    let rest: Buffer = Buffer.alloc(0);
    for await (const chunk of file.createReadStream({ start: offset, highWaterMark: 1 << 20 })) {
      rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      let start = 0;
      for (let newline = rest.indexOf(10); newline >= 0; newline = rest.indexOf(10, start)) {
        yield rest.subarray(start, newline);
        start = newline + 1;
      }
      rest = rest.subarray(start);
    }
  } finally {
    await file.close();
  }
}

/** Size at which a backup's segment is complete, bytes. */
const segmentBytes = 64 * 1024 ** 2;

/** Writes telemetry as segments. @param batches as returned by `Telemetry.stored` */
export async function writeSegments(
  batches: AsyncIterable<readonly JournalRecord[]>,
  folder: string,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  let segment = 0;
  let written = segmentBytes;
  let file: Awaited<ReturnType<typeof open>> | undefined;
  try {
    for await (const batch of batches) {
      if (written >= segmentBytes) {
        await file?.close();
        file = await open(
          segmentPath(folder, { segment: ++segment, generation: 0, checked: true }),
          'wx',
          0o600,
        );
        written = 0;
      }
      const block = Buffer.concat(batch.map(lineOf));
      await file?.writeFile(block);
      written += block.length;
    }
  } finally {
    await file?.close();
  }
}

/** Position of a line's end in the segments. */
export interface Position {
  segment: number;
  offset: number;
}

interface ReplayOptions {
  /** Where an earlier replay ended. */
  after?: Position | null;
  /** Notes a position in the transaction that stores everything before it. */
  note?: (sql: Transaction, position: Position & { generation: number }) => Promise<void>;
  /** The state database's record of the segments' contents, which reveals losses. */
  notes?: readonly LogFile<Tally[]>[];
  onProgress?: (file: SegmentFile) => void;
}

/** Number of messages stored per transaction. */
const atOnce = 4096;

/** Stores the segments of a folder, in order. @returns findings of damaged and missing lines */
export async function replaySegments(
  folder: string,
  telemetry: TableTelemetry,
  { after = null, note = async () => {}, notes = [], onProgress = () => {} }: ReplayOptions = {},
): Promise<Finding[]> {
  const findings: Finding[] = [];
  const files = await listSegments(folder);
  for (const known of notes) {
    if (known.generation < 0 || files.some(({ segment }) => segment === known.number)) continue;
    const file = { segment: known.number, generation: known.generation, checked: true };
    findings.push(...findingsOf(segmentPath('journal', file), 'is gone', known.counts));
  }
  for (const file of files) {
    if (file.segment < (after?.segment ?? 0)) continue;
    onProgress(file);
    const begin = file.segment === after?.segment ? after.offset : 0;
    const { segment, generation } = file;
    const there = new Tallies();
    const broken = new Tallies();
    let damaged = 0;
    let batch: Prepared[] = [];
    let end = begin;
    const flush = async () => {
      const some = batch;
      batch = [];
      await telemetry.store(some, (sql) => note(sql, { segment, generation, offset: end }));
    };
    await scanSegment(
      folder,
      file,
      begin,
      async (record, behind) => {
        if ('removed' in record) {
          await flush();
          await telemetry.remove([record.removed]);
        } else {
          const { id, repeats, ...entry } = record;
          if (!entry.repeat) there.addEntry(entry);
          batch.push({ entry, json: jsonOf(entry), id, repeats });
        }
        end = behind;
        if (batch.length >= atOnce) await flush();
      },
      (line) => {
        damaged++;
        for (const tally of salvaged(line)) broken.add(tally);
      },
    );
    await flush();
    const place = segmentPath('journal', file);
    const noted = notes.find(({ number, generation: g }) => number === segment && g === generation);
    const less = begin === 0 && noted ? lessBy(noted.counts, there.all()) : [];
    if (damaged > 0) findings.push(...findingsOf(place, brokenLines, broken.all()));
    else if (less.length > 0) findings.push(...findingsOf(place, 'is shorter than it was', less));
  }
  return findings;
}
