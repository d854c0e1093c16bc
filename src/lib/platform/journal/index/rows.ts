import { crc32 } from 'node:zlib';
import { systemCode } from '../../../core/index.js';
import type { TakeKey } from '../entry.js';
import { emptyTake, type Take } from '../takes.js';

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
