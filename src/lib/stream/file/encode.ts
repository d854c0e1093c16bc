import { AiotError } from '../../core/errors.js';
import type { OutgoingMessage } from '../message.js';
import { toLine } from './line.js';
import { type Cell, ownCell, payloadRow, type Row, unfit } from './rows.js';

/** Converts messages to lines, for one file after another. */
export interface Encoder {
  /**
   * The beginning of the file, such as a CSV header; '' if the format has none. Known once `encode` has seen a message or `resume` has
   * been called.
   */
  head(): string;
  /** Resumes a file with this beginning. @throws AIOT_CSV_COLUMNS if the file's columns differ */
  resume(firstRecord: string): void;
  /**
   * Converts each message to one or more lines, and determines whether the lines need a new file with a new head.
   * Converts either all messages or none.
   * @param mayWiden whether a new file may be started for the lines
   * @throws AIOT_STREAM_UNFIT
   */
  encode(messages: readonly OutgoingMessage[], mayWiden: boolean): { lines: string[]; newFile: boolean };
}

const nothing = { head: () => '', resume: () => {} };

/** Writes message lines, from which each message can be restored exactly. */
export function ndjsonEncoder(where: string): Encoder {
  const lineOf = (message: OutgoingMessage) =>
    `${JSON.stringify(toLine({ time: Date.now(), source: where, ...message }, { exact: true }))}\n`;
  return {
    ...nothing,
    encode: (messages) => ({ lines: messages.map(lineOf), newFile: false }),
  };
}

/**
 * Writes message lines that are converted to a table later. If columns are selected, a payload that lacks them is
 * rejected now.
 * @param names the selected columns
 */
export function tableEncoder(where: string, names: readonly string[] | undefined): Encoder {
  const lines = ndjsonEncoder(where);
  if (!names?.some((name) => !name.startsWith('$'))) return lines;
  return {
    ...lines,
    encode(messages, mayWiden) {
      for (const message of messages) payloadRow(message, names, where);
      return lines.encode(messages, mayWiden);
    },
  };
}

/** Writes each payload unchanged, as one line. */
export function linesEncoder(where: string): Encoder {
  const lineOf = (message: OutgoingMessage) => {
    const { buffer, byteOffset, length } = message.payload;
    const text = Buffer.from(buffer, byteOffset, length)
      .toString('utf8')
      .replace(/\0+$|\r?\n$/, '');
    if (/[\n\uFFFD]/.test(text)) throw unfit(where, message, 'is not a single line of UTF-8 text');
    return `${text}\n`;
  };
  return { ...nothing, encode: (messages) => ({ lines: messages.map(lineOf), newFile: false }) };
}

/**
 * Writes rows below a header.
 * @param fields the selected columns; absent = the existing file's columns, or the first message's members
 */
export function csvEncoder(where: string, fields: readonly string[] | undefined, header: boolean): Encoder {
  let columns = fields;
  return {
    head: () => (header && columns ? csvLine(columns) : ''),
    resume(firstRecord) {
      const found = firstRecord.replace(/\r$/, '');
      if (fields && header && `${found}\n` !== csvLine(fields)) {
        throw new AiotError(
          'AIOT_CSV_COLUMNS',
          `${where}:1: expected the columns ${fields.join(',')}, got ${found}`,
          {
            next: 'Omit ?fields= to use the columns of the file, or choose another file.',
          },
        );
      }
      if (!fields && header) columns = found.split(',').map((name) => name.replace(/^"(.*)"$/, '$1'));
    },
    encode(messages, mayWiden) {
      const widened = fields ? undefined : widerColumns(messages, columns, mayWiden || !columns, where);
      const under = widened ?? columns ?? [];
      const lines = messages.map((message) => csvRow(message, under, fields !== undefined, where));
      const newFile = widened !== undefined && columns !== undefined;
      columns = under;
      return { lines, newFile };
    },
  };
}

/** The existing columns and the columns that these messages add; undefined if they add none. */
function widerColumns(
  messages: readonly OutgoingMessage[],
  columns: readonly string[] | undefined,
  mayWiden: boolean,
  where: string,
): readonly string[] | undefined {
  if (!mayWiden) return undefined;
  let wide = columns;
  for (const message of messages) {
    const extra = extraColumns(payloadRow(message, wide, where), wide ?? []);
    if (extra.length > 0) wide = [...(wide ?? []), ...extra];
  }
  return wide === columns ? undefined : wide;
}

/** A cell according to RFC 4180: quoted if it contains a comma, a quote or a line ending, or would be read as a comment. */
function csvCell(cell: Cell): string {
  if (cell === undefined) return '';
  const text = String(cell);
  return /[",\r\n]|^#/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function csvLine(cells: readonly Cell[]): string {
  return `${cells.map(csvCell).join(',')}\n`;
}

/**
 * A message's line in a file with these columns. Comma-separated text is left unchanged: `26.10` does not become
 * `26.1`.
 * @param selected whether the columns were selected, so that other members are omitted instead of rejected
 * @throws AIOT_STREAM_UNFIT
 */
function csvRow(
  message: OutgoingMessage,
  columns: readonly string[],
  selected: boolean,
  where: string,
): string {
  const own = columns.some((name) => name.startsWith('$'));
  const raw = own ? undefined : rawLine(message, columns.length);
  if (raw !== undefined) return raw;
  const row = own && columns.every((name) => name.startsWith('$')) ? {} : payloadRow(message, columns, where);
  if (!selected) {
    const extra = extraColumns(row, columns);
    if (extra.length > 0) {
      throw unfit(
        where,
        message,
        `has ${extra.join(', ')} in addition to the columns ${columns.join(',')}: select columns with ?fields=`,
      );
    }
  }
  return csvLine(columns.map((name) => (name.startsWith('$') ? ownCell(name, message) : row[name])));
}

function extraColumns(row: Row, columns: readonly string[]): string[] {
  const known = new Set(columns);
  return Object.keys(row).filter((name) => !known.has(name));
}

const comma = 44;

/** One line of text with as many cells as columns, without quotes or JSON. */
function rawLine({ payload }: OutgoingMessage, cells: number): string | undefined {
  let length = payload.length;
  while (
    length > 0 &&
    (payload[length - 1] === 0 || payload[length - 1] === 10 || payload[length - 1] === 13)
  )
    length--;
  // Payloads that begin with `{`, `[`, `"` or `#` are not plain cells.
  if (length === 0 || [0x7b, 0x5b, 0x22, 0x23].includes(payload[0]!)) return undefined;
  let found = 1;
  for (let i = 0; i < length; i++) {
    const byte = payload[i]!;
    if (byte === comma) found++;
    else if (byte < 0x20 || byte === 0x22 || byte > 0x7e) return undefined;
  }
  if (found !== cells || found === 1) return undefined;
  return `${Buffer.from(payload.buffer, payload.byteOffset, length).toString('latin1')}\n`;
}
