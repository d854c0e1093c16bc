import type { Readable } from 'node:stream';
import { AiotError } from '../../core/index.js';

export interface TextRecord {
  text: string;
  /** The line that it begins on, from 1. */
  line: number;
}

/** A record longer than that is no record: a file of another kind, or a quote that is never closed. Characters. */
const longest = 64 * 1024 * 1024;

/**
 * UTF-8 text cut into lines without their ends (`\n` or `\r\n`); the records of each piece that was read together. A byte order
 * mark is taken off.
 * @param quotes a line end between two `"` is part of its record (RFC 4180, 2.6)
 * @throws AIOT_FILE_MALFORMED (a record of more than 64 Mi characters), and what reading throws
 */
export async function* readRecords(
  input: Readable,
  quotes: boolean,
  where: string,
): AsyncGenerator<TextRecord[]> {
  const decoder = new TextDecoder('utf-8');
  let rest = '';
  let line = 1;
  const split = (text: string, last: boolean): TextRecord[] => {
    const records: TextRecord[] = [];
    let start = 0;
    let from = 0;
    let lines = 1;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', from)) {
      from = end + 1;
      if (quotes && oddQuotes(text, start, end)) {
        lines++;
        continue;
      }
      records.push({ text: text.slice(start, text[end - 1] === '\r' && end > start ? end - 1 : end), line });
      line += lines;
      lines = 1;
      start = from;
    }
    rest = text.slice(start);
    if (last && rest !== '') records.push({ text: rest, line });
    return records;
  };
  for await (const chunk of input as AsyncIterable<Buffer | string>) {
    const text = rest + (typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true }));
    const records = split(text, false);
    if (rest.length > longest) {
      throw new AiotError(
        'AIOT_FILE_MALFORMED',
        `${where}:${line}: expected lines, got more than 64 MiB without an end`,
      );
    }
    if (records.length > 0) yield records;
  }
  const records = split(rest + decoder.decode(), true);
  if (records.length > 0) yield records;
}

/** Whether an odd number of quotes is there: a doubled one counts twice, so it changes nothing. */
export function oddQuotes(text: string, from: number, to: number): boolean {
  let odd = false;
  for (let at = text.indexOf('"', from); at >= 0 && at < to; at = text.indexOf('"', at + 1)) odd = !odd;
  return odd;
}
