import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { access, constants, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { AiotError, systemCode } from '../../core/errors.js';
import { requireFile } from '../../core/files.js';
import { aiotVersion, cacheFolder, packageRoot } from '../../core/folders.js';
import { withLock } from '../../core/lock.js';
import { runProgram } from '../../core/process.js';

/** Time limit of the compiler, ms. */
const buildMs = 300_000;
/**
 * How long programs built from other sources are retained, ms. Another installed version of aiot may still use them.
 */
const keptMs = 7 * 24 * 3_600_000;

/** Programs built by firmware/device.cmake. All except the first are for tests: of updates, and of a program's own settings. */
export type NativeProgram =
  | 'aiot-device'
  | 'aiot-device-next'
  | 'aiot-device-exits'
  | 'aiot-device-unfit'
  | 'aiot-device-deaf'
  | 'aiot-device-pump';

/**
 * Returns the native virtual device as a program for this machine. CMake builds it from the firmware's sources if they have changed.
 * The result is cached for the user. `onBuild` is called before the compiler runs, which takes several seconds.
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
 * Resolves a user-supplied program to its full path, because a bare name would be looked up on the PATH.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_NOT_READABLE, AIOT_NATIVE_PROGRAM (not executable on this machine)
 */
export async function programAt(file: string): Promise<string> {
  await requireFile(file);
  const refuse = (what: string) => new AiotError('AIOT_NATIVE_PROGRAM', `${file} ${what}`);
  await access(file, constants.X_OK).catch(() => {
    throw refuse('is not executable');
  });
  const opened = await open(file).catch(() => {
    throw refuse('is not readable');
  });
  try {
    const { buffer, bytesRead } = await opened.read(Buffer.alloc(4), 0, 4, 0);
    const start = buffer.subarray(0, bytesRead).toString('latin1');
    // Any other file would be passed to a shell, which would run anything that it can interpret.
    if (start !== '\x7fELF' && !start.startsWith('#!')) throw refuse('is neither a program nor a script');
  } finally {
    await opened.close();
  }
  return resolve(file);
}

/** Hash of everything from which the program is built, including the version that it reports. */
async function sumOf(sources: string): Promise<string> {
  const hash = createHash('sha256').update(aiotVersion());
  const files = await filesIn(sources).catch(() => {
    throw new AiotError('AIOT_FILE_NOT_FOUND', `the firmware sources are missing from ${sources}`, {
      next: 'Install aiot again: the package contains them.',
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

/** Removes programs that were built from other sources and have not been used recently. */
async function forgetOthers(folder: string): Promise<void> {
  const all = join(cacheFolder(), 'native');
  for (const name of await readdir(all)) {
    const path = join(all, name);
    if (path === folder || !/^[0-9a-f]{16}$/.test(name)) continue;
    const { mtimeMs } = await stat(path);
    if (Date.now() - mtimeMs > keptMs) await rm(path, { recursive: true, force: true });
  }
}

async function cmake(args: string[], signal?: AbortSignal): Promise<void> {
  let said = '';
  const onOutput = (text: string) => {
    said = (said + text).slice(-4000);
  };
  const { code } = await runProgram('cmake', args, {
    timeoutMs: buildMs,
    signal,
    mostOutput: 0,
    onOutput,
  }).catch((error: unknown) => {
    signal?.throwIfAborted();
    throw missing('CMake', error);
  });
  if (code === 0) return;
  if (/CMAKE_C_COMPILER/.test(said)) throw missing('a C compiler');
  if (/No rule to make target|unknown target/.test(said)) throw missing('OpenSSL 3 or libmosquitto');
  const line = said.split('\n').find((text) => /error/i.test(text)) ?? said.trim().split('\n').at(-1);
  throw new AiotError('AIOT_NATIVE_BUILD', `compiling the native device failed: ${line?.trim()}`);
}

const packages = 'cmake gcc libssl-dev libmosquitto-dev pkg-config';

function missing(what: string, cause?: unknown): AiotError {
  const code = cause === undefined ? 'ENOENT' : (systemCode(cause) ?? 'unknown error');
  const how = code === 'ENOENT' ? 'is not installed' : `cannot run (${code})`;
  return new AiotError('AIOT_PROGRAM_NOT_FOUND', `the native device needs ${what}, which ${how}`, {
    cause,
    next: `On Debian, run \`apt-get install ${packages}\`. Or omit --native.`,
  });
}
