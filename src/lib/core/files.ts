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
  writeFile,
} from 'node:fs/promises';
import { basename, dirname, extname, join, resolve, sep } from 'node:path';
import { AiotError, systemCode } from './errors.js';

/**
 * Writes the whole file or nothing: temp file in the same folder, fsync, rename, fsync of the folder.
 * Creates missing folders, writes through symbolic links, and replaces only regular files.
 * @throws AIOT_FILE_NOT_WRITABLE, AIOT_DISK_FULL, AIOT_USAGE (an empty name)
 */
export async function writeFileAtomic(
  path: string,
  data: Uint8Array | string | AsyncIterable<string>,
  mode = 0o644,
): Promise<void> {
  const target = await targetOf(path);
  const folder = dirname(target);
  const temporary = temporaryIn(folder);
  try {
    await makeMissing(resolve(folder));
    const file = await open(temporary, 'wx', mode);
    try {
      await writeFile(file, data);
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

/** Maximum number of links in a chain that Linux follows. */
const mostLinks = 40;

/**
 * The file to write for a path. For a link, this is the link's target, even if that does not exist, so that the link remains a
 * link.
 * @throws AIOT_USAGE (no name), AIOT_FILE_NOT_WRITABLE (the path is a folder, a device or a pipe)
 */
async function targetOf(path: string): Promise<string> {
  if (path === '') throw new AiotError('AIOT_USAGE', 'expected an output file name, got an empty one');
  const found = await stat(path).catch((error: unknown) => {
    if (systemCode(error) === 'ELOOP') throw refused(path, 'its symbolic links form a loop', error);
    // If the path is missing or inaccessible, writing reports the reason.
    return null;
  });
  if (found === null) return await throughLinks(path);
  if (found.isFile()) return await realpath(path).catch(() => path);
  throw refused(path, found.isDirectory() ? 'it is a folder' : 'it is a device or a pipe, not a file');
}

/** Follows symbolic links whose target is missing, because the file is created at the target. */
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
    next: 'Specify a file name, new or to be replaced. Nothing was written.',
  });
}

/**
 * Removes temporary files that `writeFileAtomic` left in this folder when a process was killed. Safe only while nothing writes to
 * that folder.
 */
export async function removeLeftovers(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => []))
    if (/^\.[0-9a-f]{12}\.tmp$/.test(name)) await rm(join(folder, name), { force: true });
}

/** Whether an error code means that the disk is full, so that a later attempt may succeed. */
const isFull = (code: string | undefined) =>
  code === 'ENOSPC' || code === 'EDQUOT' || code?.startsWith('SQLITE_FULL') === true;

/**
 * Whether an operation failed because the disk is full. SQLite reports another reason if the full disk prevents it from creating its shared
 * memory file.
 */
export function isForWantOfRoom(error: unknown, folder: string): boolean {
  const code = systemCode(error);
  if (isFull(code) || !code?.startsWith('SQLITE_IOERR')) return isFull(code);
  try {
    return statfsSync(folder).bavail === 0;
  } catch {
    return false;
  }
}

/** The error to throw if a path cannot be written. @param doing verb for the message, such as `write` */
export function unwritable(path: string, error: unknown, doing = 'write'): AiotError {
  if (error instanceof AiotError) return error;
  const code = systemCode(error);
  const full = isForWantOfRoom(error, dirname(path));
  const details = { cause: error, endpoint: path, retryable: full };
  const message = `cannot ${doing} ${path} (${code ?? 'unknown error'})`;
  return new AiotError(full ? 'AIOT_DISK_FULL' : 'AIOT_FILE_NOT_WRITABLE', message, details);
}

/**
 * The error for a failure of the machine, such as a failing disk or too few file handles, wherever in the code it occurs. Undefined for
 * other errors, which the caller reports as bugs.
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
      next: 'Raise the limit on open files (ulimit -n, or LimitNOFILE= in a systemd unit), and repeat the command.',
    });
  return undefined;
}

/**
 * Reports errors early that `writeFileAtomic` would otherwise report only after long work. Leaves nothing behind.
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
    throw error.reworded(error.message.replace(trial, path), { cause: error, endpoint: path });
  } finally {
    await rm(trial, { force: true }).catch(() => {});
    if (isNew) await rmdir(folder).catch(() => {});
  }
}

/**
 * Creates a folder and its missing parents; returns the topmost folder that was created.
 * @throws AIOT_FILE_NOT_WRITABLE, AIOT_DISK_FULL
 */
export async function makeFolder(path: string, mode?: number): Promise<string | undefined> {
  try {
    return await makeMissing(resolve(path), mode);
  } catch (error) {
    throw unwritable(path, error, 'create the folder');
  }
}

/**
 * Replaces mkdir's option `recursive`. On Linux, Node 20 to 24 loop forever if a folder's parent exists and the folder still cannot be
 * created, as in /proc.
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

/** Creates one folder and returns its path; undefined if it already exists. */
async function makeOne(path: string, mode?: number): Promise<string | undefined> {
  try {
    await mkdir(path, { mode });
    return path;
  } catch (error) {
    if (systemCode(error) === 'EEXIST' && (await stat(path)).isDirectory()) return undefined;
    throw error;
  }
}

/** Syncs a folder, because a rename is durable only after that. Skipped on Windows, where folders cannot be opened. */
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

/** Reasons why a file cannot be read, in words. For rarer reasons, the system's code is shown. */
const obstacles: Record<string, string> = {
  EACCES: 'no permission to read it',
  EISDIR: 'it is a folder',
  ELOOP: 'its symbolic links form a loop',
  ERR_FS_FILE_TOO_LARGE: 'it has more than 2 GiB',
};

/** Codes that mean that there is no file at a path. */
const nowhere = new Set(['ENOENT', 'ENOTDIR', 'ENAMETOOLONG']);

/** @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_NOT_READABLE (a folder, a device such as /dev/zero, a silent pipe, or no permission to read) */
export async function readBytes(path: string): Promise<Buffer> {
  try {
    const found = await stat(path);
    // Reading a device may never end.
    if (found.isCharacterDevice() || found.isBlockDevice()) {
      throw new AiotError('AIOT_FILE_NOT_READABLE', `cannot read ${path}: it is a device, not a file`);
    }
    return found.isFIFO() ? await readPipe(path) : await readFile(path);
  } catch (error) {
    if (error instanceof AiotError) throw error;
    const code = systemCode(error) ?? 'unknown error';
    if (nowhere.has(code)) {
      throw new AiotError('AIOT_FILE_NOT_FOUND', `the file ${path} does not exist`, { cause: error });
    }
    const reason = (Object.hasOwn(obstacles, code) && obstacles[code]) || code;
    throw new AiotError('AIOT_FILE_NOT_READABLE', `cannot read ${path}: ${reason}`, { cause: error });
  }
}

/** Maximum time to wait for a writer of a pipe, ms. */
const pipeGraceMs = 1000;

const pipePauseMs = 10;

/**
 * Reads a named pipe, such as the shell's `<(command)`, without blocking. If it were read as a file, a thread would wait for a writer, and
 * no signal could interrupt that thread.
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
      // A pipe without a writer may still get one, unless data has already arrived.
      if (got?.bytesRead === 0 && (chunks.length > 0 || performance.now() > giveUp)) break;
      if (got !== null && got.bytesRead > 0) chunks.push(got.buffer.subarray(0, got.bytesRead));
      else await new Promise((resolve) => setTimeout(resolve, pipePauseMs));
    }
  } finally {
    await pipe.close();
  }
  if (chunks.length > 0) return Buffer.concat(chunks);
  throw new AiotError('AIOT_FILE_NOT_READABLE', `cannot read ${path}: it is a pipe without a writer`);
}

/**
 * Rejects everything but a regular file or a link to one, for example a folder, a pipe or a broken link.
 * @throws AIOT_FILE_NOT_READABLE, AIOT_FILE_NOT_FOUND
 */
export async function requireFile(path: string): Promise<void> {
  const found = await stat(path).catch(() => null);
  if (found?.isFile()) return;
  if (found === null) {
    const to = await readlink(path).catch(() => null);
    const what =
      to === null ? `the file ${path} does not exist` : `${path} is a broken link: ${to} does not exist`;
    throw new AiotError('AIOT_FILE_NOT_FOUND', what);
  }
  const what = found.isDirectory() ? 'a folder' : found.isFIFO() ? 'a pipe' : 'a device or a socket';
  throw new AiotError('AIOT_FILE_NOT_READABLE', `cannot read ${path}: it is ${what}, not a file`);
}

/** Reads a file as UTF-8. @throws as `readBytes` */
export async function readText(path: string): Promise<string> {
  return (await readBytes(path)).toString('utf8');
}

/** Reads a file as JSON. @throws as `readBytes`; AIOT_FILE_MALFORMED with the position that the parser reports */
export async function readJson(path: string): Promise<unknown> {
  const bytes = await readBytes(path);
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new AiotError('AIOT_FILE_MALFORMED', `${path} is not valid JSON: ${reason}`, { cause: error });
  }
}

/**
 * Rejects an output that would overwrite an input file, even through a link. If an input is a folder, the CSV files in it count as inputs
 * too.
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
    // If the output path is a folder, the error is reported when it is written.
    if (await isFolder(target)) continue;
    throw new AiotError('AIOT_FILE_IS_INPUT', `${file} would overwrite the input ${input}`);
  }
}

/** Describes the target, such as `a.csv in data`, if it is an existing CSV file in an input folder. */
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

/** Writes files that belong together: all are written in full before the first one gets its final name. @throws AIOT_FILE_NOT_WRITABLE */
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

/** @throws AIOT_FOLDER_NOT_EMPTY unless the folder is empty or does not exist */
export async function requireNewFolder(dir: string): Promise<void> {
  const names = await readdir(dir).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return [];
    throw new AiotError('AIOT_FOLDER_NOT_EMPTY', `${dir} is not a folder`, { cause: error });
  });
  if (names.length > 0)
    throw new AiotError(
      'AIOT_FOLDER_NOT_EMPTY',
      `${dir} is not empty: it contains ${names.slice(0, 3).join(', ')}`,
      {
        next: 'Specify a new or empty folder.',
      },
    );
}

/**
 * Writes these files into a new or empty folder, after all of them were written beside it.
 * @param files by path relative to the folder @throws AIOT_FILE_NOT_WRITABLE
 */
export async function writeNewFolder(
  dir: string,
  files: ReadonlyMap<string, Uint8Array | string>,
): Promise<void> {
  const staging = join(dirname(dir), `.${basename(dir)}.${randomBytes(4).toString('hex')}.tmp`);
  try {
    for (const folder of new Set([...files.keys()].map((path) => dirname(path))))
      await makeFolder(join(staging, folder));
    for (const [path, data] of files) await writeFileAtomic(join(staging, path), data);
    await makeFolder(dir);
    for (const entry of await readdir(staging)) await rename(join(staging, entry), join(dir, entry));
  } catch (error) {
    if (error instanceof AiotError) throw error;
    throw new AiotError(
      'AIOT_FILE_NOT_WRITABLE',
      `cannot create ${dir} (${systemCode(error) ?? String(error)})`,
      { cause: error, endpoint: dir },
    );
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}
