import type { TakeKey } from '../entry.js';
import { emptyTake, type Take } from '../takes.js';
import { storedTotals } from './check.js';
import { type Hot, keyText } from './hot.js';
import { countsOf, type TakeRow, takeOf, takeSum } from './rows.js';
import { SegmentRows } from './segment-rows.js';
import { emptyStream, type StreamTotals } from './streams.js';

/** Recordings and streams that are in memory: those of late, and all that is not in index.db yet. */
export class IndexMemory extends SegmentRows {
  protected readonly hot = new Map<string, Hot>();
  protected readonly streams = new Map<string, { totals: StreamTotals; dirty: boolean; used: number }>();
  protected flushes = this.meta('flushes');

  protected hotOf(key: TakeKey, make: boolean): Hot | null {
    const text = keyText(key);
    const known = this.hot.get(text);
    if (known) {
      known.used = this.flushes;
      return known;
    }
    const { channel, stream, device, recording } = key;
    const where = 'channel = ? AND stream = ? AND device = ? AND recording = ?';
    const values = [channel, stream, device, recording];
    const row = this.sql.get<TakeRow>(`SELECT * FROM takes WHERE ${where}`, ...values);
    if (!row && !make) return null;
    const take = row ? takeOf(row) : emptyTake(key);
    const id = row?.id ?? this.newTake(take);
    const hot = { id, take, spots: [], keys: null, dirty: false, used: this.flushes };
    this.hot.set(text, hot);
    return hot;
  }

  private newTake(take: Take): number {
    const { channel, stream, device, recording } = take;
    const counts = countsOf(take);
    // The id is in the sum: it is given before the row is there.
    const row = this.sql.get<{ id: number }>('SELECT coalesce(max(id), 0) + 1 AS id FROM takes');
    const id = row?.id ?? 1;
    const sum = takeSum({ id, channel, stream, device, recording, counts });
    this.sql.run(
      'INSERT INTO takes (id, channel, stream, device, recording, counts, sum) VALUES (?, ?, ?, ?, ?, ?, ?)',
      ...[id, channel, stream, device, recording, counts, sum],
    );
    return id;
  }

  protected streamOf(name: string) {
    const known = this.streams.get(name);
    if (known) {
      known.used = this.flushes;
      return known;
    }
    const totals = storedTotals(this.sql, name) ?? emptyStream(name);
    const stream = { totals, dirty: false, used: this.flushes };
    this.streams.set(name, stream);
    return stream;
  }
}
