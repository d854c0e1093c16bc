import type { Entry, Place, TakeKey } from '../entry.js';
import { rowsOf } from '../lost.js';
import { messageKey, type Take } from '../takes.js';
import type { Spot } from './chunk.js';

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
