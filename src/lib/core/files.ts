import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { AiotError, systemCode } from './errors/index.js';

/**
 * Writes the whole file or nothing: temp file in the same folder, fsync, rename, fsync of the folder.
 * Makes missing folders. @throws AIOT_FILE_NOT_WRITABLE
 */
export async function writeFileAtomic(path: string, data: Uint8Array | string, mode = 0o644): Promise<void> {
  const folder = dirname(path);
  const temporary = join(folder, `.${randomBytes(6).toString('hex')}.tmp`);
  try {
    await mkdir(folder, { recursive: true });
    const file = await open(temporary, 'wx', mode);
    try {
      await file.writeFile(data);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    await syncFolder(folder);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw new AiotError(
      'AIOT_FILE_NOT_WRITABLE',
      `cannot write ${path} (${systemCode(error) ?? 'unknown error'})`,
      {
        cause: error,
        endpoint: path,
      },
    );
  }
}

/** A rename is durable only when its folder is synced too. Folders cannot be opened on Windows: skipped there. */
export async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

export async function writeJsonAtomic(path: string, value: unknown, mode = 0o644): Promise<void> {
  await writeFileAtomic(path, `${JSON.stringify(value, null, 2)}\n`, mode);
}

/** @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED (a folder, or no permission to read) */
export async function readBytes(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') {
      throw new AiotError('AIOT_FILE_NOT_FOUND', `no such file: ${path}`, { cause: error });
    }
    throw new AiotError(
      'AIOT_FILE_MALFORMED',
      `cannot read ${path} (${systemCode(error) ?? 'unknown error'})`,
      {
        cause: error,
      },
    );
  }
}

/** @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED with the parser's place */
export async function readJson(path: string): Promise<unknown> {
  const bytes = await readBytes(path);
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new AiotError('AIOT_FILE_MALFORMED', `${path} is not JSON: ${reason}`, { cause: error });
  }
}
