import { AiotError } from '../../core/index.js';
import type { OutgoingMessage } from '../message.js';
import { csvLine, csvRow, extraColumns } from './csv/encode.js';
import { toLine } from './ndjson/line.js';
import { payloadRow, unfit } from './rows.js';

/** Makes lines of messages, for one file after the other. */
export interface Encoder {
  /**
   * What the file begins with; '' without anything. Known once `encode` has seen a message, or a file that is there was taken up.
   */
  head(): string;
  /** Takes up a file that begins so. @throws AIOT_CSV_COLUMNS when it has other columns */
  resume(firstRecord: string): void;
  /**
   * One line (or several) for each message, and whether they need a file of their own, with a new head. All, or an error and none.
   * @param mayWiden a new file may be begun for them
   * @throws AIOT_STREAM_UNFIT
   */
  encode(messages: readonly OutgoingMessage[], mayWiden: boolean): { lines: string[]; newFile: boolean };
}

const nothing = { head: () => '', resume: () => {} };

/** Message lines, which give back each message as it was. */
export function ndjsonEncoder(where: string): Encoder {
  const lineOf = (message: OutgoingMessage) =>
    `${JSON.stringify(toLine({ time: Date.now(), source: where, ...message }, { exact: true }))}\n`;
  return {
    ...nothing,
    encode: (messages) => ({ lines: messages.map(lineOf), newFile: false }),
  };
}

/**
 * Message lines of which a table is made later: with chosen columns, a payload that has not their cells is refused now.
 * @param names the columns, chosen
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

/** Payloads as they are, one a line. */
export function linesEncoder(where: string): Encoder {
  const lineOf = (message: OutgoingMessage) => {
    const { buffer, byteOffset, length } = message.payload;
    const text = Buffer.from(buffer, byteOffset, length)
      .toString('utf8')
      .replace(/\0+$|\r?\n$/, '');
    if (/[\n\uFFFD]/.test(text)) throw unfit(where, message, 'is not one line of UTF-8 text');
    return `${text}\n`;
  };
  return { ...nothing, encode: (messages) => ({ lines: messages.map(lineOf), newFile: false }) };
}

/**
 * Rows under a header.
 * @param fields the columns, chosen; absent = those that a file has already, or the members of the first message
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
            next: 'Leave ?fields= out to go on with those of the file, or choose another file.',
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

/** The columns with those that these messages have beside them; undefined when there are none. */
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
