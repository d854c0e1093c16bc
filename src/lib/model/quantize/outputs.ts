import { realpath, rename, rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { AiotError, syncFolder, writeFileAtomic } from '../../core/index.js';

/**
 * Refuses to write over a file that is read, also when one of them is a link to the other.
 * @throws AIOT_FILE_IS_INPUT
 */
export async function refuseInputs(
  out: readonly string[],
  read: readonly (string | undefined)[],
): Promise<void> {
  const inputs = new Map<string, string>();
  for (const file of read) if (file !== undefined) inputs.set(await real(file), file);
  for (const file of out) {
    const input = inputs.get(await real(file));
    if (input === undefined) continue;
    throw new AiotError('AIOT_FILE_IS_INPUT', `${file} would be written over ${input}, which is read`);
  }
}

async function real(file: string): Promise<string> {
  return await realpath(file).catch(() => resolve(file));
}

/** Files that belong together: all of them are written in full before the first takes its name. @throws AIOT_FILE_NOT_WRITABLE */
export async function writeTogether(files: ReadonlyMap<string, Uint8Array | string>): Promise<void> {
  const [only, ...more] = files;
  if (only !== undefined && more.length === 0) return await writeFileAtomic(...only);
  const parts = [...files].map(([path, data]) => ({ path, data, part: `${path}.${process.pid}.part` }));
  try {
    for (const { part, data } of parts) await writeFileAtomic(part, data);
    for (const { part, path } of parts) await rename(part, path);
    for (const folder of new Set(parts.map(({ path }) => dirname(path)))) await syncFolder(folder);
  } catch (error) {
    for (const { part } of parts) await rm(part, { force: true }).catch(() => {});
    if (error instanceof AiotError) throw error;
    const names = parts.map(({ path }) => path).join(', ');
    throw new AiotError('AIOT_FILE_NOT_WRITABLE', `cannot write ${names}`, { cause: error });
  }
}
