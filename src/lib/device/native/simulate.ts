import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { AiotError, unless } from '../../core/errors.js';
import { makeFolder } from '../../core/files.js';
import { dataFolder } from '../../core/folders.js';
import { readIdentity } from '../../provision/held-identity.js';
import { provisionDevice } from '../../provision/provision.js';
import type { RegistryClient } from '../../registry/client.js';
import { contextFor, withClient } from '../../registry/context.js';
import { type SimulateOptions, simulateDevice } from '../simulate.js';
import { nativeProgram, programAt } from './build.js';

interface NativesOptions extends Omit<SimulateOptions, 'identityDir' | 'native'> {
  /** Name of the platform's context; the one in use when absent. */
  context?: string | undefined;
  /** Folder of the identities, native-1 and so on; default: one of the context in the user's data folder. */
  dir?: string | undefined;
  count: number;
}

/** Each is a process, registered at the platform, and connects by itself. */
const most = 100;

/**
 * Runs native devices at the platform in use, a process each. Those that it does not know yet are registered first. When one fails, all
 * end. @throws AIOT_USAGE (more than 100), AIOT_CONTEXT_NOT_FOUND, AIOT_DEVICE_EXISTS, and what `simulateDevice` throws
 */
export async function simulateNatives(options: NativesOptions): Promise<void> {
  const { count, dir, onBuild, signal } = options;
  if (count > most)
    throw new AiotError('AIOT_USAGE', `--count: expected at most ${most} native devices, got ${count}`, {
      next: 'Start more of them on another machine.',
    });
  if (options.program !== undefined) await programAt(options.program);
  const context = await contextFor(options.context);
  if (options.program === undefined)
    await nativeProgram('aiot-device', { ...(onBuild ? { onBuild } : {}), ...(signal ? { signal } : {}) });
  const folder = dir ?? join(dataFolder(), 'native', context.name);
  const names = Array.from({ length: count }, (_, i) => `native-${i + 1}`);
  await withClient(context.name, async (client) => {
    for (const name of names) await ensureIdentity(client, name, join(folder, name));
  });
  const failed = new AbortController();
  const ends = AbortSignal.any([failed.signal, ...(signal ? [signal] : [])]);
  const runs = names.map((name, i) =>
    simulateDevice({
      ...options,
      identityDir: join(folder, name),
      native: true,
      seed: options.seed + i,
      signal: ends,
    }).catch((error: unknown) => {
      failed.abort();
      throw error;
    }),
  );
  const results = await Promise.allSettled(runs);
  // The first one that failed says why: the others were only ended with it.
  const first = results.find((result) => result.status === 'rejected');
  if (first?.status === 'rejected') throw first.reason;
}

/** An identity of another platform, or of a device that is gone, is made anew. */
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
