import { realpath, rename, rm, stat } from 'node:fs/promises';
import { dirname, extname, resolve, sep } from 'node:path';
import { AiotError } from './errors/index.js';
import { syncFolder, writeFileAtomic } from './files.js';
import { targetOf } from './target.js';

/**
 * Refuses to write over a file that is read, also when one of them is a link to the other. Of a folder that is read, the CSV
 * files in it count.
 * @throws AIOT_FILE_IS_INPUT
 */
export async function refuseInputs(
  out: readonly (string | undefined)[],
  read: readonly (string | undefined)[],
): Promise<void> {
  const inputs = new Map<string, string>();
  for (const file of read) if (file !== undefined) inputs.set(await real(file), file);
  for (const file of out) {
    if (file === undefined) continue;
    const target = await real(file);
    const input = inputs.get(target) ?? (await folderOf(target, inputs));
    if (input === undefined) continue;
    // A folder as the output itself is told of when it is written.
    if (await isFolder(target)) continue;
    throw new AiotError('AIOT_FILE_IS_INPUT', `${file} would be written over ${input}, which is read`);
  }
}

/** The folder among those read that an existing CSV file lies in. */
async function folderOf(target: string, inputs: ReadonlyMap<string, string>): Promise<string | undefined> {
  if (extname(target) !== '.csv' || !(await stat(target).catch(() => null))?.isFile()) return undefined;
  for (const [folder, input] of inputs) {
    if (target.startsWith(folder + sep)) return `${target.slice(folder.length + 1)} in ${input}`;
  }
  return undefined;
}

async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null))?.isDirectory() === true;
}

async function real(file: string): Promise<string> {
  return await realpath(file).catch(() => resolve(file));
}

/** Files that belong together: all of them are written in full before the first takes its name. @throws AIOT_FILE_NOT_WRITABLE */
export async function writeTogether(files: ReadonlyMap<string, Uint8Array | string>): Promise<void> {
  const [only, ...more] = files;
  if (only !== undefined && more.length === 0) return await writeFileAtomic(...only);
  const parts: { path: string; data: Uint8Array | string; part: string }[] = [];
  for (const [name, data] of files) {
    const path = await targetOf(name);
    parts.push({ path, data, part: `${path}.${process.pid}.part` });
  }
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
