import { decodeSpots } from './chunk.js';
import type { Statements } from './database.js';
import type { Hot } from './hot.js';
import { type ChunkRow, IndexDamage, sumOf, type TakeRow, takeOf, wholeChunk } from './rows.js';
import { type SegmentRow, wholeSegment } from './segment-rows.js';
import type { StreamTotals } from './streams.js';

/** Looks at every row, a step at a time: sums, and whether counts of recordings and streams are those of what is there. @throws IndexDamage */
export function* checkedRows(sql: Statements): Generator<void> {
  const [segment, offset, flushes] = ['segment', 'offset', 'flushes'].map((key) => metaIn(sql, key));
  if (metaIn(sql, 'sum') !== (flushes ? sumOf(segment ?? 0, offset ?? 0, flushes) : 0))
    throw new IndexDamage('the sum of its position is wrong');
  for (const row of sql.all<SegmentRow>('SELECT * FROM segments')) wholeSegment(row);
  const messages = new Map<number, number>();
  for (let last: Partial<ChunkRow> = { take: -1, segment: -1, part: -1 }; ; ) {
    const rows = sql.all<ChunkRow>(
      'SELECT * FROM chunks WHERE (take, segment, part) > (?, ?, ?) ORDER BY take, segment, part LIMIT 1000',
      ...[last.take, last.segment, last.part],
    );
    for (const row of rows) {
      if (decodeSpots(wholeChunk(row).spots).length !== row.n)
        throw new IndexDamage('a chunk has lost messages');
      messages.set(row.take, (messages.get(row.take) ?? 0) + row.n);
    }
    const end = rows.at(-1);
    if (!end || rows.length < 1000) break;
    last = end;
    yield;
  }
  const streams = new Map<string, { recordings: number; messages: number }>();
  for (let last = 0; ; ) {
    const rows = sql.all<TakeRow>('SELECT * FROM takes WHERE id > ? ORDER BY id LIMIT 1000', last);
    for (const row of rows) {
      const take = takeOf(row);
      if (take.messages !== (messages.get(row.id) ?? 0))
        throw new IndexDamage(`the recording ${row.id} has lost messages`);
      messages.delete(row.id);
      if (take.channel !== 'telemetry' || take.messages + take.duplicates === 0) continue;
      const sum = streams.get(take.stream) ?? { recordings: 0, messages: 0 };
      streams.set(take.stream, { recordings: sum.recordings + 1, messages: sum.messages + take.messages });
    }
    const end = rows.at(-1);
    if (!end || rows.length < 1000) break;
    last = end.id;
    yield;
  }
  if (messages.size > 0) throw new IndexDamage('a recording is missing');
  for (const { name } of sql.all<{ name: string }>('SELECT name FROM streams')) {
    const totals = storedTotals(sql, name);
    const sum = streams.get(name) ?? { recordings: 0, messages: 0 };
    if (totals?.recordings !== sum.recordings || totals.messages !== sum.messages)
      throw new IndexDamage(`the counts of the stream ${name} are wrong`);
    streams.delete(name);
  }
  if (streams.size > 0) throw new IndexDamage('a stream is missing');
}

/** Whether SQLite itself finds its file in order. @throws IndexDamage */
export function requireSound(sql: Statements): void {
  const [row] = sql.all<{ quick_check: string }>('PRAGMA quick_check(1)');
  if (row?.quick_check !== 'ok') throw new IndexDamage(row?.quick_check ?? 'quick_check says nothing');
}

/** Whether all messages of a recording can be found. @throws IndexDamage */
export function requireWhole(sql: Statements, { id, take, spots }: Hot): void {
  const row = sql.get<{ n: number | null }>('SELECT sum(n) AS n FROM chunks WHERE take = ?', id);
  if ((row?.n ?? 0) + spots.length === take.messages) return;
  throw new IndexDamage(`the recording ${id} has lost messages`);
}

/** @throws IndexDamage */
export function storedTotals(sql: Statements, name: string): StreamTotals | null {
  const row = sql.get<{ totals: string; sum: number }>('SELECT * FROM streams WHERE name = ?', name);
  if (!row) return null;
  if (sumOf(name, row.totals) !== row.sum) throw new IndexDamage(`the sum of the stream ${name} is wrong`);
  return JSON.parse(row.totals) as StreamTotals;
}

function metaIn(sql: Statements, key: string): number {
  return sql.get<{ value: number }>('SELECT value FROM meta WHERE key = ?', key)?.value ?? 0;
}
