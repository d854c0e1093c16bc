import { stat } from 'node:fs/promises';
import type { Finding } from '../verify/damage.js';
import { type Entry, isEntry, type JournalRecord, type TakeKey } from './entry.js';
import { placeOf, type SegmentFile, scanSegment, segmentPath } from './segments.js';
import { fieldsOf } from './takes.js';

/** Messages of one device and stream: how many, their rows, and their times (ms since 1970). */
export interface Tally {
  stream: string | null;
  device: string | null;
  messages: number;
  rows: number;
  from: number;
  to: number;
}

/** Devices and streams that are told apart; of more, streams alone. */
const mostApart = 500;

/** Messages by device and stream. */
export class Tallies {
  private readonly byKey = new Map<string, Tally>();

  constructor(tallies: readonly Tally[] = []) {
    for (const tally of tallies) this.add(tally);
  }

  add({ stream, device, messages, rows, from, to }: Tally): void {
    let key = `${stream ?? ''}/${device ?? ''}`;
    let whose = device;
    if (this.byKey.size >= mostApart && !this.byKey.has(key)) {
      key = `${stream ?? ''}/`;
      whose = null;
    }
    const known = this.byKey.get(key);
    if (!known) {
      this.byKey.set(key, { stream, device: whose, messages, rows, from, to });
      return;
    }
    known.messages += messages;
    known.rows += rows;
    known.from = Math.min(known.from, from);
    known.to = Math.max(known.to, to);
  }

  /** Counts stored rows only: repeats and notes of removals are none. */
  addRecord(record: JournalRecord): void {
    if (!isEntry(record) || record.repeat) return;
    this.add(tallyOf(record));
  }

  all(): Tally[] {
    return [...this.byKey.values()].map((tally) => ({ ...tally }));
  }

  get rows(): number {
    return this.all().reduce((sum, { rows }) => sum + rows, 0);
  }

  get messages(): number {
    return this.all().reduce((sum, { messages }) => sum + messages, 0);
  }
}

/** Rows that an export has of a message; a message of another channel counts as one. */
export function rowsOf({ channel, payload }: Pick<Entry, 'channel' | 'payload'>): number {
  return channel === 'telemetry' ? (fieldsOf(payload)[0]?.[1].length ?? 0) : 1;
}

function tallyOf(entry: Entry): Tally {
  const { t } = entry.payload;
  const time = typeof t === 'number' ? t : entry.at;
  const { device, stream = null } = entry;
  return { stream, device, messages: 1, rows: rowsOf(entry), from: time, to: time };
}

/** What `before` has and `after` lacks, by stream and device. */
export function lessBy(before: readonly Tally[], after: readonly Tally[]): Tally[] {
  const left = new Map(after.map((tally) => [`${tally.stream}/${tally.device}`, tally]));
  const less: Tally[] = [];
  for (const tally of before) {
    const still = left.get(`${tally.stream}/${tally.device}`);
    const messages = tally.messages - (still?.messages ?? 0);
    if (messages <= 0) continue;
    // Logs are in the order of time: what is lost at the end is later than what is left.
    const from = still === undefined ? tally.from : Math.min(still.to, tally.to);
    less.push({ ...tally, messages, rows: Math.max(0, tally.rows - (still?.rows ?? 0)), from });
  }
  return less;
}

/** A part of a segment that cannot be read: from one offset up to another. */
export interface DamagedRange {
  from: number;
  to: number;
  /** What is there instead; empty where the file ends before. */
  bytes: Buffer;
}

/**
 * What a damaged line says it was, where these of its members are whole: text of a device, so names are only believed in their form. A line
 * that has swallowed others, for their newline is damaged, counts as many.
 */
export function salvaged({ bytes }: DamagedRange): Tally[] {
  const text = bytes.toString('utf8');
  const heads = [
    ...text.matchAll(
      /"device":"([A-Za-z0-9][\w.-]{0,62})","channel":"(\w+)"(?:,"stream":"([A-Za-z0-9][\w.-]{0,62})")?/g,
    ),
  ];
  if (heads.length === 0) return [];
  return heads.map((head, i) => {
    const rest = text.slice(head.index, heads[i + 1]?.index ?? text.length);
    const time = Number(/"t":(-?\d+(?:\.\d+)?)/.exec(rest)?.[1] ?? Number.NaN);
    const values = /:\[([^\]]*)\]/.exec(rest)?.[1];
    const rows = head[2] !== 'telemetry' || values === undefined ? 1 : values.split(',').length;
    const [from, to] = Number.isNaN(time) ? [Infinity, -Infinity] : [time, time];
    return { stream: head[3] ?? null, device: head[1] ?? null, messages: 1, rows, from, to };
  });
}

export const brokenLines = 'holds lines that are damaged';

/** Findings of what a segment has lost, one for each stream and device; at least one. @param place its file in the data folder */
export function findingsOf(
  place: string,
  problem: string,
  tallies: readonly Tally[],
  part: Finding['part'] = 'journal',
): Finding[] {
  if (tallies.length === 0) return [{ part, place, problem, repairable: true }];
  return tallies.map((tally) => ({ part, place, problem, repairable: true, lost: lostOf(tally) }));
}

const notWritten = 'is not what was written';

/** Findings of a segment that holds other lines than were written: which rows it lacks, or that its streams cannot be trusted. */
export function alteredFindings(place: string, before: readonly Tally[], after: readonly Tally[]): Finding[] {
  const less = lessBy(before, after);
  if (less.length > 0) return findingsOf(place, notWritten, less);
  return findingsOf(place, notWritten, before).map(({ lost, ...finding }) => {
    const { rows: _, ...whose } = lost ?? {};
    return lost === undefined ? finding : { ...finding, lost: whose };
  });
}

export function lostOf({ stream, device, from, to, rows }: Tally): NonNullable<Finding['lost']> {
  const time = (t: number) => (Math.abs(t) <= 8.64e15 ? new Date(t).toISOString() : undefined);
  const [begin, end] = [time(from), time(to)];
  return {
    ...(stream === null ? {} : { stream }),
    ...(device === null ? {} : { device }),
    ...(begin === undefined ? {} : { from: begin }),
    ...(end === undefined ? {} : { to: end }),
    rows,
  };
}

/** A message of a recording that a read could not hand over. */
export interface LostMessage {
  key: TakeKey;
  t: number;
  rows: number;
}

interface DamagedSegment {
  file: SegmentFile;
  ranges: DamagedRange[];
  /** Lines that are damaged; not those that are missing. */
  lines: number;
  problem: string;
}

/** All of a segment that cannot be read. @param bytes that it had */
export async function damagedRanges(
  folder: string,
  file: SegmentFile,
  bytes: number,
): Promise<DamagedSegment> {
  const size = (await stat(segmentPath(folder, file)).catch(() => null))?.size ?? null;
  const ranges: DamagedRange[] = [];
  if (size !== null)
    await scanSegment(
      folder,
      file,
      0,
      () => {},
      false,
      (range) => ranges.push(range),
    );
  const lines = ranges.length;
  const short = size === null || size < bytes;
  if (short) ranges.push({ from: size ?? 0, to: Infinity, bytes: Buffer.alloc(0) });
  const problem = size === null ? 'is gone' : short ? 'is shorter than it was' : brokenLines;
  return { file, ranges, lines, problem };
}

/** By the index where it knows the messages; else by what is left of their lines. */
export function findingsIn(
  { file, problem }: DamagedSegment,
  { tallies, unknown }: { tallies: Tally[]; unknown: DamagedRange[] },
): Finding[] {
  const all = new Tallies([...tallies, ...unknown.flatMap(salvaged)]);
  return findingsOf(placeOf(file), problem, all.all());
}
