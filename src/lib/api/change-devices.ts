import * as z from 'zod';
import { catalogue, type ErrorCode } from '../core/catalogue.js';
import { AiotError } from '../core/errors.js';
import type { RegistryClient } from './client.js';
import {
  type ChangedDevice,
  changedDeviceSchema,
  type DeviceChange,
  mostChanges,
} from './contract/devices.js';

export const devicesChangedSchema = z.object({
  action: z.string(),
  /** Whether this was a dry run. */
  dryRun: z.boolean(),
  /** The selector; null if a single device was given by name. */
  selector: z.string().nullable(),
  matched: z.int(),
  /**
   * Number of devices that were changed, and number of devices that rejected the change. Devices that were already in the requested state
   * count as neither.
   */
  changed: z.int(),
  refused: z.int(),
  /** The devices, sorted by name. */
  devices: z.array(changedDeviceSchema),
});
export type DevicesChanged = z.output<typeof devicesChangedSchema>;

export interface ChangeDevices {
  client: Pick<RegistryClient, 'devices'>;
  /** A device's name, or a selector for several devices. */
  target: { name: string } | { selector: string };
  change: DeviceChange;
  dryRun: boolean;
  /** Asks the user to confirm the planned changes. If the user declines, nothing is changed. */
  agree?: ((planned: DevicesChanged) => Promise<boolean>) | undefined;
  /** Called after each request if more than one is needed. */
  onProgress?: ((done: number, total: number) => void) | undefined;
}

/**
 * Changes devices and returns the outcome of each. The devices are selected once: exactly those shown to `agree` are changed, even if other
 * devices match later.
 * @throws AIOT_NOT_FOUND if no device matches, AIOT_SELECTOR_INVALID, the error for a named device, AIOT_INTERRUPTED if the user declines
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
    if (!(await agree(planned))) throw new AiotError('AIOT_INTERRUPTED', 'canceled: nothing was changed');
  }
  return named(target, await run(false));
}

/** Exit code: 3 if some devices rejected the change, 1 if all did; undefined = success. */
export function changeExit({ matched, refused }: DevicesChanged): 1 | 3 | undefined {
  if (refused === 0) return undefined;
  return refused === matched ? 1 : 3;
}

async function matching(client: ChangeDevices['client'], selector: string): Promise<string[]> {
  const names = (await client.devices.list(selector)).map(({ name }) => name);
  if (names.length > 0) return names;
  throw new AiotError('AIOT_NOT_FOUND', `no device matches ${selector}`, {
    next: 'To see the devices and their types, run `aiot device list`.',
  });
}

function counted(devices: ChangedDevice[]) {
  const count = (wanted: ChangedDevice['outcome']) =>
    devices.filter(({ outcome }) => outcome === wanted).length;
  return { matched: devices.length, changed: count('changed'), refused: count('refused'), devices };
}

/** If a single device was given by name and rejected the change, throws its error. */
function named(target: ChangeDevices['target'], result: DevicesChanged): DevicesChanged {
  const error = 'name' in target ? result.devices[0]?.error : null;
  if (!error) return result;
  const code = Object.hasOwn(catalogue, error.code) ? (error.code as ErrorCode) : 'AIOT_PLATFORM_FAILED';
  throw new AiotError(code, error.message);
}
