import type { ColumnSource, ParquetWriter } from 'hyparquet-writer';
import { exportColumns, type RecordingPoints } from '../../api/contract/data.js';
import type { Entry, TakeKey } from '../journal/entry.js';
import { fieldsOf } from '../journal/takes.js';

/** Samples from one message, in columns. */
export interface Samples {
  device: string;
  recording: string;
  /** The message's sequence number; null = none. */
  seq: number | null;
  /** Time of each sample, ms since 1970. */
  t: number[];
  label: (string | null)[];
  /** Values by field; fields missing in the message are absent. */
  columns: Map<string, number[]>;
}

/** Selects samples and provides their labels. */
interface SampleFilter {
  from?: number | undefined;
  to?: number | undefined;
  /** Samples with another label (or none) are left out. */
  label?: string | undefined;
  labelAt: (t: number) => string | null;
}

/**
 * The selected samples from a message; null when there are none. Samples in a batch are spaced 1000/rate ms apart,
 * starting at the batch's time.
 */
export function samplesOf(key: TakeKey, entry: Entry, filter: SampleFilter): Samples | null {
  const { device, recording } = key;
  const { seq, t: told, rate } = entry.payload;
  const fields = fieldsOf(entry.payload);
  const count = fields[0]?.[1].length ?? 0;
  const start = typeof told === 'number' ? told : entry.at;
  const stepMs = typeof rate === 'number' ? 1000 / rate : 0;
  const { from = -Infinity, to = Infinity, label: wanted, labelAt } = filter;
  const kept: number[] = [];
  const t: number[] = [];
  const label: (string | null)[] = [];
  for (let i = 0; i < count; i++) {
    const time = start + i * stepMs;
    if (time < from || time > to) continue;
    const said = labelAt(time);
    if (wanted !== undefined && said !== wanted) continue;
    kept.push(i);
    t.push(time);
    label.push(said);
  }
  if (kept.length === 0) return null;
  const columns = new Map(
    fields.map(([name, column]) => [
      name,
      kept.length === count ? column : kept.map((i) => column[i] as number),
    ]),
  );
  return { device, recording, seq: typeof seq === 'number' ? seq : null, t, label, columns };
}

/** CSV (RFC 4180) with LF line endings; `t` in ms since 1970; numbers round-trip exactly; empty = no value. */
export async function* csvExport(
  fields: readonly string[],
  batches: AsyncIterable<Samples>,
): AsyncGenerator<Buffer> {
  const out = new Pieces();
  yield* out.push(`${[...exportColumns, ...fields].join(',')}\n`);
  for await (const { device, recording, seq, t, label, columns } of batches) {
    const head = `${device},${recording},${seq ?? ''},`;
    const values = fields.map((field) => columns.get(field));
    let rows = '';
    for (let i = 0; i < t.length; i++) {
      rows += `${head}${t[i]},${quoted(label[i] ?? '')}`;
      for (const column of values) rows += `,${column?.[i] ?? ''}`;
      rows += '\n';
    }
    yield* out.push(rows);
  }
  yield* out.end();
}

/** NDJSON with one object per sample. Fields without a value are left out. */
export async function* ndjsonExport(
  fields: readonly string[],
  batches: AsyncIterable<Samples>,
): AsyncGenerator<Buffer> {
  const out = new Pieces();
  for await (const { device, recording, seq, t, label, columns } of batches) {
    const there = fields.filter((field) => columns.has(field));
    let rows = '';
    for (let i = 0; i < t.length; i++) {
      const row: Record<string, unknown> = { device, recording, seq, t: t[i], label: label[i] };
      for (const field of there) row[field] = columns.get(field)?.[i];
      rows += `${JSON.stringify(row)}\n`;
    }
    yield* out.push(rows);
  }
  yield* out.end();
}

const pieceBytes = 64 * 1024;

/** Collects text into pieces large enough to send. */
class Pieces {
  private text = '';

  *push(text: string): Generator<Buffer> {
    this.text += text;
    if (this.text.length >= pieceBytes) yield* this.end();
  }

  *end(): Generator<Buffer> {
    if (this.text !== '') yield Buffer.from(this.text);
    this.text = '';
  }
}

/** Quotes a text cell. A cell that a spreadsheet would interpret as a formula is left unchanged, because data must round-trip. */
function quoted(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Maximum number of rows in a row group, which is held in memory. */
const groupRows = 65_536;

/** Maximum number of values in a row group, so that a group with many columns has fewer rows. */
const groupValues = 1_048_576;

/**
 * Apache Parquet, Snappy: device, recording and label as strings, seq as INT64, t as TIMESTAMP (UTC, µs; Parquet's logical types,
 * "Timestamp"), the stream's fields as DOUBLE. Written one row group at a time, so memory use does not grow with the export.
 */
export async function* parquetExport(
  fields: readonly string[],
  batches: AsyncIterable<Samples>,
): AsyncGenerator<Buffer> {
  const { ByteWriter, ParquetWriter } = await import('hyparquet-writer');
  const bytes = new ByteWriter();
  const writer = new ParquetWriter({ writer: bytes, schema: schemaOf(fields), createdBy: 'aiot' });
  const drained = () => {
    const piece = Buffer.from(bytes.getBytes());
    // The writer's offsets continue; only the bytes already passed on are dropped.
    (bytes as unknown as { index: number }).index = 0;
    return piece;
  };
  const most = Math.max(1024, Math.min(groupRows, Math.floor(groupValues / (fields.length + 5))));
  let group = emptyGroup(fields);
  const flush = (): Buffer => {
    writer.write({ columnData: columnsOf(group), rowGroupSize: group.t.length });
    group = emptyGroup(fields);
    return drained();
  };
  for await (const samples of batches) {
    addTo(group, fields, samples);
    if (group.t.length >= most) yield flush();
  }
  if (group.t.length > 0) yield flush();
  writer.finish();
  yield drained();
}

type Value = number | null;

interface Group {
  device: string[];
  recording: string[];
  seq: (bigint | null)[];
  t: bigint[];
  label: (string | null)[];
  fields: { name: string; values: Value[] }[];
}

function emptyGroup(fields: readonly string[]): Group {
  const own = fields.map((name) => ({ name, values: [] }));
  return { device: [], recording: [], seq: [], t: [], label: [], fields: own };
}

function addTo(group: Group, fields: readonly string[], samples: Samples): void {
  const { device, recording, seq, t, label, columns } = samples;
  const number = seq === null ? null : BigInt(seq);
  for (let i = 0; i < t.length; i++) {
    group.device.push(device);
    group.recording.push(recording);
    group.seq.push(number);
    group.t.push(microseconds(t[i] ?? 0));
    group.label.push(label[i] ?? null);
  }
  for (const [f, name] of fields.entries()) {
    const column = columns.get(name);
    const { values } = group.fields[f] as Group['fields'][number];
    for (let i = 0; i < t.length; i++) values.push(column?.[i] ?? null);
  }
}

/** Converts ms to µs; values out of range are clamped. */
function microseconds(ms: number): bigint {
  const us = Math.round(ms * 1000);
  return BigInt.asIntN(64, BigInt(Math.max(-9.2e18, Math.min(9.2e18, us))));
}

function columnsOf({ device, recording, seq, t, label, fields }: Group): ColumnSource[] {
  return [
    ...Object.entries({ device, recording, seq, t, label }).map(([name, data]) => ({ name, data })),
    ...fields.map(({ name, values }) => ({ name: fieldColumn(name), data: values })),
  ] as ColumnSource[];
}

/** Name of a field's column. A field named like a fixed text column gets an appended `_`. */
function fieldColumn(name: string): string {
  return ['device', 'label'].includes(name) ? `${name}_` : name;
}

type Schema = ConstructorParameters<typeof ParquetWriter>[0]['schema'];

function schemaOf(fields: readonly string[]): Schema {
  const text = { type: 'BYTE_ARRAY', converted_type: 'UTF8', logical_type: { type: 'STRING' } } as const;
  const time = {
    type: 'INT64',
    converted_type: 'TIMESTAMP_MICROS',
    logical_type: { type: 'TIMESTAMP', isAdjustedToUTC: true, unit: 'MICROS' },
  } as const;
  return [
    { name: 'samples', num_children: fields.length + 5 },
    { name: 'device', repetition_type: 'REQUIRED', ...text },
    { name: 'recording', repetition_type: 'REQUIRED', ...text },
    { name: 'seq', repetition_type: 'OPTIONAL', type: 'INT64' },
    { name: 't', repetition_type: 'REQUIRED', ...time },
    { name: 'label', repetition_type: 'OPTIONAL', ...text },
    ...fields.map((name) => ({
      name: fieldColumn(name),
      repetition_type: 'OPTIONAL' as const,
      type: 'DOUBLE' as const,
    })),
  ];
}

/** Samples in one time interval: each field's minimum and maximum, and their times; NaN for fields without a value. */
interface Bucket {
  first: number;
  last: number;
  low: number[];
  lowAt: number[];
  high: number[];
  highAt: number[];
}

/** A gap of this many sampling intervals is a pause, and interrupts the line. */
const pauseSteps = 10;

/**
 * Reduces samples for a plot in one pass. If there are few enough samples, they are unchanged. Otherwise, each time
 * interval yields two rows, with the minimum and maximum of each field in order of arrival. No peak is lost, and memory
 * use does not grow with the recording, because intervals at least double in length when there are too many.
 * @param most maximum number of rows, not counting rows for pauses
 */
export async function pointsOf(
  fields: readonly string[],
  batches: AsyncIterable<Samples>,
  { most, rateHz }: { most: number; rateHz: number },
): Promise<Pick<RecordingPoints, 'samples' | 'reduced' | 't' | 'columns'>> {
  let samples = 0;
  let buckets = new Map<number, Bucket>();
  /** Bucket width, ms; null = each sample has its own bucket. */
  let width: number | null = null;
  let origin = 0;
  let near: { key: number; bucket: Bucket } | undefined;
  const shrink = () => {
    const all = [...buckets.values()];
    const from = all.reduce((least, { first }) => Math.min(least, first), Infinity);
    const to = all.reduce((greatest, { last }) => Math.max(greatest, last), -Infinity);
    if (width === null) origin = from;
    width = Math.max((width ?? 0) * 2, (to - from) / (most / 2 - 1), 1e-3);
    buckets = new Map();
    near = undefined;
    for (const bucket of all) {
      const key = Math.floor((bucket.first - origin) / width);
      const there = buckets.get(key);
      if (there) merge(there, bucket);
      else buckets.set(key, bucket);
    }
  };
  for await (const { t, columns } of batches) {
    const values = fields.map((field) => columns.get(field));
    for (let i = 0; i < t.length; i++) {
      const time = t[i] as number;
      const key = width === null ? samples : Math.floor((time - origin) / width);
      samples++;
      if (near?.key !== key) {
        let bucket = buckets.get(key);
        if (!bucket) {
          bucket = emptyBucket(time, fields.length);
          buckets.set(key, bucket);
        }
        near = { key, bucket };
      }
      add(near.bucket, time, values, i);
      while (buckets.size > (width === null ? most : most / 2)) shrink();
    }
  }
  const sorted = [...buckets.values()].sort((a, b) => a.first - b.first);
  const pauseMs = rateHz > 0 ? (pauseSteps * 1000) / rateHz : Infinity;
  return { samples, reduced: width !== null, ...rowsOf(sorted, fields.length, pauseMs) };
}

function emptyBucket(time: number, fields: number): Bucket {
  const none = () => new Array<number>(fields).fill(Number.NaN);
  return { first: time, last: time, low: none(), lowAt: none(), high: none(), highAt: none() };
}

function add(bucket: Bucket, time: number, values: readonly (number[] | undefined)[], i: number): void {
  if (time < bucket.first) bucket.first = time;
  if (time > bucket.last) bucket.last = time;
  for (let f = 0; f < values.length; f++) {
    const value = values[f]?.[i];
    if (value === undefined) continue;
    // Negated so that NaN makes the first value count.
    if (!(value >= (bucket.low[f] as number))) {
      bucket.low[f] = value;
      bucket.lowAt[f] = time;
    }
    if (!(value <= (bucket.high[f] as number))) {
      bucket.high[f] = value;
      bucket.highAt[f] = time;
    }
  }
}

function merge(into: Bucket, from: Bucket): void {
  into.first = Math.min(into.first, from.first);
  into.last = Math.max(into.last, from.last);
  for (let f = 0; f < into.low.length; f++) {
    const [low = Number.NaN, high = Number.NaN] = [from.low[f], from.high[f]];
    if (Number.isNaN(low)) continue;
    if (!(low >= (into.low[f] as number))) {
      into.low[f] = low;
      into.lowAt[f] = from.lowAt[f] as number;
    }
    if (!(high <= (into.high[f] as number))) {
      into.high[f] = high;
      into.highAt[f] = from.highAt[f] as number;
    }
  }
}

function rowsOf(
  buckets: readonly Bucket[],
  fields: number,
  pauseMs: number,
): { t: number[]; columns: (number | null)[][] } {
  const t: number[] = [];
  const columns = Array.from({ length: fields }, (): (number | null)[] => []);
  const row = (time: number, value: (field: number) => number) => {
    t.push(time);
    for (const [f, column] of columns.entries()) {
      const one = value(f);
      column.push(Number.isNaN(one) ? null : one);
    }
  };
  let before = Infinity;
  for (const { first, last, low, lowAt, high, highAt } of buckets) {
    if (first - before > pauseMs) row((before + first) / 2, () => Number.NaN);
    const rising = (f: number) => (lowAt[f] as number) <= (highAt[f] as number);
    row(first, (f) => (rising(f) ? low[f] : high[f]) as number);
    if (last > first) row(last, (f) => (rising(f) ? high[f] : low[f]) as number);
    before = last;
  }
  return { t, columns };
}
