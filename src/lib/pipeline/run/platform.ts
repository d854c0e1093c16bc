import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { PlatformContext } from '../../core/contexts.js';
import { digestOf } from '../../core/crypto.js';
import { AiotError, unless } from '../../core/errors.js';
import { makeFolder, readBytes } from '../../core/files.js';
import { startProgram } from '../../core/process.js';
import { untilAborted } from '../../core/tasks.js';
import type { StoredData } from '../../registry/stored.js';
import { endGroup, identify, stepEnvironment } from './processes.js';
import type { PipelineFolders } from './record.js';

/** The platform that steps talk to. */
export interface PlatformPort {
  /** Which one it is: another platform has another one. */
  identity(): Promise<string>;
  /** A digest of the data that it has. @throws AIOT_PLATFORM_UNREACHABLE and what else the platform says */
  dataState(what: StoredData): Promise<string>;
  /** Sees to it that it runs; the variables by which a step finds it. @throws AIOT_PLATFORM_FAILED */
  ready(signal: AbortSignal): Promise<Record<string, string>>;
  close(): Promise<void>;
}

/** The one of a context of the user's. */
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
      // What talks to no platform need not load its client.
      const { storedState } = await import('../../registry/stored.js');
      return await storedState(name, what);
    },
    ready: async () => ({ AIOT_CONTEXT: name }),
    close: async () => {},
  };
}

/** A platform of the project's own, which runs only while a step needs it. */
export function ownPlatform(folders: PipelineFolders, self: readonly string[]): PlatformPort {
  let started: Promise<() => Promise<void>> | undefined;
  const closing = new AbortController();
  const env = { AIOT_CONFIG_DIR: folders.config };
  return {
    async identity() {
      const ca = await readBytes(join(folders.platform, 'pki', 'ca.crt')).catch(() => null);
      return ca === null ? 'none yet' : digestOf(ca);
    },
    // Nobody sends it any: it is there for versions and rollouts alone.
    dataState: async () => '',
    async ready(signal) {
      started ??= start(folders, self, env, AbortSignal.any([signal, closing.signal]));
      await started;
      return env;
    },
    async close() {
      // One that is still starting need not become ready.
      closing.abort();
      await (await started?.catch(() => undefined))?.();
    },
  };
}

/** `aiot up` as a child, until it says that it is ready. @returns what ends it */
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
  const failed = new AiotError('AIOT_PLATFORM_FAILED', 'the platform of the project did not start', {
    next: `Look into ${file}.`,
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
