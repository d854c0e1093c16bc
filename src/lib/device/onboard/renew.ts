import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { sha256Hex } from '../../core/crypto.js';
import { AiotError, unless } from '../../core/errors.js';
import { readBytes, readJson } from '../../core/files.js';
import { newId } from '../../core/names.js';
import { systemClock } from '../../core/time.js';
import type { LoaderOptions } from '../../flash/loader/types.js';
import type { ChipName } from '../../formats/esp-image/chips.js';
import { type Birth, verifyBirth } from '../../formats/manifest/birth.js';
import { readPartitionTable } from '../../formats/partitions.js';
import { imageNames, type OldNvs } from '../../provision/chip-image.js';
import {
  type CommonImage,
  chipOfType,
  type ImageRequest,
  imageRequest,
} from '../../provision/chip-options.js';
import type { Enrolment } from '../../provision/enroll.js';
import { nameInImage } from '../../provision/held-identity.js';
import { identityFiles, identitySchema } from '../../provision/identity-folder.js';
import { makeDevice, type ProvisionedDevice } from '../../provision/provision.js';
import type { RegistryClient } from '../../registry/client.js';
import type { DeviceInfo } from '../../registry/fields.js';
import { type Onboarded, onboardDevice } from './onboard.js';

interface RenewRequest {
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

/** So long what somebody just gave to a device is left to them, ms. */
const settleMs = 120_000;

interface Change {
  kind: 'rotate' | 'replace';
  /** Folder that is to get the identity. */
  folder: string;
}

/**
 * Refuses to void what somebody else made for the device a moment ago and has not put to use: of two that rotate or
 * replace it into different folders at about the same time, both would be told that theirs is good. A rotation into the
 * folder that has it is no loss, and one that was cut short has no birth certificate yet: these are repeated at once.
 * @throws AIOT_DEVICE_CHANGED
 */
async function requireSettled(
  client: RegistryClient,
  device: DeviceInfo,
  { kind, folder }: Change,
): Promise<void> {
  const { name, next, fingerprint } = device;
  const newest = kind === 'rotate' ? next?.fingerprint : wasReplaced(device) ? fingerprint : null;
  if (!newest) return;
  const stored = await unless('AIOT_BIRTH_MISSING', client.devices.birth.get(name));
  const trust = await client.trust.get();
  const ago = systemClock.now() - (stored?.stored ?? 0);
  if (!stored || !trust || ago > settleMs) return;
  const { birth } = verifyBirth(stored.envelope, trust);
  if (birth.certificate.fingerprint !== newest || (await isIn(folder, birth))) return;
  const seconds = Math.max(0, Math.round(ago / 1000));
  const wait = `repeat this ${settleMs / 60_000} minutes after`;
  const now = `aiot device rotate ${name} --out ${folder} --now`;
  throw new AiotError(
    'AIOT_DEVICE_CHANGED',
    kind === 'rotate'
      ? `${name} was rotated ${seconds} s ago into another folder or board, and that certificate is not used yet`
      : `${name} was replaced by somebody else ${seconds} s ago`,
    {
      next:
        kind === 'rotate'
          ? `Use that one. To void it: ${wait}; or, which also ends the one in use: ${now}`
          : `aiot device show ${name}; to replace it once more, ${wait}`,
    },
  );
}

/** Another board has an id of its own; the first one's begins with the time of its registration. */
function wasReplaced({ id, created }: DeviceInfo): boolean {
  const timePart = 'dev_'.length + 10;
  return id.slice(0, timePart) !== newId('dev', created).slice(0, timePart);
}

/** Whether a folder holds what a birth certificate tells of. */
async function isIn(folder: string, { images }: Birth): Promise<boolean> {
  const sums = new Set<string>();
  for (const name of [...identityFiles, ...Object.values(imageNames)]) {
    const path = join(folder, name);
    if (existsSync(path)) sums.add(sha256Hex(await readBytes(path)));
  }
  return images.every(({ sha256 }) => sums.has(sha256));
}
