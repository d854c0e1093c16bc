import { createReadStream } from 'node:fs';
import type { BasicType } from 'hyparquet-writer';
import { AiotError } from '../../core/errors.js';
import { aiotVersion } from '../../core/folders.js';
import type { Message } from '../message.js';
import { replaceWith } from './gzip.js';
import { fromLine } from './line.js';
import { type Cell, ownCell, payloadRow, type Row, readRecords } from './rows.js';

/** Number of rows in a row group, which limits memory use. */
const groupRows = 20_000;

/**
 * Converts a file of message lines to Parquet. Columns: the selected ones, or `$time`, `$topic` and the members of all payloads. A payload
 * without members is written to the column `$payload`. The file is read twice, one group of rows at a time, so that memory stays bounded.
 * @throws AIOT_STREAM_URL (an unknown type), AIOT_FILE_NOT_WRITABLE, AIOT_DISK_FULL
 */
export function parquetFinisher(where: string, fields: readonly string[] | undefined) {
  const chosen = fields?.map((field) => chosenColumn(field, where));
  const names = chosen?.map(({ name }) => name);
  return async (lines: string, finished: string): Promise<void> => {
    const { parquetWriteRows, fileWriter } = await import('hyparquet-writer');
    const columns = await columnsOf(lines, chosen, names);
    await replaceWith(finished, async (temporary) => {
      await parquetWriteRows({
        writer: fileWriter(temporary),
        columns: columns.map(({ name, type }) => ({ name, type: columnTypes[type] })),
        rows: storedRows(lines, columns, names),
        rowGroupSize: groupRows,
        createdBy: `aiot version ${aiotVersion}`,
      });
    });
  };
}

/** The columns in order of first appearance, with types derived from their values. */
async function columnsOf(
  lines: string,
  chosen: ReturnType<typeof chosenColumn>[] | undefined,
  names: readonly string[] | undefined,
): Promise<Column[]> {
  const kinds = new Map<string, Set<string>>((names ?? ['$time', '$topic']).map((name) => [name, new Set()]));
  for await (const message of messagesIn(lines)) {
    for (const [name, cell] of Object.entries(rowOf(message, names))) {
      if (cell === undefined) continue;
      if (!kinds.has(name)) {
        if (names) continue;
        kinds.set(name, new Set());
      }
      kinds.get(name)!.add(typeof cell);
    }
  }
  const given = new Map(chosen?.map(({ name, type }) => [name, type]));
  return [...kinds].map(([name, found]) => ({
    name,
    type: given.get(name) ?? (name === '$time' ? 'timestamp' : typeOf(found)),
  }));
}

async function* storedRows(
  lines: string,
  columns: readonly Column[],
  names: readonly string[] | undefined,
): AsyncGenerator<Record<string, unknown>> {
  for await (const message of messagesIn(lines)) {
    const row = rowOf(message, names);
    const out: Record<string, unknown> = {};
    for (const { name, type } of columns) {
      // The column `$payload` contains payloads that could not be split into cells, unless the user selected it.
      const own = name.startsWith('$') && (names || name !== '$payload');
      out[name] = stored(own ? ownCell(name, message) : row[name], type);
    }
    yield out;
  }
}

/**
 * Splits a payload into cells. If that fails, the whole payload goes to the column `$payload`, because every acknowledged message must be
 * stored.
 */
function rowOf(message: Message, names: readonly string[] | undefined): Row {
  try {
    return payloadRow(message, names, message.source);
  } catch {
    return names ? {} : { $payload: ownCell('$payload', message) };
  }
}

async function* messagesIn(path: string): AsyncGenerator<Message> {
  for await (const records of readRecords(createReadStream(path), false, path)) {
    for (const { text, line } of records) yield fromLine(text, path, line);
  }
}

/** How a column is stored, as in `?fields=count:int64`. */
const columnTypes = {
  boolean: 'BOOLEAN',
  double: 'DOUBLE',
  float: 'FLOAT',
  int32: 'INT32',
  int64: 'INT64',
  string: 'STRING',
  timestamp: 'TIMESTAMP',
} as const satisfies Record<string, BasicType>;

type ColumnType = keyof typeof columnTypes;

interface Column {
  name: string;
  type: ColumnType;
}

/** Parses a selected column: `name` or `name:type`. @throws AIOT_STREAM_URL */
function chosenColumn(field: string, where: string): { name: string; type?: ColumnType } {
  const colon = field.lastIndexOf(':');
  if (colon < 0) return { name: field };
  const type = field.slice(colon + 1);
  if (Object.hasOwn(columnTypes, type)) return { name: field.slice(0, colon), type: type as ColumnType };
  throw new AiotError(
    'AIOT_STREAM_URL',
    `${where}: fields: expected one of ${Object.keys(columnTypes).join(', ')} after the colon, got "${type}"`,
  );
}

/**
 * The type of a column without a declared type. Numbers are doubles even if all are whole, so that the next file of the
 * same readings has the same type.
 */
function typeOf(kinds: ReadonlySet<string>): ColumnType {
  if (kinds.size !== 1) return 'string';
  return kinds.has('number') ? 'double' : kinds.has('boolean') ? 'boolean' : 'string';
}

/** The library's representation of a cell of this type; null = empty, or the value does not fit the type. */
function stored(cell: Cell, type: ColumnType): unknown {
  if (cell === undefined) return null;
  switch (type) {
    case 'string':
      return String(cell);
    case 'boolean':
      return typeof cell === 'boolean' ? cell : null;
    case 'timestamp': {
      const time = typeof cell === 'number' ? cell : Date.parse(String(cell));
      return Number.isFinite(time) ? new Date(time) : null;
    }
    case 'int64':
      return Number.isSafeInteger(Number(cell)) && cell !== '' ? BigInt(Number(cell)) : null;
    case 'int32':
      return (Number(cell) | 0) === Number(cell) ? Number(cell) : null;
    default: {
      const value = typeof cell === 'boolean' ? Number.NaN : Number(cell);
      return Number.isNaN(value) ? null : value;
    }
  }
}
