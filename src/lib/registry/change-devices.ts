import * as z from 'zod';
import { catalogue, type ErrorCode } from '../core/catalogue.js';
import { AiotError } from '../core/errors.js';
import type { RegistryClient } from './client.js';
import { type ChangedDevice, changedDeviceSchema, type DeviceChange, mostChanges } from './fleet-api.js';

export const devicesChangedSchema = z.object({
  action: z.string(),
  /** Whether nothing was done. */
  dryRun: z.boolean(),
  /** null where one device was named. */
  selector: z.string().nullable(),
  matched: z.int(),
  /** Those that were as they should be before are in none of the two. */
  changed: z.int(),
  refused: z.int(),
  /** By name. */
  devices: z.array(changedDeviceSchema),
});
export type DevicesChanged = z.output<typeof devicesChangedSchema>;

export interface ChangeDevices {
  client: Pick<RegistryClient, 'devices'>;
  /** One device, or those that a selector matches. */
  target: { name: string } | { selector: string };
  change: DeviceChange;
  dryRun: boolean;
  /** Asked before anything is changed, with what would be done; where it is not agreed to, nothing is. */
  agree?: ((planned: DevicesChanged) => Promise<boolean>) | undefined;
  /** Called where there are more than one request takes. */
  onProgress?: ((done: number, total: number) => void) | undefined;
}

/**
 * Changes devices, and tells of each. The set is that of the moment it was asked for: what `agree` was shown is what is
 * changed, and a device that fits later is not. @throws AIOT_NOT_FOUND where nothing matches, AIOT_SELECTOR_INVALID, what
 * refuses a device that was named, AIOT_INTERRUPTED where it was not agreed to
 */
export async function changeDevices(options: ChangeDevices): Promise<DevicesChanged> {
  const { client, target, change, dryRun, agree, onProgress } = options;
  const selector = 'selector' in target ? target.selector : null;
  const names = 'name' in target ? [target.name] : await matching(client, target.selector);
  const run = async (dry: boolean): Promise<DevicesChanged> => {
    const devices: ChangedDevice[] = [];
    for (let i = 0; i < names.length; i += mostChanges) {
      devices.push(...(await client.devices.change(names.slice(i, i + mostChanges), change, dry)));
      if (!dry && names.length > mostChanges) onProgress?.(devices.length, names.length);
    }
    return { ...counted(devices), action: change.action, dryRun: dry, selector };
  };
  if (dryRun) return named(target, await run(true));
  if (agree) {
    const planned = named(target, await run(true));
    if (planned.changed === 0) return { ...planned, dryRun: false };
    if (!(await agree(planned))) throw new AiotError('AIOT_INTERRUPTED', 'stopped: nothing was changed');
  }
  return named(target, await run(false));
}

/** 3 where some refused, 1 where all did; undefined = all is well. */
export function changeExit({ matched, refused }: DevicesChanged): 1 | 3 | undefined {
  if (refused === 0) return undefined;
  return refused === matched ? 1 : 3;
}

async function matching(client: ChangeDevices['client'], selector: string): Promise<string[]> {
  const names = (await client.devices.list(selector)).map(({ name }) => name);
  if (names.length > 0) return names;
  throw new AiotError('AIOT_NOT_FOUND', `no device matches ${selector}`, { next: 'aiot device list' });
}

function counted(devices: ChangedDevice[]) {
  const count = (wanted: ChangedDevice['outcome']) =>
    devices.filter(({ outcome }) => outcome === wanted).length;
  return { matched: devices.length, changed: count('changed'), refused: count('refused'), devices };
}

/** Of one device that was named, a refusal is the error of the whole. */
function named(target: ChangeDevices['target'], result: DevicesChanged): DevicesChanged {
  const error = 'name' in target ? result.devices[0]?.error : null;
  if (!error) return result;
  const code = Object.hasOwn(catalogue, error.code) ? (error.code as ErrorCode) : 'AIOT_PLATFORM_FAILED';
  throw new AiotError(code, error.message);
}
