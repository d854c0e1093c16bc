import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { AiotError, makeFolder, syncFolder, unwritable } from '../../core/index.js';
import type { Encoder } from './encode.js';
import { cutTornLine, firstRecord } from './resume.js';

/** A file that only grows, by whole lines, each on disk before `append` resolves. */
export interface AppendFile {
  readonly bytes: number;
  /** ms since 1970: when the first of its lines was written. */
  readonly since: number;
  append(text: string): Promise<void>;
  /** Lines below the head. */
  lines(): Promise<number>;
  close(): Promise<void>;
}

/** @throws AIOT_FILE_NOT_WRITABLE, AIOT_FILE_MALFORMED, AIOT_CSV_COLUMNS (it has other columns) */
export async function openAppend(path: string, encoder: Encoder): Promise<AppendFile> {
  await makeFolder(dirname(path));
  const file: FileHandle = await open(path, 'a+').catch((error: unknown) => {
    throw unwritable(path, error);
  });
  let bytes = 0;
  let since = Date.now();
  try {
    const found = await file.stat();
    // A pipe and /dev/stdout have no size, no end and no sync.
    if (found.isFile() && found.size > 0) {
      bytes = await cutTornLine(file, path, found.size);
      since = found.birthtimeMs || since;
      if (bytes > 0) encoder.resume(await firstRecord(file, bytes));
    } else if (found.isFile()) await syncFolder(dirname(path));
  } catch (error) {
    await file.close();
    throw error instanceof AiotError ? error : unwritable(path, error);
  }
  return {
    get bytes() {
      return bytes;
    },
    get since() {
      return since;
    },
    async append(text) {
      const data = Buffer.from(bytes === 0 ? encoder.head() + text : text);
      try {
        await file.appendFile(data);
        await file.datasync();
      } catch (error) {
        // Such as a full disk in the middle of a line.
        await file.truncate(bytes).catch(() => {});
        throw unwritable(path, error);
      }
      if (bytes === 0) since = Date.now();
      bytes += data.length;
    },
    async lines() {
      if (bytes === 0) return 0;
      const chunk = Buffer.alloc(256 * 1024);
      let lines = encoder.head() === '' ? 0 : -1;
      for (let at = 0; at < bytes; ) {
        const { bytesRead } = await file.read(chunk, 0, chunk.length, at);
        if (bytesRead === 0) break;
        for (let i = chunk.indexOf(10); i >= 0 && i < bytesRead; i = chunk.indexOf(10, i + 1)) lines++;
        at += bytesRead;
      }
      return lines;
    },
    close: () => file.close(),
  };
}
