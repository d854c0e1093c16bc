import { AiotError } from '../../../core/errors.js';
import type { LiveCounts } from '../../../fleet/live.js';
import { storageError } from '../../errors.js';
import { type Entry, isEntry, type JournalRecord, type Place, type TakeKey } from '../entry.js';
import { type DamagedRange, Tallies } from '../lost.js';
import type { Position } from '../segments.js';
import { countEntry, emptyTake, isNamed, messageKey, type Take, takeKeyOf } from '../takes.js';
import type { Statements } from './database.js';
import {
  type ChunkRow,
  chunkSum,
  countsOf,
  decodeSpots,
  encodeSpots,
  type Hot,
  IndexDamage,
  keyText,
  rangesOf,
  type Spot,
  spotKey,
  spotOf,
  sumOf,
  type TakeRow,
  takeOf,
  takeSum,
  wholeChunk,
} from './rows.js';
import { type SegmentRow, SegmentRows, tallyOf, wholeSegment } from './segment-rows.js';
import {
  countLive,
  emptyStream,
  type LiveRow,
  liveCountsOf,
  newFieldsOf,
  predictedOf,
  type StreamTotals,
  withoutTake,
} from './totals.js';

/** Messages that are kept in memory before they are written into index.db. */
const flushAfter = 65_536;

/** Recordings and streams that are kept in memory between two flushes, when they were not written to. */
const mostIdle = 4096;

/** Spots of one recording in one segment, in the order in which they came. */
interface SegmentSpots {
  segment: number;
  spots: Spot[];
}

/** Recordings and streams that are in memory: those of late, and all that is not in index.db yet. */
class IndexMemory extends SegmentRows {
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

/**
 * Where each recording's messages lie, by stream, device and time, and what is counted of them: a function of the journal.
 * index.db has all but what came since the last flush; memory has that and the recordings of late, whatever the journal
 * holds. A flush is one transaction and says up to where the journal is in it.
 */
export class JournalIndex extends IndexMemory {
  private readonly live = new Map<string, LiveRow>();
  private pending = 0;
  /** Removals that are in the journal and could not be carried out yet. */
  private readonly owed: TakeKey[] = [];

  /** Rises with each flush. */
  get written(): number {
    return this.flushes;
  }

  /** Up to where the journal is in index.db. */
  get position(): Position {
    return { segment: this.meta('segment') || 1, offset: this.meta('offset') };
  }

  /** Whether so much waits that a flush is due; far too much: that flushes fail. */
  get due(): 'no' | 'yes' | 'overdue' {
    if (this.owed.length > 0) return 'overdue';
    return this.pending < flushAfter ? 'no' : this.pending < 8 * flushAfter ? 'yes' : 'overdue';
  }

  /** Whether the message is stored already. Makes the row of its recording: where that cannot be, nothing is written. */
  has(entry: Entry): boolean {
    const { take, hot, key } = this.find(entry);
    if (key === null || take.numbered === 0) return false;
    const named = isNamed(take);
    const { seq, t } = entry.payload as { seq: number; t: number };
    if (named && (seq > (take.maxSeq ?? -1) || seq < (take.minSeq ?? 0))) return false;
    if (!named && (t > (take.endedAt ?? t) || t < (take.startedAt ?? t))) return false;
    if (named && take.numbered === (take.maxSeq ?? 0) - (take.minSeq ?? 0) + 1) return true;
    hot.keys ??= new Set(hot.spots.map((spot) => spotKey(spot, named) ?? ''));
    return hot.keys.has(key) || this.inChunks(hot.id, named, named ? seq : t, key);
  }

  /** Fields that the stream would have with this message. */
  fieldsWith(entry: Entry): number {
    const { totals } = this.streamOf(entry.stream ?? '');
    return totals.fields.length + newFieldsOf(totals, entry).length;
  }

  /** Takes note of records that are durable. */
  apply(records: readonly { record: JournalRecord; place: Place }[]): void {
    for (const { record, place } of records) {
      if (isEntry(record)) this.add(record, place);
      else {
        this.owed.push(record.removed);
        this.flushOwed({ segment: place.segment, offset: place.offset + place.length + 1 });
      }
    }
  }

  /**
   * Writes what is in memory only, and carries out removals: all before `position` is in the index then.
   * @throws AIOT_PLATFORM_RUNNING where another one has claimed index.db, which has read the journal then
   */
  flush(position: Position): void {
    const gone = this.owed.map((key) => ({ key, hot: this.hotOf(key, false) }));
    const changed = new Map<string, StreamTotals>();
    for (const { key, hot } of gone) {
      if (!hot || key.channel !== 'telemetry') continue;
      const { totals } = this.streamOf(key.stream);
      changed.set(key.stream, withoutTake(changed.get(key.stream) ?? totals, hot.take));
    }
    this.sql.transaction(() => {
      this.requireOwn();
      this.write(position);
      for (const { hot } of gone) if (hot) this.erase(hot.id);
      for (const totals of changed.values()) this.writeStream(totals);
    });
    this.owed.length = 0;
    this.settle();
    for (const [name, totals] of changed) Object.assign(this.streamOf(name).totals, totals);
    for (const { key, hot } of gone) {
      this.hot.delete(keyText(key));
      if (hot) this.seen.forget(hot.id);
    }
  }

  private write(position: Position): void {
    const part = this.flushes + 1;
    for (const hot of this.hot.values()) if (hot.dirty) this.writeTake(hot, position.segment, part);
    for (const { totals, dirty } of this.streams.values()) {
      if (dirty) this.writeStream(totals);
    }
    for (const { model, kind, name, answer, n } of this.live.values()) {
      const upsert = 'ON CONFLICT DO UPDATE SET n = n + excluded.n';
      this.sql.run(`INSERT INTO live VALUES (?, ?, ?, ?, ?) ${upsert}`, model, kind, name, answer, n);
    }
    this.setMeta('segment', position.segment);
    this.setMeta('offset', position.offset);
    this.setMeta('flushes', part);
    this.setMeta('sum', sumOf(position.segment, position.offset, part));
  }

  /** Whether SQLite finds its file in order. @throws IndexDamage */
  quickCheck(): void {
    requireSound(this.sql);
  }

  /** As `checkedRows`: nothing may be flushed between two steps unless the check is begun anew. */
  check(): Generator<void> {
    return checkedRows(this.sql);
  }

  /** As `within`, with what is not in index.db yet. */
  lostIn(segment: number, ranges: readonly DamagedRange[]) {
    const { tallies, unknown } = this.within(segment, ranges);
    const all = new Tallies(tallies);
    const met = new Set<DamagedRange>();
    // What waits is of the open segment alone.
    const open = this.position.segment === segment || this.segments().every((row) => row.segment !== segment);
    for (const { take, spots } of open ? this.hot.values() : []) {
      for (const spot of spots) {
        const range = ranges.find(({ from, to }) => spot.offset < to && spot.offset + spot.length > from);
        if (!range) continue;
        met.add(range);
        all.add(tallyOf(take, spot));
      }
    }
    return { tallies: all.all(), unknown: unknown.filter((range) => !met.has(range)) };
  }

  /** The recording, null when there is none. */
  take(key: TakeKey): Take | null {
    const { take } = this.hotOf(key, false) ?? {};
    return take && isThere(take) ? { ...take } : null;
  }

  /** Recordings of a channel's stream behind one of them, by device and name. */
  takes(
    of: { channel: string; stream: string; device?: string },
    after: [device: string, recording: string],
    limit: number,
  ): Take[] {
    const where = of.device === undefined ? '' : 'AND device = ?';
    const values = [of.channel, of.stream, ...(of.device === undefined ? [] : [of.device])];
    const found: Take[] = [];
    for (let behind = after; found.length < limit; ) {
      const rows = this.sql.all<TakeRow>(
        `SELECT * FROM takes WHERE channel = ? AND stream = ? ${where} AND (device, recording) > (?, ?)
         ORDER BY device, recording LIMIT ?`,
        ...[...values, ...behind, limit],
      );
      const takes = rows.map((row) => this.hot.get(keyText(row))?.take ?? takeOf(row));
      for (const take of takes.filter(isThere)) if (found.length < limit) found.push({ ...take });
      const last = rows.at(-1);
      if (!last || rows.length < limit) break;
      behind = [last.device, last.recording];
    }
    return found;
  }

  stream(name: string): StreamTotals | null {
    const { totals } = this.streamOf(name);
    return totals.recordings > 0 ? { ...totals, fields: [...totals.fields] } : null;
  }

  /** Streams behind this one, by name. */
  streamsAfter(after: string, limit: number): StreamTotals[] {
    const known = this.sql.all<{ name: string }>('SELECT name FROM streams WHERE name > ?', after);
    const names = new Set([...known.map(({ name }) => name), ...this.streams.keys()]);
    return [...names]
      .filter((name) => name > after)
      .sort()
      .map((name) => this.stream(name))
      .filter((totals) => totals !== null)
      .slice(0, limit);
  }

  liveOf(model: string): LiveCounts {
    const rows = this.sql.all<LiveRow>('SELECT * FROM live WHERE model = ?', model);
    return liveCountsOf([...rows, ...[...this.live.values()].filter((row) => row.model === model)]);
  }

  /** Which of `device/recording` any model's answers were counted for. */
  predicted(recordings: readonly string[]): Set<string> {
    return predictedOf(this.sql, this.live.values(), recordings);
  }

  /** Spots of a recording in the first segment behind `after` that has any; only chunks that reach into the time. */
  spots(key: TakeKey, after: number, from: number, to: number, open: number): SegmentSpots | null {
    const hot = this.hotOf(key, false);
    if (!hot) return null;
    if (after === 0) requireWhole(this.sql, hot);
    const found = this.sql.get<{ segment: number }>(
      'SELECT segment FROM chunks WHERE take = ? AND segment > ? AND maxT >= ? AND minT <= ? ORDER BY segment LIMIT 1',
      ...[hot.id, after, from, to],
    );
    const waits = hot.spots.length > 0 && open > after;
    if (!found && !waits) return null;
    const segment = found?.segment ?? open;
    const rows = this.sql.all<ChunkRow>(
      'SELECT * FROM chunks WHERE take = ? AND segment = ? AND maxT >= ? AND minT <= ? ORDER BY part',
      ...[hot.id, segment, from, to],
    );
    const spots = rows.flatMap((row) => decodeSpots(wholeChunk(row).spots));
    const all = segment === open ? spots.concat(hot.spots) : spots;
    return { segment, spots: all.filter(({ t }) => t >= from && t <= to) };
  }

  private add(entry: Entry, place: Place): void {
    const key = takeKeyOf(entry);
    const hot = this.hotOf(key, true) as Hot;
    const { take } = hot;
    hot.dirty = true;
    this.pending++;
    const { messages, samples, bytes, duplicates } = take;
    countEntry(take, entry, place.length + 1);
    if (!entry.repeat) {
      const named = isNamed(take);
      const spot = spotOf(entry, place, named);
      hot.spots.push(spot);
      const told = hot.keys && spotKey(spot, named);
      if (told) hot.keys?.add(told);
    }
    if (entry.channel === 'telemetry')
      this.addToStream(entry, { messages, samples, bytes, duplicates }, take);
    countLive(this.live, entry);
  }

  private addToStream(
    entry: Entry,
    before: Pick<Take, 'messages' | 'samples' | 'bytes' | 'duplicates'>,
    take: Take,
  ): void {
    const stream = this.streamOf(entry.stream ?? '');
    const { totals } = stream;
    stream.dirty = true;
    for (const name of newFieldsOf(totals, entry)) totals.fields.push(name);
    if (before.messages + before.duplicates === 0) totals.recordings++;
    totals.messages += take.messages - before.messages;
    totals.samples += take.samples - before.samples;
    totals.bytes += take.bytes - before.bytes;
    totals.duplicates += take.duplicates - before.duplicates;
  }

  /** The record is in the journal: where the disk is full now, it is carried out later, and nothing is taken until then. */
  private flushOwed(position: Position): void {
    try {
      this.flush(position);
    } catch (error) {
      if (!(storageError(error) instanceof AiotError)) throw error;
    }
  }

  private find(entry: Entry) {
    const hot = this.hotOf(takeKeyOf(entry), true) as Hot;
    return { hot, take: hot.take, key: messageKey(entry, isNamed(hot.take)) };
  }

  private inChunks(id: number, named: boolean, value: number, key: string): boolean {
    const [min, max] = named ? ['minSeq', 'maxSeq'] : ['minT', 'maxT'];
    const rows = this.sql.all<Pick<ChunkRow, 'segment' | 'part'>>(
      `SELECT segment, part FROM chunks WHERE take = ? AND ${min} <= ? AND ${max} >= ?`,
      ...[id, value, value],
    );
    return rows.some(({ segment, part }) => {
      const read = () => {
        const row = this.sql.get<ChunkRow>(
          'SELECT * FROM chunks WHERE take = ? AND segment = ? AND part = ?',
          ...[id, segment, part],
        );
        const spots = row ? wholeChunk(row).spots : new ArrayBuffer(0);
        return decodeSpots(spots).map((spot) => spotKey(spot, named) ?? '');
      };
      return this.seen.in(id, `${segment}/${part}`, read).has(key);
    });
  }

  private writeTake({ id, take, spots }: Hot, segment: number, part: number): void {
    const counts = countsOf(take);
    this.sql.run(
      'UPDATE takes SET counts = ?, sum = ? WHERE id = ?',
      counts,
      takeSum({ ...take, id, counts }),
      id,
    );
    if (spots.length === 0) return;
    const row = { take: id, segment, part, ...rangesOf(spots), n: spots.length, spots: encodeSpots(spots) };
    const { minT, maxT, minSeq, maxSeq, n } = row;
    this.sql.run(
      'INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
      ...[id, segment, part, minT, maxT, minSeq, maxSeq, n, chunkSum(row), row.spots],
    );
  }

  /** After a flush: nothing waits, and what was not used since the one before gives way. */
  private settle(): void {
    this.flushes++;
    this.pending = 0;
    this.live.clear();
    for (const [text, hot] of this.hot) {
      Object.assign(hot, { spots: [], keys: null, dirty: false });
      if (this.hot.size > mostIdle && hot.used < this.flushes - 1) this.hot.delete(text);
    }
    for (const [name, stream] of this.streams) {
      stream.dirty = false;
      if (this.streams.size > mostIdle && stream.used < this.flushes - 1) this.streams.delete(name);
    }
  }
}

/** A row is made before the first message is written: until then there is no recording. */
function isThere({ messages, duplicates }: Take): boolean {
  return messages + duplicates > 0;
}

/** Looks at every row, a step at a time: sums, and whether counts of recordings and streams are those of what is there. @throws IndexDamage */
function* checkedRows(sql: Statements): Generator<void> {
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
function requireSound(sql: Statements): void {
  const [row] = sql.all<{ quick_check: string }>('PRAGMA quick_check(1)');
  if (row?.quick_check !== 'ok') throw new IndexDamage(row?.quick_check ?? 'quick_check says nothing');
}

/** Whether all messages of a recording can be found. @throws IndexDamage */
function requireWhole(sql: Statements, { id, take, spots }: Hot): void {
  const row = sql.get<{ n: number | null }>('SELECT sum(n) AS n FROM chunks WHERE take = ?', id);
  if ((row?.n ?? 0) + spots.length === take.messages) return;
  throw new IndexDamage(`the recording ${id} has lost messages`);
}

/** @throws IndexDamage */
function storedTotals(sql: Statements, name: string): StreamTotals | null {
  const row = sql.get<{ totals: string; sum: number }>('SELECT * FROM streams WHERE name = ?', name);
  if (!row) return null;
  if (sumOf(name, row.totals) !== row.sum) throw new IndexDamage(`the sum of the stream ${name} is wrong`);
  return JSON.parse(row.totals) as StreamTotals;
}

function metaIn(sql: Statements, key: string): number {
  return sql.get<{ value: number }>('SELECT value FROM meta WHERE key = ?', key)?.value ?? 0;
}
