import { crc32 } from 'node:zlib';
import { systemCode } from '../../../core/errors.js';
import type { Entry, Place, TakeKey } from '../entry.js';
import { rowsOf } from '../lost.js';
import { emptyTake, messageKey, type Take } from '../takes.js';

/** The index contradicts itself: it is made anew from the journal. */
export class IndexDamage extends Error {
  override readonly name = 'IndexDamage';
}

/** Whether an error says that index.db is damaged: SQLite's own, or one of our sums. */
export function isIndexDamage(error: unknown): boolean {
  return error instanceof IndexDamage || /^SQLITE_(CORRUPT|NOTADB)/.test(systemCode(error) ?? '');
}

export interface ChunkRow {
  take: number;
  segment: number;
  part: number;
  minT: number;
  maxT: number;
  minSeq: number | null;
  maxSeq: number | null;
  /** Messages. */
  n: number;
  sum: number;
  spots: Uint8Array | ArrayBuffer;
}

export interface TakeRow extends TakeKey {
  id: number;
  counts: string;
  sum: number;
}

/** SQLite notices few of the bits that change in its rows: each has a sum of all that is in it. */
export function sumOf(...values: (string | number | null)[]): number {
  return crc32(values.join('/'));
}

export function chunkSum({
  take,
  segment,
  part,
  minT,
  maxT,
  minSeq,
  maxSeq,
  n,
  spots,
}: Omit<ChunkRow, 'sum'>): number {
  const bytes = spots instanceof Uint8Array ? spots : new Uint8Array(spots);
  return crc32(bytes, sumOf(take, segment, part, minT, maxT, minSeq, maxSeq, n));
}

/** @throws IndexDamage */
export function wholeChunk(row: ChunkRow): ChunkRow {
  if (chunkSum(row) === row.sum) return row;
  throw new IndexDamage(`the sum of a chunk of segment ${row.segment} is wrong`);
}

/** @throws IndexDamage */
export function takeOf(row: TakeRow): Take {
  if (takeSum(row) !== row.sum) throw new IndexDamage(`the sum of the recording ${row.id} is wrong`);
  return { ...emptyTake(row), ...(JSON.parse(row.counts) as Partial<Take>) };
}

export function takeSum({ id, channel, stream, device, recording, counts }: Omit<TakeRow, 'sum'>): number {
  return sumOf(id, channel, stream, device, recording, counts);
}

export function countsOf({ channel: _, stream: __, device: ___, recording: ____, ...counts }: Take): string {
  return JSON.stringify(counts);
}

/** One message in a chunk: where it lies in its segment, and what tells it from others. */
export interface Spot {
  offset: number;
  length: number;
  /** null: it has none. */
  seq: number | null;
  /** ms since 1970: the time it tells, or when it came. */
  t: number;
  /** Rows that an export has of it: what is lost with the line. */
  rows: number;
}

/**
 * Messages of one recording in one segment, in the order in which they came, as bytes: offset (from the end of the one
 * before), length, rows, number and time (from those before), each as a variable-length integer; eight bytes a message, mostly.
 */
export function encodeSpots(spots: readonly Spot[]): Buffer {
  const out: number[] = [];
  let end = 0;
  let seq = 0;
  let t = 0;
  for (const spot of spots) {
    putUnsigned(out, spot.offset - end);
    putUnsigned(out, spot.length);
    putUnsigned(out, spot.rows);
    putNumber(out, spot.seq, seq);
    putNumber(out, spot.t, t);
    end = spot.offset + spot.length;
    seq = spot.seq ?? seq;
    t = spot.t;
  }
  return Buffer.from(out);
}

/** @param bytes libsql's `all` gives an ArrayBuffer, its `get` a Buffer */
export function decodeSpots(bytes: Uint8Array | ArrayBuffer): Spot[] {
  const reader = new Reader(bytes instanceof Uint8Array ? bytes : new Uint8Array(bytes));
  const spots: Spot[] = [];
  let end = 0;
  let seq = 0;
  let t = 0;
  while (reader.more) {
    const offset = end + reader.unsigned();
    const length = reader.unsigned();
    const rows = reader.unsigned();
    const spot = { offset, length, rows, seq: reader.number(seq), t: reader.number(t) ?? 0 };
    spots.push(spot);
    end = offset + length;
    seq = spot.seq ?? seq;
    t = spot.t;
  }
  return spots;
}

/** Differences up to this are written as integers: zigzag and tag still fit into 2^53. */
const farthest = 2 ** 50;

function putUnsigned(out: number[], value: number): void {
  let rest = value;
  while (rest >= 128) {
    out.push((rest % 128) + 128);
    rest = Math.floor(rest / 128);
  }
  out.push(rest);
}

/** 0 = none; 1 = eight bytes of a double follow; else 2 + the difference, zigzag. */
function putNumber(out: number[], value: number | null, before: number): void {
  if (value === null) {
    putUnsigned(out, 0);
    return;
  }
  const difference = value - before;
  if (Number.isInteger(value) && Number.isInteger(difference) && Math.abs(difference) < farthest) {
    putUnsigned(out, 2 + (difference >= 0 ? 2 * difference : -2 * difference - 1));
    return;
  }
  putUnsigned(out, 1);
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  out.push(...bytes);
}

class Reader {
  private at = 0;

  constructor(private readonly bytes: Uint8Array) {}

  get more(): boolean {
    return this.at < this.bytes.length;
  }

  unsigned(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.bytes[this.at++] ?? 0;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  }

  number(before: number): number | null {
    const told = this.unsigned();
    if (told === 0) return null;
    if (told > 1) return before + ((told - 2) % 2 === 0 ? (told - 2) / 2 : -(told - 1) / 2);
    const view = new DataView(this.bytes.buffer, this.bytes.byteOffset + this.at, 8);
    this.at += 8;
    return view.getFloat64(0, true);
  }
}

/** A recording that was written to lately, with what is not in index.db yet. */
export interface Hot {
  /** Of its row. */
  id: number;
  take: Take;
  /** Of the open segment, since the last flush. */
  spots: Spot[];
  /** Keys of these; made when it is first asked for. */
  keys: Set<string> | null;
  dirty: boolean;
  /** Number of the last flush before it was used. */
  used: number;
}

const known = new WeakMap<TakeKey, string>();

/** No name has a slash in it. */
export function keyText(key: TakeKey): string {
  const text = known.get(key) ?? `${key.channel}/${key.stream}/${key.device}/${key.recording}`;
  known.set(key, text);
  return text;
}

/** What tells the message of a spot from others; see `messageKey`. */
export function spotKey({ seq, t }: Spot, named: boolean): string | null {
  if (seq === null) return null;
  return named ? String(seq) : `${seq}:${t}`;
}

export function spotOf(entry: Entry, { offset, length }: Place, named: boolean): Spot {
  const { seq, t } = entry.payload;
  const told = messageKey(entry, named) !== null;
  return {
    offset,
    length,
    rows: rowsOf(entry),
    seq: told && typeof seq === 'number' ? seq : null,
    t: typeof t === 'number' ? t : entry.at,
  };
}

/** Range of times and of numbers. */
export function rangesOf(spots: readonly Spot[]) {
  let minT = Number.POSITIVE_INFINITY;
  let maxT = Number.NEGATIVE_INFINITY;
  let minSeq: number | null = null;
  let maxSeq: number | null = null;
  for (const { t, seq } of spots) {
    if (t < minT) minT = t;
    if (t > maxT) maxT = t;
    if (seq === null) continue;
    if (minSeq === null || seq < minSeq) minSeq = seq;
    if (maxSeq === null || seq > maxSeq) maxSeq = seq;
  }
  return { minT, maxT, minSeq, maxSeq };
}
