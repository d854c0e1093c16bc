import { readlink, realpath, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { AiotError, systemCode } from './errors/index.js';

/** As many links in a row as Linux follows. */
const mostLinks = 40;

/**
 * The file that a path to be written stands for: a link's target, there or not, so that the link stays one.
 * @throws AIOT_USAGE (no name), AIOT_FILE_NOT_WRITABLE (a folder, a device or a pipe is there)
 */
export async function targetOf(path: string): Promise<string> {
  if (path === '')
    throw new AiotError('AIOT_USAGE', 'expected the name of a file to write, got an empty one');
  const found = await stat(path).catch((error: unknown) => {
    if (systemCode(error) === 'ELOOP') throw refused(path, 'its links lead round in a circle', error);
    // Not there, or not to be seen: writing tells why it cannot be done.
    return null;
  });
  if (found === null) return await throughLinks(path);
  if (found.isFile()) return await realpath(path).catch(() => path);
  throw refused(path, found.isDirectory() ? 'it is a folder' : 'it is a device or a pipe and not a file');
}

/** A link whose target is missing is written to that target. */
async function throughLinks(path: string): Promise<string> {
  let at = path;
  for (let links = 0; links < mostLinks; links++) {
    const to = await readlink(at).catch(() => null);
    if (to === null) break;
    at = resolve(dirname(at), to);
  }
  return at;
}

function refused(path: string, why: string, cause?: unknown): AiotError {
  return new AiotError('AIOT_FILE_NOT_WRITABLE', `cannot write ${path}: ${why}`, {
    cause,
    endpoint: path,
    next: 'Give the name of a file, new or to be replaced; nothing was written.',
  });
}
