import { randomBytes } from 'node:crypto';
import { constants, statfsSync } from 'node:fs';
import {
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  realpath,
  rename,
  rm,
  rmdir,
  stat,
} from 'node:fs/promises';
import { dirname, extname, join, resolve, sep } from 'node:path';
import { AiotError, systemCode } from './errors.js';

/**
 * Writes the whole file or nothing: temp file in the same folder, fsync, rename, fsync of the folder.
 * Makes missing folders; what a link leads to is written, and nothing but a file is replaced.
 * @throws AIOT_FILE_NOT_WRITABLE, AIOT_DISK_FULL, AIOT_USAGE (an empty name)
 */
export async function writeFileAtomic(path: string, data: Uint8Array | string, mode = 0o644): Promise<void> {
  const target = await targetOf(path);
  const folder = dirname(target);
  const temporary = temporaryIn(folder);
  try {
    await makeMissing(resolve(folder));
    const file = await open(temporary, 'wx', mode);
    try {
      await file.writeFile(data);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, target);
    await syncFolder(folder);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw unwritable(path, error);
  }
}

const temporaryIn = (folder: string) => join(folder, `.${randomBytes(6).toString('hex')}.tmp`);

/** As many links in a row as Linux follows. */
const mostLinks = 40;

/**
 * The file that a path to be written stands for: a link's target, there or not, so that the link stays one.
 * @throws AIOT_USAGE (no name), AIOT_FILE_NOT_WRITABLE (a folder, a device or a pipe is there)
 */
async function targetOf(path: string): Promise<string> {
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

/** Removes the temporary files of a killed `writeFileAtomic`. Only safe while nobody writes in that folder. */
export async function removeLeftovers(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => []))
    if (/^\.[0-9a-f]{12}\.tmp$/.test(name)) await rm(join(folder, name), { force: true });
}

/** Somebody may make room. */
const isFull = (code: string | undefined) =>
  code === 'ENOSPC' || code === 'EDQUOT' || code?.startsWith('SQLITE_FULL') === true;

/** Where SQLite cannot make its shared memory in a folder it does not say why. */
export function isForWantOfRoom(error: unknown, folder: string): boolean {
  const code = systemCode(error);
  if (isFull(code) || !code?.startsWith('SQLITE_IOERR')) return isFull(code);
  try {
    return statfsSync(folder).bavail === 0;
  } catch {
    return false;
  }
}

/** The error to throw for a file system's error on writing a path. @param doing what was tried, before the path */
export function unwritable(path: string, error: unknown, doing = 'write'): AiotError {
  if (error instanceof AiotError) return error;
  const code = systemCode(error);
  const full = isForWantOfRoom(error, dirname(path));
  const details = { cause: error, endpoint: path, retryable: full };
  const message = `cannot ${doing} ${path} (${code ?? 'unknown error'})`;
  return new AiotError(full ? 'AIOT_DISK_FULL' : 'AIOT_FILE_NOT_WRITABLE', message, details);
}

/**
 * For who would else call an error a bug: a disk that fails, and a process that may open no more files, are the machine's, wherever
 * in the code they are met. undefined for any other error.
 */
export function machineFailure(error: unknown): AiotError | undefined {
  const code = systemCode(error);
  const message = error instanceof Error ? error.message : '';
  if (isFull(code)) return new AiotError('AIOT_DISK_FULL', message, { cause: error, retryable: true });
  if (code === 'EIO' || code === 'EROFS')
    return new AiotError('AIOT_FILE_NOT_WRITABLE', message, { cause: error });
  if (code === 'EMFILE' || code === 'ENFILE')
    return new AiotError('AIOT_FILE_NOT_READABLE', message, {
      cause: error,
      next: 'Raise the limit of open files (ulimit -n, LimitNOFILE= of a unit), and repeat.',
    });
  return undefined;
}

/**
 * Refuses early what `writeFileAtomic` would refuse after long work; leaves nothing behind.
 * @throws AIOT_FILE_NOT_WRITABLE, AIOT_DISK_FULL
 */
export async function requireWritable(path: string): Promise<void> {
  const target = await targetOf(path);
  const folder = dirname(target);
  const trial = temporaryIn(folder);
  const isNew = await stat(folder).then(
    () => false,
    () => true,
  );
  try {
    await writeFileAtomic(trial, '');
  } catch (error) {
    if (!(error instanceof AiotError)) throw error;
    throw new AiotError(error.code, error.message.replace(trial, path), { cause: error, endpoint: path });
  } finally {
    await rm(trial, { force: true }).catch(() => {});
    if (isNew) await rmdir(folder).catch(() => {});
  }
}

/**
 * Makes a folder and those above it where they are missing; returns the topmost that had to be made.
 * @throws AIOT_FILE_NOT_WRITABLE, AIOT_DISK_FULL
 */
export async function makeFolder(path: string, mode?: number): Promise<string | undefined> {
  try {
    return await makeMissing(resolve(path), mode);
  } catch (error) {
    throw unwritable(path, error, 'make the folder');
  }
}

/**
 * Not mkdir's own `recursive`: on Linux, Node 20 to 24 try for ever where a folder's parent is there and the folder still
 * cannot be made, as in /proc.
 */
async function makeMissing(path: string, mode?: number): Promise<string | undefined> {
  try {
    return await makeOne(path, mode);
  } catch (error) {
    if (systemCode(error) !== 'ENOENT' || dirname(path) === path) throw error;
  }
  const above = await makeMissing(dirname(path), mode);
  const made = await makeOne(path, mode);
  return above ?? made;
}

/** undefined when it is there already. */
async function makeOne(path: string, mode?: number): Promise<string | undefined> {
  try {
    await mkdir(path, { mode });
    return path;
  } catch (error) {
    if (systemCode(error) === 'EEXIST' && (await stat(path)).isDirectory()) return undefined;
    throw error;
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

/** Why a file cannot be read, in words; rarer reasons are given by the system's code. */
const obstacles: Record<string, string> = {
  EACCES: 'no permission to read it',
  EISDIR: 'it is a folder',
  ELOOP: 'its links lead round in a circle',
  ERR_FS_FILE_TOO_LARGE: 'it has more than 2 GiB',
};

/** A path on which there can be no file. */
const nowhere = new Set(['ENOENT', 'ENOTDIR', 'ENAMETOOLONG']);

/** @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_NOT_READABLE (a folder, a device such as /dev/zero, a silent pipe, or no permission to read) */
export async function readBytes(path: string): Promise<Buffer> {
  try {
    const found = await stat(path);
    // Some of these never end.
    if (found.isCharacterDevice() || found.isBlockDevice()) {
      throw new AiotError('AIOT_FILE_NOT_READABLE', `cannot read ${path}: it is a device and not a file`);
    }
    return found.isFIFO() ? await readPipe(path) : await readFile(path);
  } catch (error) {
    if (error instanceof AiotError) throw error;
    const code = systemCode(error) ?? 'unknown error';
    if (nowhere.has(code)) {
      throw new AiotError('AIOT_FILE_NOT_FOUND', `no such file: ${path}`, { cause: error });
    }
    const reason = (Object.hasOwn(obstacles, code) && obstacles[code]) || code;
    throw new AiotError('AIOT_FILE_NOT_READABLE', `cannot read ${path}: ${reason}`, { cause: error });
  }
}

/** How long a pipe may be without a writer, and how often it is looked at again. */
const pipeGraceMs = 1000;

const pipePauseMs = 10;

/**
 * A pipe by name, such as the shell's `<(command)`. Opened and read without waiting: reading it as a file waits for
 * somebody to write, in a thread that no signal ends.
 */
async function readPipe(path: string): Promise<Buffer> {
  const pipe = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const chunks: Buffer[] = [];
  try {
    const giveUp = performance.now() + pipeGraceMs;
    for (;;) {
      const got = await pipe.read({ buffer: Buffer.alloc(65_536) }).catch((error: unknown) => {
        if (systemCode(error) !== 'EAGAIN') throw error;
        return null;
      });
      // Nothing at the beginning: the writer may still come.
      if (got?.bytesRead === 0 && (chunks.length > 0 || performance.now() > giveUp)) break;
      if (got !== null && got.bytesRead > 0) chunks.push(got.buffer.subarray(0, got.bytesRead));
      else await new Promise((resolve) => setTimeout(resolve, pipePauseMs));
    }
  } finally {
    await pipe.close();
  }
  if (chunks.length > 0) return Buffer.concat(chunks);
  throw new AiotError('AIOT_FILE_NOT_READABLE', `cannot read ${path}: it is a pipe that nobody writes into`);
}

/**
 * Refuses what cannot be read to its end, such as a pipe that nobody writes into, and a link that leads nowhere.
 * @throws AIOT_FILE_NOT_READABLE, AIOT_FILE_NOT_FOUND
 */
export async function requireFile(path: string): Promise<void> {
  const found = await stat(path).catch(() => null);
  if (found?.isFile()) return;
  if (found === null) {
    const to = await readlink(path).catch(() => null);
    const what = to === null ? `no such file: ${path}` : `${path} is a broken link: there is no ${to}`;
    throw new AiotError('AIOT_FILE_NOT_FOUND', what);
  }
  const what = found.isDirectory() ? 'a folder' : found.isFIFO() ? 'a pipe' : 'a device or a socket';
  throw new AiotError('AIOT_FILE_NOT_READABLE', `cannot read ${path}: it is ${what} and not a file`);
}

/** UTF-8. @throws as `readBytes` */
export async function readText(path: string): Promise<string> {
  return (await readBytes(path)).toString('utf8');
}

/** @throws as `readBytes`; AIOT_FILE_MALFORMED with the parser's place */
export async function readJson(path: string): Promise<unknown> {
  const bytes = await readBytes(path);
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new AiotError('AIOT_FILE_MALFORMED', `${path} is not JSON: ${reason}`, { cause: error });
  }
}

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
