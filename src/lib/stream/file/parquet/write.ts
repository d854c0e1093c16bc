import { createReadStream } from 'node:fs';
import { aiotVersion } from '../../../core/index.js';
import type { Message } from '../../message.js';
import { replaceWith } from '../gzip.js';
import { fromLine } from '../ndjson/line.js';
import { readRecords } from '../records.js';
import { ownCell, payloadRow, type Row } from '../rows.js';
import { type Column, chosenColumn, columnTypes, stored, typeOf } from './types.js';

/** Rows of one row group: what is in memory at a time. */
const groupRows = 20_000;

/**
 * Makes Parquet of a file of message lines. Columns: those chosen, or `$time`, `$topic` and the members of all payloads; a
 * payload that has no members is the column `$payload`. Read twice, a group of rows at a time, so that memory stays bounded.
 * @throws AIOT_STREAM_URL (a type that there is not), AIOT_FILE_NOT_WRITABLE, AIOT_DISK_FULL
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

/** The columns in the order in which they first come; types by what is in them. */
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
      // Not chosen, `$payload` is where there are no cells.
      const own = name.startsWith('$') && (names || name !== '$payload');
      out[name] = stored(own ? ownCell(name, message) : row[name], type);
    }
    yield out;
  }
}

/** A payload that has no cells counts in a column of its own: what was acknowledged is written, whatever it is. */
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
