import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { StoredData } from '../../api/stored.js';
import type { PlatformContext } from '../../core/contexts.js';
import { digestOf } from '../../core/crypto.js';
import { AiotError, unless } from '../../core/errors.js';
import { makeFolder, readBytes } from '../../core/files.js';
import { identify, startProgram } from '../../core/process.js';
import { untilAborted } from '../../core/tasks.js';
import { endGroup, stepEnvironment } from './processes.js';
import type { PipelineFolders } from './record.js';

/** The platform that a run's steps use. */
export interface PlatformPort {
  /** Identity of the platform, which is different for each platform. */
  identity(): Promise<string>;
  /** A digest of the platform's data. @throws AIOT_PLATFORM_UNREACHABLE and other errors of the platform */
  dataState(what: StoredData): Promise<string>;
  /**
   * Starts the platform if necessary. Returns the environment variables with which a step finds the platform. @throws AIOT_PLATFORM_FAILED
   */
  ready(signal: AbortSignal): Promise<Record<string, string>>;
  close(): Promise<void>;
}

/** The platform of one of the user's contexts. */
export function platformOfContext(
  name: string,
  { url, ca, fingerprint = '' }: PlatformContext,
): PlatformPort {
  return {
    async identity() {
      const pem = ca === undefined ? '' : await unless('AIOT_FILE_NOT_FOUND', readBytes(ca));
      return `${name} ${url} ${digestOf(pem ?? '')}${fingerprint}`;
    },
    async dataState(what) {
      // Imported here, so that runs without a platform do not load its client.
      const { storedState } = await import('../../api/stored.js');
      return await storedState(name, what);
    },
    ready: async () => ({ AIOT_CONTEXT: name }),
    close: async () => {},
  };
}

/** The project's own platform, which runs only while a step needs it. */
export function ownPlatform(folders: PipelineFolders, self: readonly string[]): PlatformPort {
  let started: Promise<() => Promise<void>> | undefined;
  const closing = new AbortController();
  const env = { AIOT_CONFIG_DIR: folders.config };
  return {
    async identity() {
      const ca = await readBytes(join(folders.platform, 'pki', 'ca.crt')).catch(() => null);
      return ca === null ? 'none yet' : digestOf(ca);
    },
    // This platform stores no data, only versions and rollouts.
    dataState: async () => '',
    async ready(signal) {
      started ??= start(folders, self, env, AbortSignal.any([signal, closing.signal]));
      await started;
      return env;
    },
    async close() {
      // Cancels a start that is in progress.
      closing.abort();
      await (await started?.catch(() => undefined))?.();
    },
  };
}

/** Runs `aiot up` as a child process and waits until the platform is ready. @returns a function that stops the platform */
async function start(
  folders: PipelineFolders,
  self: readonly string[],
  env: Record<string, string>,
  signal: AbortSignal,
): Promise<() => Promise<void>> {
  await makeFolder(folders.platform, 0o700);
  const file = join(folders.platform, 'platform.log');
  const [program = '', ...args] = self;
  const ports = ['--http-port', '0', '--mqtt-port', '0'];
  const log = openSync(file, 'a', 0o600);
  const child = startProgram(program, [...args, 'up', '--data', folders.platform, ...ports, '--json'], {
    detached: true,
    stdio: ['ignore', 'pipe', log],
    env: stepEnvironment(folders.root, env),
  });
  const closed = once(child, 'close').catch(() => {});
  closeSync(log);
  const failed = new AiotError('AIOT_PLATFORM_FAILED', "the project's platform did not start", {
    next: `See ${file}.`,
  });
  const { stdout } = child;
  if (child.pid === undefined || stdout === null) throw failed;
  const own = await identify(child.pid);
  const stop = async () => {
    stdout.destroy();
    await endGroup(own);
    await closed;
  };
  const first = (async () => {
    for await (const line of createInterface({ input: stdout })) return line;
    return '';
  })();
  const line = await untilAborted(first, signal).catch(() => '');
  if (line.includes('"urls"')) return stop;
  await stop();
  signal.throwIfAborted();
  throw failed;
}
