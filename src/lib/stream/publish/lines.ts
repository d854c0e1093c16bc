import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { AiotError, requireFile } from '../../core/index.js';
import { fromLine } from '../file/ndjson/line.js';
import type { OutgoingMessage } from '../message.js';

const lineFeed = 10;
const carriageReturn = 13;
/** Longest line, bytes: what is longer is no file of messages. */
const longest = 64 * 1024 * 1024;

/** A file by its name, `.gz` unpacked. @throws AIOT_FILE_NOT_FOUND */
export async function linesOfFile(path: string): Promise<AsyncIterable<Buffer[]>> {
  await requireFile(path);
  const file = createReadStream(path, { highWaterMark: 256 * 1024 });
  return linesOf(path.endsWith('.gz') ? file.pipe(createGunzip()) : file, path);
}

/** Lines as bytes, without their ends, those that are not empty; one batch a piece that was read. @throws AIOT_FILE_MALFORMED */
export async function* linesOf(input: Readable, where: string): AsyncGenerator<Buffer[]> {
  let rest: Buffer = Buffer.alloc(0);
  try {
    for await (const chunk of input) {
      const bytes = rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([rest, Buffer.from(chunk)]);
      const lines: Buffer[] = [];
      let start = 0;
      for (let end = bytes.indexOf(lineFeed); end >= 0; end = bytes.indexOf(lineFeed, start)) {
        const last = bytes[end - 1] === carriageReturn && end > start ? end - 1 : end;
        if (last > start) lines.push(bytes.subarray(start, last));
        start = end + 1;
      }
      rest = bytes.subarray(start);
      if (rest.length > longest) {
        throw new AiotError('AIOT_FILE_MALFORMED', `${where}: expected lines of at most ${longest} bytes`);
      }
      if (lines.length > 0) yield lines;
    }
  } catch (error) {
    if (error instanceof AiotError) throw error;
    throw new AiotError(
      'AIOT_FILE_MALFORMED',
      `${where}: ${error instanceof Error ? error.message : String(error)}`,
      {
        cause: error,
      },
    );
  }
  if (rest.length > 0) yield [rest];
}

/**
 * What a line is to be published as: a message line (an object with `topic` and `payload`, such as `stream record` writes) that
 * message; anything else is a payload, byte for byte.
 */
export function messageOfLine(line: Buffer, where: string): OutgoingMessage {
  // Most payloads need not be parsed to see that they are no message lines.
  if (line[0] !== 0x7b || !line.includes('"topic"') || !line.includes('"payload"'))
    return { topic: '', payload: line };
  try {
    const { source: _, ...message } = fromLine(line.toString(), where, 0);
    return message;
  } catch {
    return { topic: '', payload: line };
  }
}
