import { createReadStream, createWriteStream } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { syncFolder, unwritable } from '../../core/files.js';

/** Writes a gzip-compressed copy of a file under another name, completely or not at all. @throws AIOT_FILE_NOT_WRITABLE, AIOT_DISK_FULL */
export async function gzipTo(lines: string, finished: string): Promise<void> {
  await replaceWith(finished, (temporary) =>
    pipeline(createReadStream(lines), createGzip(), createWriteStream(temporary)),
  );
}

/** Calls `write` with a temporary path, syncs the written file, and renames it to `path`. @throws as `gzipTo` */
export async function replaceWith(path: string, write: (temporary: string) => Promise<void>): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.tmp`);
  try {
    await write(temporary);
    const file = await open(temporary, 'r+');
    try {
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw unwritable(path, error);
  }
}
