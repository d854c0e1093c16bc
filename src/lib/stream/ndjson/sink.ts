import { type FileHandle, open } from 'node:fs/promises';
import { AiotError, systemCode } from '../../core/index.js';
import type { OutgoingMessage, Sink } from '../message.js';
import type { StreamUrl } from '../url.js';
import { toLine } from './line.js';
import { filePathOf } from './source.js';

/**
 * Appends message lines to a file. `write` resolves when the line is on disk; lines that come while one sync runs share
 * the next. @throws AIOT_FILE_NOT_WRITABLE
 */
export async function openFileSink(url: StreamUrl): Promise<Sink> {
  const path = filePathOf(url);
  const unwritable = (error: unknown) =>
    new AiotError(
      'AIOT_FILE_NOT_WRITABLE',
      `cannot write ${path} (${systemCode(error) ?? 'unknown error'})`,
      {
        cause: error,
        endpoint: path,
      },
    );
  const file: FileHandle = await open(path, 'a').catch((error: unknown) => {
    throw unwritable(error);
  });
  let waiting: string[] = [];
  let next: Promise<void> | undefined;
  let running: Promise<void> = Promise.resolve();

  const flush = async () => {
    await running.catch(() => {});
    const lines = waiting.join('');
    waiting = [];
    next = undefined;
    running = file.appendFile(lines).then(() => file.datasync());
    await running;
  };
  return {
    endpoint: path,
    async write(messages: readonly OutgoingMessage[]) {
      for (const message of messages) {
        const line = toLine({ time: Date.now(), source: path, ...message });
        waiting.push(`${JSON.stringify(line)}\n`);
      }
      next ??= flush();
      await next.catch((error: unknown) => {
        throw unwritable(error);
      });
    },
    async close() {
      await next?.catch(() => {});
      await file.close();
    },
  };
}
