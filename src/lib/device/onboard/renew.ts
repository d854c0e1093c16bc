import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { AiotError, readBytes, readJson, systemClock } from '../../core/index.js';
import type { LoaderOptions } from '../../flash/index.js';
import { type ChipName, readPartitionTable } from '../../formats/index.js';
import {
  type CommonImage,
  chipOfType,
  type Enrolment,
  type ImageRequest,
  identitySchema,
  imageNames,
  imageRequest,
  makeDevice,
  nameInImage,
  type OldNvs,
  type ProvisionedDevice,
} from '../../provision/index.js';
import type { DeviceInfo, RegistryClient } from '../../registry/index.js';
import { type Onboarded, onboardDevice } from './onboard.js';
import { requireSettled } from './settled.js';

export interface RenewRequest {
  client: RegistryClient;
  name: string;
  kind: 'rotate' | 'replace';
  /** Of a rotation: the certificate in use ends at once, not when the new one is used. */
  now: boolean;
  chip: ChipName | undefined;
  out: string | undefined;
  port: string | undefined;
  loader: LoaderOptions;
  mac: string | undefined;
  image: ImageRequest;
  privatePem: string | null;
  onStage?: (stage: { text: string }) => void;
}

/**
 * The next certificate of a device (`rotate`: everything else that it has stays), or the first one of another board under
 * its name (`replace`): into its folder, or onto its board.
 * @throws AIOT_NOT_FOUND, AIOT_USAGE, AIOT_BIRTH_MISMATCH (another board than the device's), AIOT_DEVICE_CHANGED (by
 * somebody else meanwhile), and as `provision`
 */
export async function renewDevice(request: RenewRequest): Promise<ProvisionedDevice | Onboarded> {
  const { client, name, kind, port, out, privatePem, onStage, mac } = request;
  if (port === undefined && out === undefined) {
    throw new AiotError('AIOT_USAGE', 'expected the folder of its identity, or the port of its board', {
      next: `aiot device ${kind} ${name} --out DIR, or --port PORT`,
    });
  }
  const device = await client.devices.get(name);
  const image = await imageRequest(request.image);
  const now = () => systemClock.now();
  if (port !== undefined) {
    return await onboardDevice({
      ...{ client, name, port, image, privatePem, now, loader: request.loader, out: out ?? null },
      how: (board, held) => howFor(request, device, board.mac, held),
      requireOld: (old) => requireSame(old, device),
      ...(onStage && { onStage: (text) => onStage({ text }) }),
    });
  }
  const folder = out ?? '';
  if (kind === 'replace' || !request.now) await requireSettled(client, device, { kind, folder });
  const made = await chipIn(folder, device, kind);
  const chip = request.chip ?? made ?? chipOfType(device.type);
  const how = await howFor(request, device, mac);
  const old = kind === 'rotate' && chip ? await oldIn(folder, name) : null;
  const own = old && image.table === null ? await tableIn(folder, image) : {};
  const options =
    chip === null ? null : ({ ...image, ...own, chip, old } satisfies CommonImage & { chip: ChipName });
  const { enrolled: _, ...renewed } = await makeDevice({
    ...{ client, name, how, chip: options, out: folder, privatePem, now },
  });
  return renewed;
}

/** `held`: the NVS of the board that is there. */
async function howFor(
  { kind, now, port }: RenewRequest,
  device: DeviceInfo,
  mac: string | undefined,
  held?: () => Promise<OldNvs | null>,
): Promise<Enrolment> {
  const latest = device.next?.fingerprint ?? device.fingerprint;
  if (kind === 'replace') {
    // The same board is only begun anew where a rotation has nothing to go on with.
    const same = mac !== undefined && mac === device.mac;
    if (!same || (held && !isOf(device, await held()))) return { kind, mac, latest };
    const place = port === undefined ? '--out DIR' : `--port ${port}`;
    throw new AiotError('AIOT_DEVICE_EXISTS', `the board ${mac} is ${device.name} itself, not another one`, {
      next: `A new key and certificate for it: aiot device rotate ${device.name} ${place}`,
    });
  }
  if (mac !== undefined && device.mac !== null && mac !== device.mac) {
    throw new AiotError(
      'AIOT_BIRTH_MISMATCH',
      `${device.name} is the board ${device.mac}, and this is ${mac}`,
    );
  }
  return { kind, now, latest };
}

/** A MAC may not be known of a device: its board says itself which one it is. @throws AIOT_BIRTH_MISMATCH */
function requireSame(old: OldNvs, device: DeviceInfo): void {
  const { name, id } = nameInImage(old);
  if (name === device.name && id === device.id) return;
  throw new AiotError(
    'AIOT_BIRTH_MISMATCH',
    `expected the board of ${device.name} (${device.id}), got the one of ${name ?? 'no device'} (${id ?? 'no id'})`,
    { next: `Make this board the device: aiot device replace ${device.name} --port PORT` },
  );
}

function isOf({ name, id }: DeviceInfo, old: OldNvs | null): boolean {
  try {
    const held = old && nameInImage(old);
    return held?.name === name && held.id === id;
  } catch (error) {
    if (error instanceof AiotError) return false;
    throw error;
  }
}

/** Whose folder it is; one of another device is refused. */
async function chipIn(
  folder: string,
  { name, id }: DeviceInfo,
  kind: RenewRequest['kind'],
): Promise<ChipName | null> {
  const path = join(folder, 'device.json');
  if (!existsSync(path)) return null;
  const parsed = identitySchema.safeParse(await readJson(path));
  if (!parsed.success) throw new AiotError('AIOT_FILE_MALFORMED', `${path} is no device's description`);
  if (kind === 'rotate' && parsed.data.name === name && parsed.data.id !== id) {
    const told = `${folder} holds an earlier ${name} (${parsed.data.id}), which was replaced by ${id}`;
    throw new AiotError('AIOT_IDENTITY_EXISTS', told, {
      next: `Name the folder of the device as it is: aiot device rotate ${name} --out DIR`,
    });
  }
  if (parsed.data.name === name) return parsed.data.chip ?? null;
  throw new AiotError(
    'AIOT_IDENTITY_EXISTS',
    `${folder} holds the identity of ${parsed.data.name}, not of ${name}`,
  );
}

/** What the image in its folder has, to be kept. @throws AIOT_FILE_NOT_FOUND */
async function oldIn(folder: string, name: string) {
  const [nvs, keys] = [join(folder, imageNames.nvs), join(folder, imageNames.keys)];
  if (!existsSync(nvs)) {
    throw new AiotError(
      'AIOT_FILE_NOT_FOUND',
      `${folder} has no image of ${name} to go on with (${imageNames.nvs})`,
      {
        next: `Onto its board: aiot device rotate ${name} --port PORT; as new: aiot device replace ${name} --out ${folder}`,
      },
    );
  }
  return { nvs: await readBytes(nvs), keys: existsSync(keys) ? await readBytes(keys) : null };
}

/**
 * The table that the folder's image is for: its board has it, and NVS is where it says. The one that a new board gets may
 * have NVS elsewhere. It was held against the flash when it was made.
 */
async function tableIn(
  folder: string,
  { flashBytes }: CommonImage,
): Promise<Partial<Pick<CommonImage, 'table' | 'flashBytes'>>> {
  const path = join(folder, imageNames.partitions);
  if (!existsSync(path)) return {};
  const table = await readBytes(path);
  const ends = readPartitionTable(table).partitions.map(({ offset, size }) => offset + size);
  return { table, flashBytes: Math.max(flashBytes, ...ends) };
}
