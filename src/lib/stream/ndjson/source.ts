import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { AiotError, systemCode } from '../../core/index.js';
import type { Delivery, Source } from '../message.js';
import type { StreamOptions } from '../options.js';
import type { StreamUrl } from '../url.js';
import { fromLine } from './line.js';

/** Path of a `file:` URL: `file:///tmp/x`, `file://relative`, `file:relative`. */
export function filePathOf(url: StreamUrl): string {
  if (url.path !== '') return url.path;
  throw new AiotError('AIOT_STREAM_URL', 'expected file:///PATH or file:PATH');
}

/** A file of message lines, from its first line to its last. @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED */
export async function openFileSource(url: StreamUrl): Promise<Source> {
  const path = filePathOf(url);
  const found = await stat(path).catch((error: unknown) => {
    throw new AiotError(
      systemCode(error) === 'ENOENT' ? 'AIOT_FILE_NOT_FOUND' : 'AIOT_FILE_MALFORMED',
      `cannot read ${path} (${systemCode(error)})`,
      { cause: error },
    );
  });
  if (!found.isFile()) throw new AiotError('AIOT_FILE_MALFORMED', `${path} is not a file`);
  return linesSource(createReadStream(path), path);
}

/** Message lines from standard input, until its end. */
export async function openStdinSource(_url: StreamUrl, options: StreamOptions): Promise<Source> {
  return linesSource(options.input ?? process.stdin, 'stdin:');
}

/** Reads on only when asked for the next message, so nothing is dropped and memory stays bounded. */
function linesSource(input: NodeJS.ReadableStream, endpoint: string): Source {
  const lines = createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
  const settle = () => {};
  return {
    endpoint,
    dropped: 0,
    async *[Symbol.asyncIterator](): AsyncGenerator<Delivery[]> {
      let number = 0;
      for await (const line of lines) {
        number++;
        if (line.trim() !== '') {
          yield [{ message: fromLine(line, endpoint, number), ack: settle, nack: settle }];
        }
      }
    },
    async close() {
      lines.close();
      if ('destroy' in input && typeof input.destroy === 'function') input.destroy();
    },
  };
}
