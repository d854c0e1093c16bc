import { type AiotError, hasCode } from '../../core/errors.js';
import type { TakeKey } from './entry.js';
import {
  addTo,
  columnsOf,
  lockedStreams,
  type MessageWriter,
  messageOf,
  namesOfStreams,
  type Prepared,
  pieces,
  removeTake,
  retried,
  type StoredMessage,
  type Tables,
  type TakeRow,
  type Transaction,
  takeOfRow,
  textOf,
  tooManyFields,
  valuesOf,
  writeCounts,
  writeLive,
} from './tables.js';
import { countFacts, type Facts, factsOf, fieldsOf, isNamed, takeKeyOf } from './takes.js';
import { type LiveRow, liveRowsOf, mostFields, newFieldsOf, type StreamTotals } from './totals.js';

/** Maximum number of cached recordings and streams. */
const mostRemembered = 20_000;
/** Time until stored messages are counted, ms. Readers of counts do not wait for it. */
const countAfterMs = 250;
/** Maximum number of batches counted in a transaction. */
const batchesTogether = 64;
/** Key of the lock for counting, the same in all processes. */
const countingLock = 0x636f756e;

/** The order of `textOf`, in which all writers lock recordings. */
const inOrder = `"channel" || '/' || "stream" || '/' || "device" || '/' || "recording"`;

/** A recording whose row this process knows. */
interface Known {
  id: number;
  named: boolean;
}

/** A batch's additions to the counts, as a row of `telemetryUncounted` stores them. */
interface Uncounted {
  /** By recording: id, number of duplicates, stored messages. */
  takes: [id: number, duplicates: number, messages: FactsRow[]][];
  live: [model: string, kind: LiveRow['kind'], name: string, answer: string, n: number][];
}

type FactsRow = [
  ...[at: number, t: number | null, seq: number | null],
  ...[rate: number | null, samples: number, bytes: number],
];

/**
 * Stores messages beside other replicas. All of them store messages of the same streams and devices. If each updated these rows in its
 * transaction, only one could write at a time. Instead, a batch adds one row of its own. One replica at a time adds such rows to the counts.
 * A reader of counts first adds those that were committed before.
 */
export class SharedWriter implements MessageWriter {
  private readonly takes = new Map<string, Known>();
  /** Known fields of streams. A stream's fields never become fewer. */
  private readonly fields = new Map<string, Set<string>>();
  private counting: Promise<unknown> = Promise.resolve();
  /** The next counting, for which readers wait. */
  private awaited: Promise<void> | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private closed = false;

  /** @param failed called with an error that keeps stored messages from being counted */
  constructor(
    private readonly tables: Tables,
    private readonly failed: (error: unknown) => void = () => {},
  ) {}

  forget(): void {
    this.takes.clear();
    this.fields.clear();
  }

  async store(sql: Transaction, batch: readonly Prepared[]): Promise<Map<number, AiotError>> {
    if (this.takes.size + this.fields.size > mostRemembered) this.forget();
    const refused = await this.addFields(sql, batch);
    const takes = await this.takesOf(sql, batch);
    const messages: StoredMessage[] = [];
    for (const [i, prepared] of batch.entries())
      if (!prepared.entry.repeat && !refused.has(i)) messages.push(messageOf(prepared, takes[i] as Known));
    const fresh = await sql.insert(messages);
    const counts = new Map<number, Uncounted['takes'][number]>();
    const live: LiveRow[] = [];
    let next = 0;
    for (const [i, { entry, json, repeats = 1 }] of batch.entries()) {
      if (refused.has(i)) continue;
      const { id } = takes[i] as Known;
      const count = counts.get(id) ?? [id, 0, []];
      counts.set(id, count);
      if (!entry.repeat && fresh[next++]) {
        const { at, t, seq, rate, samples, bytes } = factsOf(entry, json.length);
        count[2].push([at, t, seq, rate, samples, bytes]);
        if (entry.channel === 'inference') live.push(...liveRowsOf(entry));
      } else count[1] += repeats;
    }
    if (counts.size > 0) {
      const row: Uncounted = {
        takes: [...counts.values()],
        live: live.map(({ model, kind, name, answer, n }) => [model, kind, name, answer, n]),
      };
      await sql.rows('INSERT INTO "telemetryUncounted" ("counts") VALUES ($1)', [JSON.stringify(row)]);
    }
    return refused;
  }

  async remove(sql: Transaction, key: TakeKey): Promise<void> {
    this.forget();
    await removeTake(sql, this.tables, key);
  }

  stored(): void {
    if (this.closed || this.timer) return;
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.counting = this.counting
        .then(() => this.countUpTo('try'))
        .then((isCounted) => isCounted || this.stored())
        .catch((error: unknown) => {
          this.failed(error);
          this.stored();
        });
    }, countAfterMs);
    this.timer.unref();
  }

  /** Readers that arrive before the counting begins share it. */
  async counted(): Promise<void> {
    this.awaited ??= this.counting.then(async () => {
      this.awaited = undefined;
      await this.countUpTo('wait');
    });
    this.counting = this.awaited.catch(() => {});
    await this.awaited;
  }

  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.timer);
    await this.counting;
    // Other replicas, or the next start, count what remains.
    await this.countUpTo('try').catch(() => {});
  }

  /**
   * Adds new fields to streams. Only a batch with new fields locks the rows of their streams, before the rows of recordings, as everywhere.
   * @returns the indexes of entries with too many fields
   */
  private async addFields(sql: Transaction, batch: readonly Prepared[]): Promise<Map<number, AiotError>> {
    const refused = new Map<number, AiotError>();
    const unknown = [...namesOfStreams(batch)].filter((name) => !this.fields.has(name));
    for (const some of pieces(unknown, this.tables.together)) {
      const rows = await sql.rows<{ totals: string }>(
        `SELECT "totals" FROM "telemetryStreams" WHERE "name" = ANY($1)`,
        [some],
      );
      for (const { totals } of rows) {
        const { name, fields } = JSON.parse(totals) as StreamTotals;
        this.fields.set(name, new Set(fields));
      }
    }
    const growing = new Set<string>();
    for (const { entry } of batch) {
      if (entry.channel !== 'telemetry' || entry.repeat) continue;
      const known = this.fields.get(entry.stream ?? '');
      if (!known || fieldsOf(entry.payload).some(([name]) => !known.has(name)))
        growing.add(entry.stream ?? '');
    }
    if (growing.size === 0) return refused;
    const streams = new Map(
      (await lockedStreams(sql, this.tables, [...growing])).map((totals) => [totals.name, totals]),
    );
    for (const [i, { entry }] of batch.entries()) {
      const totals = entry.channel === 'telemetry' ? streams.get(entry.stream ?? '') : undefined;
      if (!totals || entry.repeat) continue;
      const fresh = newFieldsOf(totals, entry);
      if (totals.fields.length + fresh.length > mostFields) refused.set(i, tooManyFields(entry));
      else totals.fields.push(...fresh);
    }
    await writeCounts(sql, this.tables, { streams: [...streams.values()], takes: [] });
    for (const { name, fields } of streams.values()) this.fields.set(name, new Set(fields));
    return refused;
  }

  /**
   * Each message's recording. None of them can be removed until the transaction ends. Several replicas may hold this lock at the same time,
   * unless a batch begins a recording. All writers, also those of earlier versions, lock recordings in the same order.
   */
  private async takesOf(sql: Transaction, batch: readonly Prepared[]): Promise<Known[]> {
    const keys = batch.map(({ entry }) => takeKeyOf(entry));
    const texts = keys.map(textOf);
    const wanted = [...new Map(texts.map((text, i) => [text, keys[i] as TakeKey]))];
    wanted.sort(([a], [b]) => (a < b ? -1 : 1));
    // The cache may be cleared meanwhile.
    const found = new Map<string, Known>();
    const keep = (rows: readonly TakeRow[]) => {
      for (const row of rows) found.set(textOf(row), { id: Number(row.id), named: isNamed(row) });
    };
    for (const [text] of wanted) {
      const known = this.takes.get(text);
      if (known) found.set(text, known);
    }
    const missing = wanted.filter(([text]) => !found.has(text));
    for (const some of pieces(missing, this.tables.together)) keep(await this.existing(sql, some));
    const ids = wanted.flatMap(([text]) => found.get(text)?.id ?? []);
    if (ids.length < wanted.length || !(await this.locked(sql, ids))) {
      for (const some of pieces(wanted, this.tables.together)) {
        keep(
          await sql.rows<TakeRow>(
            `INSERT INTO "telemetryTakes" ("channel", "stream", "device", "recording", "counts")
             VALUES ${valuesOf(some.length, 5)} ON CONFLICT ("channel", "stream", "device", "recording")
             DO UPDATE SET "device" = excluded."device" RETURNING ${columnsOf(this.tables)}`,
            some.flatMap(([, { channel, stream, device, recording }]) => [
              ...[channel, stream, device, recording],
              '{}',
            ]),
          ),
        );
      }
    }
    for (const [text, known] of found) this.takes.set(text, known);
    return texts.map((text) => found.get(text) as Known);
  }

  private existing(sql: Transaction, wanted: readonly [text: string, key: TakeKey][]): Promise<TakeRow[]> {
    const column = (name: keyof TakeKey) => wanted.map(([, key]) => key[name]);
    return sql.rows<TakeRow>(
      `SELECT ${columnsOf(this.tables)} FROM "telemetryTakes" WHERE ("channel", "stream", "device", "recording") IN
       (SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]))`,
      [column('channel'), column('stream'), column('device'), column('recording')],
    );
  }

  /** Locks known recordings. @returns false if one of them has been removed */
  private async locked(sql: Transaction, ids: readonly number[]): Promise<boolean> {
    const rows = await sql.rows(
      `SELECT "id" FROM "telemetryTakes" WHERE "id" = ANY($1) ORDER BY ${inOrder} FOR KEY SHARE`,
      [ids],
    );
    return rows.length === ids.length;
  }

  /** Counts everything committed before the call. @returns false if another replica is counting, and `how` is not to wait */
  private async countUpTo(how: 'wait' | 'try'): Promise<boolean> {
    const [row] = await this.tables.rows<{ newest: string | null }>(
      'SELECT max("id") AS "newest" FROM "telemetryUncounted" WHERE NOT "broken"',
      [],
    );
    if (row?.newest == null) return true;
    for (let counted = batchesTogether; counted === batchesTogether; ) {
      const some = await retried(() =>
        this.tables.transaction((sql) => this.count(sql, Number(row.newest), how)),
      );
      if (some === null) return false;
      counted = some;
    }
    return true;
  }

  /** Adds stored batches to the counts, in the order in which they began. @returns the number of batches; null = another replica is counting */
  private async count(sql: Transaction, newest: number, how: 'wait' | 'try'): Promise<number | null> {
    if (how === 'wait') await sql.rows('SELECT pg_advisory_xact_lock($1)', [countingLock]);
    else {
      const [{ free } = { free: false }] = await sql.rows<{ free: boolean }>(
        'SELECT pg_try_advisory_xact_lock($1) AS "free"',
        [countingLock],
      );
      if (!free) return null;
    }
    const batches = await sql.rows<{ id: string; counts: string }>(
      `SELECT "id", "counts" FROM "telemetryUncounted" WHERE "id" <= $1 AND NOT "broken"
       ORDER BY "id" LIMIT ${batchesTogether}`,
      [newest],
    );
    if (batches.length === 0) return 0;
    await sql.rows('SAVEPOINT counting', []);
    try {
      await this.add(sql, batches);
    } catch (error) {
      if (isTransient(error)) throw error;
      await this.addEach(sql, batches);
    }
    return batches.length;
  }

  /** Adds batches one by one. One that cannot be added is set aside, so that it does not keep others from being counted. */
  private async addEach(sql: Transaction, batches: readonly { id: string; counts: string }[]): Promise<void> {
    await sql.rows('ROLLBACK TO SAVEPOINT counting', []);
    for (const batch of batches) {
      await sql.rows('SAVEPOINT counting', []);
      try {
        await this.add(sql, [batch]);
      } catch (error) {
        if (isTransient(error)) throw error;
        await sql.rows('ROLLBACK TO SAVEPOINT counting', []);
        await sql.rows('UPDATE "telemetryUncounted" SET "broken" = true WHERE "id" = $1', [batch.id]);
        this.failed(error);
      }
    }
  }

  /** Adds batches to rows, which are locked in the order of all writers: streams before recordings, both sorted. */
  private async add(
    sql: Transaction,
    rowsOfBatches: readonly { id: string; counts: string }[],
  ): Promise<void> {
    const batches = rowsOfBatches.map(({ counts }) => JSON.parse(counts) as Uncounted);
    const ids = [...new Set(batches.flatMap(({ takes }) => takes.map(([id]) => id)))];
    const columns = columnsOf(this.tables);
    const select = `SELECT ${columns} FROM "telemetryTakes" WHERE "id" = ANY($1)`;
    const known = await sql.rows<TakeRow>(select, [ids]);
    const names = new Set(known.flatMap(({ channel, stream }) => (channel === 'telemetry' ? stream : [])));
    const streams = new Map(
      (await lockedStreams(sql, this.tables, [...names])).map((totals) => [totals.name, totals]),
    );
    // A removed recording has no row, and its messages are no longer counted.
    const rows = await sql.rows<TakeRow>(`${select} ORDER BY ${inOrder} FOR NO KEY UPDATE`, [ids]);
    const takes = new Map(rows.map((row) => [Number(row.id), { id: Number(row.id), take: takeOfRow(row) }]));
    for (const [id, duplicates, messages] of batches.flatMap((batch) => batch.takes)) {
      const take = takes.get(id)?.take;
      if (!take) continue;
      const before = { ...take };
      take.duplicates += duplicates;
      for (const [at, t, seq, rate, samples, bytes] of messages)
        countFacts(take, { at, t, seq, rate, samples, bytes } satisfies Facts);
      const totals = take.channel === 'telemetry' ? streams.get(take.stream) : undefined;
      if (totals) addTo(totals, before, take);
    }
    await writeCounts(sql, this.tables, { streams: [...streams.values()], takes: [...takes.values()] });
    await writeLive(
      sql,
      this.tables,
      batches.flatMap(({ live }) =>
        live.map(([model, kind, name, answer, n]) => ({ model, kind, name, answer, n })),
      ),
    );
    await sql.rows('DELETE FROM "telemetryUncounted" WHERE "id" = ANY($1)', [
      rowsOfBatches.map(({ id }) => id),
    ]);
  }
}

/** Whether the same transaction may succeed later. */
function isTransient(error: unknown): boolean {
  return hasCode(error, 'AIOT_DATABASE_UNREACHABLE');
}
