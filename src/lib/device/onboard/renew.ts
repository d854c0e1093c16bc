import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { RegistryClient } from '../../api/client.js';
import type { DeviceInfo } from '../../api/fields.js';
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
import { type Onboarded, onboardDevice } from './onboard.js';

interface RenewRequest {
  client: RegistryClient;
  name: string;
  kind: 'rotate' | 'replace';
  /**
   * For a rotation: whether the current certificate is revoked immediately instead of at the first use of the new
   * certificate.
   */
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
 * Issues the next certificate of a device (`rotate`; all other data is unchanged), or the first certificate of another board under the
 * device's name (`replace`). The certificate is written into the device's folder or onto its board.
 * @throws AIOT_NOT_FOUND, AIOT_USAGE, AIOT_BIRTH_MISMATCH (not the device's board), AIOT_DEVICE_CHANGED (changed by someone else
 *   meanwhile), and the errors of `provision`
 */
export async function renewDevice(request: RenewRequest): Promise<ProvisionedDevice | Onboarded> {
  const { client, name, kind, port, out, privatePem, onStage, mac } = request;
  if (port === undefined && out === undefined) {
    throw new AiotError('AIOT_USAGE', 'expected the folder of the identity, or the port of the board', {
      next: `Run \`aiot device ${kind} ${name} --out DIR\`, or pass --port PORT for a connected board.`,
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

/** The kind of enrolment for a request. `held` reads the NVS of the connected board. */
async function howFor(
  { kind, now, port }: RenewRequest,
  device: DeviceInfo,
  mac: string | undefined,
  held?: () => Promise<OldNvs | null>,
): Promise<Enrolment> {
  const latest = device.next?.fingerprint ?? device.fingerprint;
  if (kind === 'replace') {
    // A board may replace itself only if rotation is not possible.
    const same = mac !== undefined && mac === device.mac;
    if (!same || (held && !isOf(device, await held()))) return { kind, mac, latest };
    const place = port === undefined ? '--out DIR' : `--port ${port}`;
    throw new AiotError(
      'AIOT_ALREADY_EXISTS',
      `the board ${mac} is already ${device.name}; the replacement must be a different board`,
      {
        subject: 'device',
        next: `To give it a new key and certificate, run \`aiot device rotate ${device.name} ${place}\`.`,
      },
    );
  }
  if (mac !== undefined && device.mac !== null && mac !== device.mac) {
    throw new AiotError(
      'AIOT_BIRTH_MISMATCH',
      `${device.name} is the board ${device.mac}, but the connected board is ${mac}`,
    );
  }
  return { kind, now, latest };
}

/** Checks the name and id in the board's NVS, because a device's MAC may be unknown. @throws AIOT_BIRTH_MISMATCH */
function requireSame(old: OldNvs, device: DeviceInfo): void {
  const { name, id } = nameInImage(old);
  if (name === device.name && id === device.id) return;
  throw new AiotError(
    'AIOT_BIRTH_MISMATCH',
    `expected the board of ${device.name} (${device.id}), got the board of ${name ?? 'no device'} (${id ?? 'no id'})`,
    { next: `To make this board the device, run \`aiot device replace ${device.name} --port PORT\`.` },
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

/** The chip of the device whose folder this is. Another device's folder is rejected. */
async function chipIn(
  folder: string,
  { name, id }: DeviceInfo,
  kind: RenewRequest['kind'],
): Promise<ChipName | null> {
  const path = join(folder, 'device.json');
  if (!existsSync(path)) return null;
  const parsed = identitySchema.safeParse(await readJson(path));
  if (!parsed.success) throw new AiotError('AIOT_FILE_MALFORMED', `${path} is not a device description`);
  if (kind === 'rotate' && parsed.data.name === name && parsed.data.id !== id) {
    const told = `${folder} contains an earlier ${name} (${parsed.data.id}), which was replaced by ${id}`;
    throw new AiotError('AIOT_ALREADY_EXISTS', told, {
      subject: 'identity',
      next: `Specify the device's current folder with \`aiot device rotate ${name} --out DIR\`.`,
    });
  }
  if (parsed.data.name === name) return parsed.data.chip ?? null;
  throw new AiotError(
    'AIOT_ALREADY_EXISTS',
    `${folder} contains the identity of ${parsed.data.name}, not of ${name}`,
    { subject: 'identity' },
  );
}

/** The NVS in the folder's image; its entries are preserved. @throws AIOT_FILE_NOT_FOUND */
async function oldIn(folder: string, name: string) {
  const [nvs, keys] = [join(folder, imageNames.nvs), join(folder, imageNames.keys)];
  if (!existsSync(nvs)) {
    throw new AiotError(
      'AIOT_FILE_NOT_FOUND',
      `${folder} has no image of ${name} to update (${imageNames.nvs})`,
      {
        next: `To update the board, run \`aiot device rotate ${name} --port PORT\`. To start again, run \`aiot device replace ${name} --out ${folder}\`.`,
      },
    );
  }
  return { nvs: await readBytes(nvs), keys: existsSync(keys) ? await readBytes(keys) : null };
}

/**
 * The partition table for which the folder's image was made. The board uses this table, whose NVS offset may differ
 * from the offset in the default table for new boards. The table was checked against the flash size when the image was
 * made.
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

/** How long another user's change to a device is protected, ms. */
const settleMs = 120_000;

interface Change {
  kind: 'rotate' | 'replace';
  /** Folder for the identity. */
  folder: string;
}

/**
 * Rejects a request that would invalidate a recent, unused certificate of another user. If two users rotated or
 * replaced the device into different folders at about the same time, each would believe their own certificate to be
 * valid. Two cases may be repeated immediately: a rotation into the folder that contains the certificate, and an
 * interrupted rotation, which has no birth certificate yet.
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
  const wait = `repeat the command ${settleMs / 60_000} minutes after that change`;
  const now = `aiot device rotate ${name} --out ${folder} --now`;
  throw new AiotError(
    'AIOT_DEVICE_CHANGED',
    kind === 'rotate'
      ? `${name} was rotated ${seconds} s ago into another folder or board, and the new certificate has not been used yet`
      : `${name} was replaced by another user ${seconds} s ago`,
    {
      next:
        kind === 'rotate'
          ? `Use that certificate. To replace it, ${wait}. To revoke the current one as well, run \`${now}\`.`
          : `Look at the device with \`aiot device show ${name}\`. To replace it once more, ${wait}.`,
    },
  );
}

/** Whether the device was replaced. Replacing a device changes its id; the first id starts with the time of registration. */
function wasReplaced({ id, created }: DeviceInfo): boolean {
  const timePart = 'dev_'.length + 10;
  return id.slice(0, timePart) !== newId('dev', created).slice(0, timePart);
}

/** Whether a folder contains the files that are listed in a birth certificate. */
async function isIn(folder: string, { images }: Birth): Promise<boolean> {
  const sums = new Set<string>();
  for (const name of [...identityFiles, ...Object.values(imageNames)]) {
    const path = join(folder, name);
    if (existsSync(path)) sums.add(sha256Hex(await readBytes(path)));
  }
  return images.every(({ sha256 }) => sums.has(sha256));
}
