import { access, constants, readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { systemCode } from '../../core/index.js';
import { type Finding, fail, ok } from '../finding.js';

/**
 * Whether a folder, or where it is not there yet the one it will be made in, can be written. `private`: neither it nor a
 * file right in it may be readable by others, as it holds tokens and keys.
 */
export async function checkFolder(
  check: string,
  folder: string,
  mode: 'private' | 'any',
): Promise<Finding[]> {
  const there = await nearestExisting(folder);
  try {
    await access(there, constants.W_OK | constants.X_OK);
  } catch {
    return [
      fail(check, `${there} cannot be written`, `Give yourself the right to, or set ${variableOf(check)}.`),
    ];
  }
  if (there !== folder) return [ok(check, `${folder}, made when needed`)];
  const info = await stat(folder);
  if (!info.isDirectory())
    return [fail(check, `${folder} is not a folder`, `Move it away, or set ${variableOf(check)}.`)];
  const open = mode === 'private' && process.platform !== 'win32' ? await openToOthers(folder) : [];
  if (open.length === 0) return [ok(check, folder)];
  return [fail(check, `others may read ${open.join(', ')}`, `chmod -R go= ${folder}`)];
}

function variableOf(check: string): string {
  return `AIOT_${check.split(' ')[0]?.toUpperCase()}_DIR`;
}

async function nearestExisting(path: string): Promise<string> {
  try {
    await stat(path);
    return path;
  } catch (error) {
    const parent = dirname(path);
    if (parent === path || (systemCode(error) !== 'ENOENT' && systemCode(error) !== 'ENOTDIR')) return path;
    return nearestExisting(parent);
  }
}

async function openToOthers(folder: string): Promise<string[]> {
  const paths = [folder, ...(await readdir(folder)).map((name) => join(folder, name))];
  const modes = await Promise.all(paths.map(async (path) => ({ path, mode: (await stat(path)).mode })));
  return modes.filter(({ mode }) => (mode & 0o077) !== 0).map(({ path }) => path);
}
