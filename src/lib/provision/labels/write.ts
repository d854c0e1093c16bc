import { AiotError, requireWritable, writeFileAtomic } from '../../core/index.js';
import type { DeviceInfo, RegistryClient } from '../../registry/index.js';
import { deviceLabels, labelFormatOf } from './labels.js';
import type { LabelDevice } from './types.js';

/** Refuses a file of labels before anything is made. @throws AIOT_USAGE, AIOT_FILE_NOT_WRITABLE */
export async function requireLabelFile(file: string | undefined): Promise<void> {
  if (file === undefined) return;
  labelFormatOf(file);
  await requireWritable(file);
}

/** Writes the labels of devices into a file, in their order. @throws AIOT_USAGE, AIOT_FILE_NOT_WRITABLE */
export async function writeLabels(file: string, devices: readonly LabelDevice[]): Promise<void> {
  await writeFileAtomic(file, await deviceLabels(devices, labelFormatOf(file)));
}

/** A device as the registry has it; the one that waits for its first certificate has no label yet. @throws AIOT_REQUEST_INVALID */
export function labelOf({ name, id, type, mac, chipId, fingerprint, next }: DeviceInfo): LabelDevice {
  const certificate = next?.fingerprint ?? fingerprint;
  if (certificate !== null) return { name, id, type, mac, chipId, fingerprint: certificate };
  throw new AiotError('AIOT_REQUEST_INVALID', `${name} has no certificate yet`, {
    next: 'Its label is printed when it has claimed it.',
  });
}

export interface LabelDevicesOptions {
  client: { devices: Pick<RegistryClient['devices'], 'get' | 'list'> };
  /** None = all that have a certificate and are not revoked. */
  names: readonly string[];
  out: string;
}

/** Writes the labels of devices of the registry; returns their names. @throws AIOT_NOT_FOUND, and as `writeLabels` */
export async function labelDevices({ client, names, out }: LabelDevicesOptions): Promise<string[]> {
  await requireLabelFile(out);
  const found: DeviceInfo[] = [];
  for (const name of names) found.push(await client.devices.get(name));
  const all = names.length > 0 ? found : (await client.devices.list()).filter(printable);
  await writeLabels(out, all.map(labelOf));
  return all.map(({ name }) => name);
}

function printable({ state, fingerprint }: DeviceInfo): boolean {
  return state !== 'revoked' && fingerprint !== null;
}
