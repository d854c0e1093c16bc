import { randomInt } from 'node:crypto';
import { AiotError } from '../../../core/errors.js';
import type { TakeKey } from '../entry.js';
import { type DamagedRange, Tallies, type Tally } from '../lost.js';
import type { Position, SegmentFile } from '../segments.js';
import { type IndexDatabase, Statements } from './database.js';
import {
  type ChunkRow,
  chunkSum,
  decodeSpots,
  encodeSpots,
  IndexDamage,
  type Spot,
  sumOf,
  type TakeRow,
  takeOf,
  wholeChunk,
} from './rows.js';
import type { StreamTotals } from './totals.js';

export interface SegmentState extends SegmentFile {
  /** Its length; 0 while it is open. */
  bytes: number;
  /** Bytes of lines whose recordings were removed. */
  dead: number;
}

/** What index.db says of the journal's files, and what of it is dead. */
export class SegmentRows {
  protected readonly sql: Statements;
  protected readonly seen = new SeenKeys();
  /** A number of this instance alone. */
  private readonly self = randomInt(1, 2 ** 48 - 1);

  constructor(protected readonly database: IndexDatabase) {
    this.sql = new Statements(database);
  }

  /** index.db is this instance's from now on: one that had it before writes into it no more. */
  claim(): void {
    this.setMeta('owner', this.self);
  }

  /** @throws AIOT_PLATFORM_RUNNING where another one has claimed it since */
  protected requireOwn(): void {
    const owner = this.meta('owner');
    if (owner === 0 || owner === this.self) return;
    throw new AiotError('AIOT_PLATFORM_RUNNING', 'another process has opened this telemetry meanwhile');
  }

  /** Segments that are complete or have something dead in them. */
  segments(): SegmentState[] {
    const rows = this.sql.all<SegmentRow>('SELECT * FROM segments ORDER BY segment');
    return rows.map((row) => {
      const { segment, generation, checked, bytes, dead } = wholeSegment(row);
      return { segment, generation, checked: checked === 1, bytes, dead };
    });
  }

  /** The file of a segment that is there. */
  fileOf(segment: number): SegmentFile {
    const row = this.segment(segment);
    return { segment, generation: row?.generation ?? 0, checked: row?.checked !== 0 };
  }

  /** The segment that ends here gets no more lines. */
  seal({ segment, offset }: Position, { generation = 0, checked = true }: Partial<SegmentState> = {}): void {
    const before = this.segment(segment);
    const row = { segment, generation, checked: checked ? 1 : 0, dead: 0, ...before, bytes: offset };
    this.writeSegment(row);
  }

  /**
   * The segment was written anew: `moved` says where a line is now. Durable when this returns, for the old file goes then.
   */
  moveSegment(now: SegmentState, moved: (offset: number) => number): void {
    const takes = new Set<number>();
    // Synced, as no other commit is: an index that is older than this would look for a file that is gone.
    this.database.exec('PRAGMA synchronous=FULL');
    try {
      this.sql.transaction(() => {
        const rows = this.sql.all<ChunkRow>('SELECT * FROM chunks WHERE segment = ?', now.segment);
        for (const row of rows) {
          const { take, segment, part, spots } = wholeChunk(row);
          const there = decodeSpots(spots)
            .map((spot) => ({ ...spot, offset: moved(spot.offset) }))
            .filter(({ offset }) => offset >= 0);
          const next = { ...row, n: there.length, spots: encodeSpots(there) };
          this.sql.run(
            'UPDATE chunks SET spots = ?, n = ?, sum = ? WHERE take = ? AND segment = ? AND part = ?',
            ...[next.spots, next.n, chunkSum(next), take, segment, part],
          );
          takes.add(take);
        }
        this.writeSegment({ ...now, checked: 1, dead: 0 });
      });
    } finally {
      this.database.exec('PRAGMA synchronous=NORMAL');
    }
    for (const take of takes) this.seen.forget(take);
  }

  /** Spots of a segment whose recordings still exist, in no order. */
  livingSpots(segment: number): Spot[] {
    const rows = this.sql.all<ChunkRow>('SELECT * FROM chunks WHERE segment = ?', segment);
    return rows.flatMap((row) => decodeSpots(wholeChunk(row).spots));
  }

  /** Messages that index.db has in these parts of a segment, and the parts that it has nothing of. */
  within(segment: number, ranges: readonly DamagedRange[]): { tallies: Tally[]; unknown: DamagedRange[] } {
    const known = new Tallies();
    const met = new Set<DamagedRange>();
    const rows = this.sql.all<ChunkRow>('SELECT * FROM chunks WHERE segment = ?', segment);
    for (const row of rows) {
      const inIt = decodeSpots(wholeChunk(row).spots).flatMap((spot) => {
        const range = ranges.find(({ from, to }) => spot.offset < to && spot.offset + spot.length > from);
        if (range) met.add(range);
        return range ? [spot] : [];
      });
      if (inIt.length === 0) continue;
      const take = this.sql.get<TakeRow>('SELECT * FROM takes WHERE id = ?', row.take);
      if (!take) throw new IndexDamage(`the recording ${row.take} is missing`);
      for (const spot of inIt) known.add(tallyOf(takeOf(take), spot));
    }
    return { tallies: known.all(), unknown: ranges.filter((range) => !met.has(range)) };
  }

  /** Lines that were found damaged, since the index was made. */
  get damaged(): number {
    return this.meta('damaged');
  }

  addDamaged(lines: number): void {
    this.setMeta('damaged', this.damaged + lines);
  }

  close(): void {
    this.database.close();
  }

  /** A number that is kept with the index, 0 at first. */
  protected meta(key: string): number {
    return this.sql.get<{ value: number }>('SELECT value FROM meta WHERE key = ?', key)?.value ?? 0;
  }

  protected setMeta(key: string, value: number): void {
    const upsert = 'ON CONFLICT DO UPDATE SET value = excluded.value';
    this.sql.run(`INSERT INTO meta VALUES (?, ?) ${upsert}`, key, value);
  }

  protected erase(id: number): void {
    const rows = this.sql.all<ChunkRow>('SELECT * FROM chunks WHERE take = ?', id);
    for (const row of rows) {
      const { segment, spots } = wholeChunk(row);
      const dead = decodeSpots(spots).reduce((sum, { length }) => sum + length + 1, 0);
      const before = this.segment(segment) ?? { segment, generation: 0, checked: 1, bytes: 0, dead: 0 };
      this.writeSegment({ ...before, dead: before.dead + dead });
    }
    this.sql.run('DELETE FROM chunks WHERE take = ?', id);
    this.sql.run('DELETE FROM takes WHERE id = ?', id);
  }

  protected writeStream(totals: StreamTotals): void {
    const upsert = 'ON CONFLICT DO UPDATE SET totals = excluded.totals, sum = excluded.sum';
    const text = JSON.stringify(totals);
    const { name } = totals;
    this.sql.run(`INSERT INTO streams VALUES (?, ?, ?) ${upsert}`, name, text, sumOf(name, text));
  }

  private segment(segment: number): SegmentRow | null {
    const row = this.sql.get<SegmentRow>('SELECT * FROM segments WHERE segment = ?', segment);
    return row ? wholeSegment(row) : null;
  }

  private writeSegment({ segment, generation, checked, bytes, dead }: Omit<SegmentRow, 'sum'>): void {
    this.sql.run(
      'INSERT OR REPLACE INTO segments VALUES (?, ?, ?, ?, ?, ?)',
      ...[segment, generation, checked, bytes, dead, sumOf(segment, generation, checked, bytes, dead)],
    );
  }
}

export interface SegmentRow extends Omit<SegmentState, 'checked'> {
  checked: number;
  sum: number;
}

/** @throws IndexDamage */
export function wholeSegment(row: SegmentRow): SegmentRow {
  const { segment, generation, checked, bytes, dead, sum } = row;
  if (sumOf(segment, generation, checked, bytes, dead) === sum) return row;
  throw new IndexDamage(`the sum of segment ${segment} is wrong`);
}

export function tallyOf({ channel, stream, device }: TakeKey, { t, rows }: Spot): Tally {
  return { stream: channel === 'telemetry' ? stream : null, device, messages: 1, rows, from: t, to: t };
}

/** Keys of chunks that were looked into, so that a sender of many repeats does not have them read again and again. */
class SeenKeys {
  private readonly chunks = new Map<string, Set<string>>();
  private size = 0;

  /** Keys of this chunk. @param read says them when they are not known */
  in(take: number, chunk: string, read: () => string[]): Set<string> {
    const name = `${take}/${chunk}`;
    const known = this.chunks.get(name);
    if (known) return known;
    const keys = new Set(read());
    this.chunks.set(name, keys);
    this.size += keys.size;
    for (const [oldest, { size }] of this.chunks) {
      if (this.size <= mostKeys || oldest === name) break;
      this.chunks.delete(oldest);
      this.size -= size;
    }
    return keys;
  }

  /** Of a recording that was removed, or whose chunks were written anew. */
  forget(take: number): void {
    for (const [name, { size }] of this.chunks) {
      if (!name.startsWith(`${take}/`)) continue;
      this.chunks.delete(name);
      this.size -= size;
    }
  }
}

const mostKeys = 262_144;
