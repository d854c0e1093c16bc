import type { PostgresPoolClient } from 'kysely';
import { AiotError } from '../../../core/index.js';
import type { Entry, TakeKey } from '../entry.js';
import { type LiveRow, liveRowsOf } from '../index/live.js';
import { emptyStream, mostFields, newFieldsOf, type StreamTotals } from '../index/streams.js';
import { countEntry, emptyTake, isNamed, messageKey, type Take, takeKeyOf } from '../takes.js';
import { inTransaction } from './tables.js';

/** An entry and the JSON that is stored of it. */
export interface Prepared {
  entry: Entry;
  json: string;
}

interface Row {
  id: number;
  take: Take;
}

/**
 * Stores entries in one transaction; says which were refused, by their place. Rows of streams and recordings are locked in
 * the order of their names, so that replicas wait for one another and never in a circle.
 */
export async function commitEntries(
  client: PostgresPoolClient,
  batch: readonly Prepared[],
): Promise<Map<number, AiotError>> {
  const refused = new Map<number, AiotError>();
  await inTransaction(client, async () => {
    const streams = await lockStreams(client, batch);
    const keys = batch.map(({ entry }) => takeKeyOf(entry));
    const takes = await lockTakes(client, keys);
    const messages = batch.map(({ entry, json }, i) => {
      const key = keys[i] as TakeKey;
      const row = takes.get(textOf(key)) as Row;
      const told = messageKey(entry, isNamed(key));
      const { seq, t } = entry.payload;
      return {
        ...{ entry, json, row, told },
        seq: typeof seq === 'number' && told !== null ? seq : -1,
        t: typeof t === 'number' ? t : entry.at,
      };
    });
    for (const [i, { entry }] of batch.entries()) {
      const totals = entry.channel === 'telemetry' ? streams.get(entry.stream ?? '') : undefined;
      if (!totals) continue;
      const fresh = newFieldsOf(totals, entry);
      if (totals.fields.length + fresh.length > mostFields) refused.set(i, tooManyFields(entry));
      else totals.fields.push(...fresh);
    }
    const taken = messages.filter((_, i) => !refused.has(i));
    const stored = await insertMessages(client, taken);
    const live: LiveRow[] = [];
    for (const { entry, json, row, told } of taken) {
      const isNew = told === null || stored.delete(`${row.id}/${told}`);
      const counted: Entry = isNew ? entry : { ...entry, repeat: true };
      const before = { ...row.take };
      countEntry(row.take, counted, json.length);
      const totals = entry.channel === 'telemetry' ? streams.get(entry.stream ?? '') : undefined;
      if (totals) addTo(totals, before, row.take);
      live.push(...liveRowsOf(counted));
    }
    await writeCounts(client, streams, takes);
    await writeLive(client, live);
  });
  return refused;
}

function addTo(totals: StreamTotals, before: Take, take: Take): void {
  if (before.messages + before.duplicates === 0) totals.recordings++;
  totals.messages += take.messages - before.messages;
  totals.samples += take.samples - before.samples;
  totals.bytes += take.bytes - before.bytes;
  totals.duplicates += take.duplicates - before.duplicates;
}

async function lockStreams(client: PostgresPoolClient, batch: readonly Prepared[]) {
  const telemetry = batch.filter(({ entry }) => entry.channel === 'telemetry');
  const names = [...new Set(telemetry.map(({ entry }) => entry.stream ?? ''))].sort();
  const { rows } = await client.query<{ name: string; totals: string }>(
    `INSERT INTO "telemetryStreams" SELECT n, t FROM unnest($1::text[], $2::text[]) AS x (n, t) ORDER BY n COLLATE "C"
     ON CONFLICT ("name") DO UPDATE SET "name" = excluded."name" RETURNING "name", "totals"`,
    [names, names.map((name) => JSON.stringify(emptyStream(name)))],
  );
  return new Map(rows.map(({ name, totals }) => [name, JSON.parse(totals) as StreamTotals]));
}

async function lockTakes(client: PostgresPoolClient, keys: readonly TakeKey[]): Promise<Map<string, Row>> {
  const distinct = [...new Map(keys.map((key) => [textOf(key), key])).entries()];
  distinct.sort(([a], [b]) => (a < b ? -1 : 1));
  const column = (name: keyof TakeKey) => distinct.map(([, key]) => key[name]);
  const { rows } = await client.query<TakeKey & { id: number; counts: string }>(
    `INSERT INTO "telemetryTakes" ("channel", "stream", "device", "recording", "counts")
     SELECT c, s, d, r, '{}' FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS x (c, s, d, r, o)
     ORDER BY o ON CONFLICT ("channel", "stream", "device", "recording") DO UPDATE SET "device" = excluded."device"
     RETURNING *`,
    [column('channel'), column('stream'), column('device'), column('recording')],
  );
  return new Map(rows.map((row) => [textOf(row), { id: Number(row.id), take: takeOfRow(row) }]));
}

export function takeOfRow(row: TakeKey & { counts: string }): Take {
  return { ...emptyTake(row), ...(JSON.parse(row.counts) as Partial<Take>) };
}

/** Keys of the messages that were not there yet, as `take/key`. */
async function insertMessages(
  client: PostgresPoolClient,
  messages: readonly { row: Row; told: string | null; seq: number; t: number; json: string }[],
): Promise<Set<string>> {
  const { rows } = await client.query<{ take: number; key: string | null }>(
    `INSERT INTO "telemetryMessages" ("take", "key", "seq", "t", "entry")
     SELECT a, k, s, t, e FROM unnest($1::bigint[], $2::text[], $3::float8[], $4::float8[], $5::text[])
       WITH ORDINALITY AS x (a, k, s, t, e, o) ORDER BY o
     ON CONFLICT ("take", "key") DO NOTHING RETURNING "take", "key"`,
    [
      messages.map(({ row }) => row.id),
      messages.map(({ told }) => told),
      messages.map(({ seq }) => seq),
      messages.map(({ t }) => t),
      messages.map(({ json }) => json),
    ],
  );
  return new Set(rows.map(({ take, key }) => `${take}/${key}`));
}

async function writeCounts(
  client: PostgresPoolClient,
  streams: Map<string, StreamTotals>,
  takes: Map<string, Row>,
): Promise<void> {
  const rows = [...takes.values()];
  const totals = [...streams.values()];
  await client.query(
    `UPDATE "telemetryTakes" SET "counts" = c FROM unnest($1::bigint[], $2::text[]) AS x (i, c) WHERE "id" = i`,
    [rows.map(({ id }) => id), rows.map(({ take }) => countsOf(take))],
  );
  await client.query(
    `UPDATE "telemetryStreams" SET "totals" = t FROM unnest($1::text[], $2::text[]) AS x (n, t) WHERE "name" = n`,
    [totals.map(({ name }) => name), totals.map((each) => JSON.stringify(each))],
  );
}

async function writeLive(client: PostgresPoolClient, live: readonly LiveRow[]): Promise<void> {
  if (live.length === 0) return;
  const sums = new Map<string, LiveRow>();
  for (const row of live) {
    const text = `${row.model}/${row.kind}/${row.name}/${row.answer}`;
    sums.set(text, { ...row, n: (sums.get(text)?.n ?? 0) + row.n });
  }
  const rows = [...sums.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row);
  const column = (name: keyof LiveRow) => rows.map((row) => row[name]);
  await client.query(
    `INSERT INTO "telemetryLive" AS l
     SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[])
     ON CONFLICT ("model", "kind", "name", "answer") DO UPDATE SET "n" = l."n" + excluded."n"`,
    [column('model'), column('kind'), column('name'), column('answer'), column('n')],
  );
}

export function countsOf({ channel: _, stream: __, device: ___, recording: ____, ...counts }: Take): string {
  return JSON.stringify(counts);
}

function textOf({ channel, stream, device, recording }: TakeKey): string {
  return `${channel}/${stream}/${device}/${recording}`;
}

function tooManyFields({ device, stream }: Entry): AiotError {
  return new AiotError(
    'AIOT_MESSAGE_MALFORMED',
    `${device}: telemetry/${stream}: expected at most ${mostFields} fields in a stream, got one more`,
  );
}
