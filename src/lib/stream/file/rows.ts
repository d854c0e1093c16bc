import { isUtf8 } from 'node:buffer';
import { AiotError, dictionary, plural } from '../../core/index.js';
import { csvRecords } from '../../formats/index.js';
import { decodeAuto } from '../decode/text.js';
import type { OutgoingMessage } from '../message.js';
import { cellValue } from './csv/read-row.js';

/** What a cell can hold; undefined = nothing. */
export type Cell = string | number | boolean | undefined;
export type Row = Record<string, Cell>;

/** Columns that are not in the payload. */
export const ownColumns = ['$topic', '$time', '$key', '$payload'] as const;
type OwnColumn = (typeof ownColumns)[number];

/** @throws AIOT_STREAM_UNFIT */
export function unfit(where: string, { topic }: OutgoingMessage, why: string): AiotError {
  return new AiotError('AIOT_STREAM_UNFIT', `${where}: a message of ${topic || 'no topic'} ${why}`, {
    endpoint: where,
  });
}

/**
 * The payload as cells by name: the members of a JSON object (those of objects within as `a.b`, arrays as JSON), or, where names
 * are known, the cells of a JSON array or of a line of comma-separated text, in their order.
 * @throws AIOT_STREAM_UNFIT
 */
export function payloadRow(
  message: OutgoingMessage,
  columns: readonly string[] | undefined,
  where: string,
): Row {
  const bytes = message.payload;
  const value = decodeAuto(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  if (value !== null && typeof value === 'object' && !Array.isArray(value) && !Buffer.isBuffer(value)) {
    const row: Row = dictionary();
    flatten(value as Record<string, unknown>, '', row);
    return row;
  }
  const cells = Array.isArray(value)
    ? value.map(cellOf)
    : typeof value === 'string'
      ? textCells(value, message, where)
      : typeof value === 'number' || typeof value === 'boolean'
        ? [value]
        : undefined;
  if (!cells)
    throw unfit(where, message, 'has no cells: expected a JSON object or array, or comma-separated text');
  const names = columns?.filter((name) => !name.startsWith('$'));
  if (!names) throw unfit(where, message, 'has cells without names: say ?fields=a,b,c');
  if (cells.length !== names.length) {
    throw unfit(
      where,
      message,
      `has ${plural(cells.length, 'cell')}, expected ${names.length} (${names.join(',')})`,
    );
  }
  return Object.fromEntries(names.map((name, n) => [name, cells[n]]));
}

/** The cell of a column that is not in the payload. */
export function ownCell(name: string, message: OutgoingMessage): Cell {
  switch (name as OwnColumn) {
    case '$topic':
      return message.topic;
    case '$time':
      return message.time ?? Date.now();
    case '$key':
      return message.key && textOrBase64(message.key);
    case '$payload':
      return textOrBase64(message.payload);
  }
}

function textOrBase64(data: Uint8Array): string {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.length);
  return bytes.toString(isUtf8(bytes) ? 'utf8' : 'base64');
}

function flatten(value: Record<string, unknown>, before: string, row: Row): void {
  for (const [name, member] of Object.entries(value)) {
    if (member !== null && typeof member === 'object' && !Array.isArray(member)) {
      flatten(member as Record<string, unknown>, `${before}${name}.`, row);
    } else row[before + name] = cellOf(member);
  }
}

function cellOf(value: unknown): Cell {
  if (value === null || value === undefined) return undefined;
  return typeof value === 'object' ? JSON.stringify(value) : (value as Cell);
}

function textCells(text: string, message: OutgoingMessage, where: string): Cell[] {
  const line = text.replace(/\r?\n$/, '');
  try {
    const records = csvRecords(line.startsWith('#') ? ` ${line}` : line, where);
    if (records.length === 1) return records[0]!.cells.map(cellValue);
  } catch {
    // A quote that is not closed: said below.
  }
  throw unfit(where, message, 'is text, but not one row of comma-separated cells');
}
