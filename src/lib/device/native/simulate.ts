import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { RegistryClient } from '../../api/client.js';
import { contextFor, withClient } from '../../api/context.js';
import { AiotError, unless } from '../../core/errors.js';
import { makeFolder } from '../../core/files.js';
import { dataFolder } from '../../core/folders.js';
import { takeLock } from '../../core/lock.js';
import { readIdentity } from '../../provision/held-identity.js';
import { provisionDevice } from '../../provision/provision.js';
import { type SimulateOptions, simulateDevice } from '../simulate.js';
import { nativeProgram, programAt } from './build.js';

interface NativeOptions extends Omit<SimulateOptions, 'identityDir' | 'native'> {
  /** Name of the platform's context; absent = the current one. */
  context?: string | undefined;
}

/** Maximum number of native devices. Each is a process with its own registration and connection. */
const most = 100;

/**
 * Runs a native device as a process against the current platform: the first of native-1, native-2, … that is not
 * running yet. A device that is unknown to the platform is registered first, and its identity is stored in the user's data folder.
 * Each further device's seed is one higher.
 * @throws AIOT_CONTEXT_NOT_FOUND, AIOT_DEVICE_BUSY (100 are running), AIOT_ALREADY_EXISTS, and the errors of
 * `simulateDevice`
 */
export async function simulateNative(options: NativeOptions): Promise<void> {
  const { onBuild, signal, program } = options;
  if (program !== undefined) await programAt(program);
  const context = await contextFor(options.context);
  if (program === undefined)
    await nativeProgram('aiot-device', { ...(onBuild ? { onBuild } : {}), ...(signal ? { signal } : {}) });
  const folder = join(dataFolder(), 'native', context.name);
  const { number, release } = await firstIdle(folder);
  const name = `native-${number}`;
  const identityDir = join(folder, name);
  try {
    await withClient(context.name, (client) => ensureIdentity(client, name, identityDir));
    await simulateDevice({ ...options, identityDir, native: true, seed: options.seed + number - 1 });
  } finally {
    release();
  }
}

/**
 * The number of an idle device, which is locked until `release`. The lock is a file next to the device's folder,
 * because the folder may be recreated.
 * @throws AIOT_DEVICE_BUSY
 */
async function firstIdle(folder: string): Promise<{ number: number; release: () => void }> {
  for (let number = 1; number <= most; number++) {
    const release = await takeLock(join(folder, `native-${number}.lock`));
    if (release) return { number, release };
  }
  throw new AiotError(
    'AIOT_DEVICE_BUSY',
    `${most} native devices are already running on this machine, which is the limit`,
    {
      next: 'Start additional devices on another machine.',
    },
  );
}

/** Creates the identity if it is missing, belongs to another platform, or its device was deleted. */
async function ensureIdentity(client: RegistryClient, name: string, out: string): Promise<void> {
  if (existsSync(join(out, 'device.json'))) {
    const { id } = await readIdentity(out);
    const known = await unless('AIOT_NOT_FOUND', client.devices.get(name));
    if (known?.id === id) return;
    await rm(out, { recursive: true });
  }
  await makeFolder(out, 0o700);
  await provisionDevice({ client, name, type: 'virtual', out });
}
