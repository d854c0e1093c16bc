import type { ColumnSource, ParquetWriter } from 'hyparquet-writer';
import type { Samples } from './rows.js';

/** Rows of a row group: what is in memory at once. */
const groupRows = 65_536;
/** Less of them where there are many columns: values of a row group. */
const groupValues = 1_048_576;

/**
 * Apache Parquet, Snappy: device, recording and label as strings, seq as INT64, t as TIMESTAMP (UTC, µs; Parquet's logical
 * types, "Timestamp"), the stream's fields as DOUBLE. Row group by row group, so that memory does not grow with the export.
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
    // The writer goes on counting offsets; only what was handed over is forgotten.
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

/** What does not fit is at the end of what does. */
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

/** A field may be called as one of the columns before it. */
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
