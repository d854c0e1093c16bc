import { access, constants, readdir, stat, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { AiotError, systemCode } from '../core/errors.js';
import { cacheFolder, configFolder, dataFolder } from '../core/folders.js';
import { loadTfjs } from '../model/engine/tfjs/load.js';
import { liteRtModule } from '../runtime/litert.js';
import { checkContexts } from './contexts.js';
import { type Diagnosis, type DoctorOptions, type Finding, fail, ok, warn } from './finding.js';
import { checkPort } from './ports.js';

/** Runs all checks. The checks are independent, and an error in a check becomes a finding. */
export async function examine(options: DoctorOptions): Promise<Diagnosis> {
  const { env, ports, signal } = options;
  const groups: [string, () => Promise<Finding[]> | Finding[]][] = [
    ['node', () => [checkNode(process.versions.node)]],
    ['libraries', () => checkLibraries()],
    ['config folder', () => checkFolder('config folder', configFolder(env), 'private')],
    ['data folder', () => checkFolder('data folder', dataFolder(env), 'any')],
    ['cache folder', () => checkFolder('cache folder', cacheFolder(env), 'any')],
    ['disk', async () => [await checkDisk(dataFolder(env))]],
    ['port http', async () => [await checkPort('port http', ports.http, '--http-port')]],
    ['port mqtts', async () => [await checkPort('port mqtts', ports.mqtts, '--mqtt-port')]],
    ['clock', () => [checkClock(options.now())]],
    ['contexts', () => checkContexts(env, options)],
  ];
  const checks: Finding[] = [];
  for (const [name, check] of groups) {
    signal.throwIfAborted();
    checks.push(...(await guarded(name, check)));
  }
  return { healthy: checks.every(({ status }) => status !== 'fail'), checks };
}

async function guarded(name: string, check: () => Promise<Finding[]> | Finding[]): Promise<Finding[]> {
  try {
    return await check();
  } catch (error) {
    const next = error instanceof AiotError ? error.next : 'Report this with the output of --debug.';
    return [fail(name, error instanceof Error ? error.message : String(error), next)];
  }
}

/** Oldest supported Node version, major and minor, as in `engines` of package.json. */
const oldest = [20, 19] as const;

export function checkNode(version: string): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const good = major > oldest[0] || (major === oldest[0] && minor >= oldest[1]);
  const detail = `Node ${version} on ${process.platform}-${process.arch}`;
  return good
    ? ok('node', detail)
    : fail('node', detail, `Install Node ${oldest.join('.')} or newer from https://nodejs.org.`);
}

const reinstall =
  'Install the dependencies again: npm ci && npm run build in a clone, or npm install -g aiot.';

/**
 * Checks that the two WebAssembly libraries load: LiteRT runs trained models; TensorFlow.js, which is optional, trains with --backend wasm
 * or cpu.
 */
async function checkLibraries(): Promise<Finding[]> {
  return [
    await loads('tensorflow', 'TensorFlow.js on its wasm backend', async () => {
      const loaded = await loadTfjs('wasm').catch((error: unknown) => {
        if (error instanceof AiotError && error.code === 'AIOT_BACKEND_MISSING') return undefined;
        throw error;
      });
      if (!loaded) return 'TensorFlow.js is not installed; only --backend cpu, wasm and node need it';
      return `TensorFlow.js ${loaded.tf.version_core}, backend ${loaded.tf.getBackend()}`;
    }),
    await loads('litert', 'LiteRT', async () => {
      await liteRtModule();
      return 'LiteRT loads';
    }),
  ];
}

async function loads(check: string, what: string, load: () => Promise<string>): Promise<Finding> {
  const started = performance.now();
  try {
    const detail = await load();
    return ok(check, `${detail} (${Math.round(performance.now() - started)} ms)`);
  } catch (error) {
    const reason = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    return fail(check, `${what} does not load: ${String(reason).split('\n')[0]}`, reinstall);
  }
}

/**
 * Checks that a folder, or its nearest existing parent, is writable. `private`: others must not be able to read the folder or the files
 * directly in it, because they contain tokens and keys.
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
    return [fail(check, `${there} is not writable`, `Change its permissions, or set ${variableOf(check)}.`)];
  }
  if (there !== folder) return [ok(check, `${folder}, created when needed`)];
  const info = await stat(folder);
  if (!info.isDirectory())
    return [fail(check, `${folder} is not a folder`, `Move it, or set ${variableOf(check)}.`)];
  const open = mode === 'private' && process.platform !== 'win32' ? await openToOthers(folder) : [];
  if (open.length === 0) return [ok(check, folder)];
  return [fail(check, `other users can read ${open.join(', ')}`, `chmod -R go= ${folder}`)];
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

const mebi = 1024 ** 2;

/** Checks the free space in the platform's data folder. A demo needs tens of MiB, and a busy platform much more. */
async function checkDisk(folder: string): Promise<Finding> {
  const at = await existing(folder);
  const { bavail, bsize } = await statfs(at);
  const free = Number(bavail) * Number(bsize);
  const detail = `${Math.floor(free / mebi).toLocaleString('en')} MiB free for ${folder}`;
  const next = 'Free some space, or set AIOT_DATA_DIR to a folder on another disk.';
  if (free < 100 * mebi) return fail('disk', detail, next);
  return free < 1024 * mebi ? warn('disk', detail, next) : ok('disk', detail);
}

async function existing(path: string): Promise<string> {
  const there = await stat(path).then(
    () => true,
    () => false,
  );
  return there || dirname(path) === path ? path : existing(dirname(path));
}

/** Date when this check was written. A correct clock cannot show an earlier time. */
const earliest = Date.parse('2026-11-01T00:00:00Z');

/** Checks the clock. Certificates and manifests contain dates, so all of them would be rejected on a machine whose clock starts in 1970. */
export function checkClock(now: number): Finding {
  const detail = new Date(now).toISOString();
  return now >= earliest
    ? ok('clock', detail)
    : fail(
        'clock',
        `${detail} is in the past`,
        'Set the clock, or enable time synchronization: timedatectl set-ntp true',
      );
}
