import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { access, constants, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { AiotError, systemCode } from '../../core/errors.js';
import { requireFile } from '../../core/files.js';
import { aiotVersion, cacheFolder, packageRoot } from '../../core/folders.js';
import { withLock } from '../../core/lock.js';
import { startProgram } from '../../core/process.js';

/** How long the compiler may take, ms. */
const buildMs = 300_000;
/** How long programs of other sources are kept: another version of aiot may run them, ms. */
const keptMs = 7 * 24 * 3_600_000;

/** The programs that firmware/device.cmake knows; all but the first are for tests of updates. */
export type NativeProgram =
  | 'aiot-device'
  | 'aiot-device-next'
  | 'aiot-device-exits'
  | 'aiot-device-unfit'
  | 'aiot-device-deaf';

/**
 * The native virtual device as a program of this machine: built by CMake from the firmware's sources when they have changed,
 * kept in the user's cache. `onBuild` is called before the compiler, which takes some seconds.
 * @throws AIOT_PROGRAM_NOT_FOUND (no CMake, compiler or library), AIOT_NATIVE_BUILD
 */
export async function nativeProgram(
  program: NativeProgram = 'aiot-device',
  options: { onBuild?: () => void; signal?: AbortSignal } = {},
): Promise<string> {
  const sources = join(packageRoot(), 'firmware');
  const folder = join(cacheFolder(), 'native', await sumOf(sources));
  const built = join(folder, 'bin', program);
  if (existsSync(built)) return built;
  return await withLock(join(cacheFolder(), 'native', 'build.lock'), buildMs, async () => {
    if (existsSync(built)) return built;
    options.onBuild?.();
    await forgetOthers(folder);
    const work = join(folder, 'build');
    await mkdir(join(folder, 'bin'), { recursive: true });
    const { signal } = options;
    await cmake(
      [
        ...['-S', sources, '-B', work, '-DCMAKE_BUILD_TYPE=Release', '-DAIOT_SANITIZE=OFF'],
        `-DAIOT_FIRMWARE_VERSION=${aiotVersion()}`,
      ],
      signal,
    );
    const jobs = String(Math.max(1, availableParallelism() - 1));
    await cmake(['--build', work, '--parallel', jobs, '--target', program], signal);
    await rename(join(work, program), built);
    return built;
  });
}

/**
 * A program that somebody gives in place of aiot's own: its whole path, for a bare name would be looked for on the PATH.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_NOT_READABLE, AIOT_NATIVE_PROGRAM (nothing that this machine can start)
 */
export async function programAt(file: string): Promise<string> {
  await requireFile(file);
  const refuse = (what: string) => new AiotError('AIOT_NATIVE_PROGRAM', `${file} ${what}`);
  await access(file, constants.X_OK).catch(() => {
    throw refuse('is not executable');
  });
  const opened = await open(file).catch(() => {
    throw refuse('cannot be read');
  });
  try {
    const { buffer, bytesRead } = await opened.read(Buffer.alloc(4), 0, 4, 0);
    const start = buffer.subarray(0, bytesRead).toString('latin1');
    // Anything else would be handed to a shell, which runs what it can make sense of.
    if (start !== '\x7fELF' && !start.startsWith('#!')) throw refuse('is neither a program nor a script');
  } finally {
    await opened.close();
  }
  return resolve(file);
}

/** Of all that the program is made of, and of the version that it says it is. */
async function sumOf(sources: string): Promise<string> {
  const hash = createHash('sha256').update(aiotVersion());
  const files = await filesIn(sources).catch(() => {
    throw new AiotError('AIOT_FILE_NOT_FOUND', `the firmware’s sources are not in ${sources}`, {
      next: 'Install aiot anew: its package holds them.',
    });
  });
  for (const file of files) hash.update(relative(sources, file)).update(await readFile(file));
  return hash.digest('hex').slice(0, 16);
}

async function filesIn(sources: string): Promise<string[]> {
  const found: string[] = [];
  const top = await readdir(sources);
  found.push(
    ...top.filter((name) => /^CMakeLists\.txt$|\.cmake$/.test(name)).map((name) => join(sources, name)),
  );
  for (const part of ['core', 'hal/include', 'hal/host']) {
    const entries = await readdir(join(sources, part), { recursive: true, withFileTypes: true });
    for (const entry of entries) if (entry.isFile()) found.push(join(entry.parentPath, entry.name));
  }
  return found.sort();
}

/** Programs of other sources that nobody has built lately are not needed again. */
async function forgetOthers(folder: string): Promise<void> {
  const all = join(cacheFolder(), 'native');
  for (const name of await readdir(all)) {
    const path = join(all, name);
    if (path === folder || !/^[0-9a-f]{16}$/.test(name)) continue;
    const { mtimeMs } = await stat(path);
    if (Date.now() - mtimeMs > keptMs) await rm(path, { recursive: true, force: true });
  }
}

function cmake(args: string[], signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = startProgram('cmake', args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: buildMs,
      signal,
    });
    let said = '';
    const take = (chunk: Buffer) => {
      said = (said + chunk.toString('utf8')).slice(-4000);
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.on('error', (error) => reject(signal?.aborted ? signal.reason : missing('CMake', error)));
    child.on('close', (code) => {
      if (code === 0) return resolve();
      if (/CMAKE_C_COMPILER/.test(said)) return reject(missing('a C compiler'));
      if (/No rule to make target|unknown target/.test(said))
        return reject(missing('OpenSSL 3 or libmosquitto'));
      const line = said.split('\n').find((text) => /error/i.test(text)) ?? said.trim().split('\n').at(-1);
      reject(new AiotError('AIOT_NATIVE_BUILD', `the native device could not be built: ${line?.trim()}`));
    });
  });
}

const packages = 'cmake gcc libssl-dev libmosquitto-dev pkg-config';

function missing(what: string, cause?: unknown): AiotError {
  const code = cause === undefined ? 'ENOENT' : (systemCode(cause) ?? 'unknown error');
  const how = code === 'ENOENT' ? 'is not here' : `cannot be run (${code})`;
  return new AiotError('AIOT_PROGRAM_NOT_FOUND', `the native device takes ${what}, which ${how}`, {
    cause,
    next: `On Debian: apt-get install ${packages}. Or leave --native out.`,
  });
}
