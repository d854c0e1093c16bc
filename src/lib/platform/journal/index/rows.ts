import type { TakeKey } from '../entry.js';
import { emptyTake, type Take } from '../takes.js';

export interface ChunkRow {
  take: number;
  segment: number;
  part: number;
  spots: Uint8Array | ArrayBuffer;
}

export interface TakeRow extends TakeKey {
  id: number;
  counts: string;
}

export function takeOf(row: TakeRow): Take {
  return { ...emptyTake(row), ...(JSON.parse(row.counts) as Partial<Take>) };
}

export function countsOf({ channel: _, stream: __, device: ___, recording: ____, ...counts }: Take): string {
  return JSON.stringify(counts);
}
