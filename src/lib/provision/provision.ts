import { basename } from 'node:path';
import * as z from 'zod';
import { AiotError, hasCode } from '../core/errors.js';
import type { BirthChip } from '../formats/manifest/birth.js';
import type { RegistryClient } from '../registry/client.js';
import { describeCertificate } from './authority.js';
import { type BirthClient, type Made, recordBirth } from './birth.js';
import { checkImages, chipFiles, filesOfChip, imageFor, imageNames, partsOf } from './chip-image.js';
import { type ChipOptions, wifiTold } from './chip-options.js';
import type { DeviceImage } from './device-image.js';
import {
  type EnrolClient,
  type Enrolled,
  type Enrolment,
  endOld,
  enroll,
  giveUp,
  requireNames,
} from './enroll.js';
import { identityFiles, identityOf, type NewFile, openPlace } from './identity-folder.js';

export const provisionedDeviceSchema = z.object({
  name: z.string(),
  id: z.string(),
  certificate: z.object({
    /** SHA-256 of the DER, 64 hex digits. */
    fingerprint: z.string(),
    /** ms since 1970 */
    expires: z.int(),
  }),
  /** What was written: an identity, or for a chip `nvs`, `partitions` (and `nvs-keys`, where NVS is encrypted). */
  files: z.array(z.string()),
  /** Of a chip: the network that its image has it join (`open`: without a password), null = none. */
  wifi: z.object({ ssid: z.string(), open: z.boolean() }).nullable().optional(),
  /** URL of the platform that it was given. */
  platform: z.string().optional(),
  /** Whether a signed birth certificate is in the registry. */
  birth: z.boolean().optional(),
});

export type ProvisionedDevice = z.output<typeof provisionedDeviceSchema>;

interface ProvisionOptions {
  client: EnrolClient;
  name: string;
  /** Such as `virtual`: models are released for types. */
  type: string;
  /** Folder of the identity; made when missing. */
  out: string;
}

/**
 * Registers a device and writes its identity into `out`: key (0600, made here, never sent), certificate, CA, trust root
 * and device.json. Where it fails, `out` is as it was and the registration is taken back.
 * @throws AIOT_IDENTITY_EXISTS, AIOT_DEVICE_EXISTS, AIOT_TRUST_MISSING, AIOT_FILE_NOT_WRITABLE
 */
export async function provisionDevice({
  client,
  name,
  type,
  out,
}: ProvisionOptions): Promise<ProvisionedDevice> {
  return await writeIdentity({ client, name, out, how: { kind: 'new', type } });
}

interface IdentityOptions {
  client: EnrolClient;
  name: string;
  how: Enrolment;
  out: string;
}

/** The same for each way to a certificate; a rotated or replaced identity is written over the one in the folder. */
async function writeIdentity({ client, name, how, out }: IdentityOptions): Promise<ProvisionedDevice> {
  requireNames({ name, ...(how.kind === 'new' ? { type: how.type } : {}) });
  const place = await openPlace(out, identityFiles, how.kind !== 'new');
  try {
    const { key, reply } = await enroll(client, name, how);
    const files = await place.put(identityOf(key, reply)).catch(async (error: unknown) => {
      await giveUp(client, name, how);
      throw error;
    });
    await endOld(client, name, how, { key, reply });
    return { name, id: reply.device.id, certificate: describeCertificate(reply.certificate), files };
  } finally {
    await place.leave();
  }
}

export interface MakeOptions {
  client: EnrolClient & BirthClient & AskingClient;
  name: string;
  how: Enrolment;
  /** What is made for a chip; null = a folder with an identity, for a device that is a computer. */
  chip: ChipOptions | null;
  /** Folder of the files; null = none, the image goes onto a board. */
  out: string | null;
  /** Puts the image onto the board, after the certificate is there and before anything is told of it. */
  write?: (image: DeviceImage) => Promise<BirthChip>;
  /** The operator's signing key, PKCS#8 PEM; null = there is none here, and so no birth certificate. */
  privatePem: string | null;
  /** ms since 1970 */
  now: () => number;
}

/**
 * Makes one device: key, certificate, files or image, and the signed birth certificate in the registry. Where it fails,
 * no file is left and a new registration is taken back.
 * @throws AIOT_USAGE, AIOT_IDENTITY_EXISTS, AIOT_NVS_UNFIT and AIOT_PARTITIONS_MALFORMED before the platform is asked;
 * AIOT_DEVICE_EXISTS, AIOT_DEVICE_CHANGED, AIOT_TRUST_MISSING, AIOT_NOT_FOUND; what `write` throws
 */
export async function makeDevice(options: MakeOptions): Promise<ProvisionedDevice & { enrolled: Enrolled }> {
  const { client, name, how, chip, out } = options;
  const type = how.kind === 'new' ? how.type : 'type';
  requireNames({ name, type });
  if (out === null && chip === null) {
    throw new AiotError('AIOT_USAGE', `expected a folder for the identity of ${name}`, { next: '--out DIR' });
  }
  if (chip) await checkImages([{ name, type, options: chip }]);
  const names = chip ? chipFiles : identityFiles;
  const place = out === null ? null : await openPlace(out, names, how.kind !== 'new');
  try {
    const enrolled = await enroll(client, name, how);
    const { reply } = enrolled;
    try {
      const image = chip ? imageFor(enrolled, chip) : null;
      const made = image && chip ? filesOfChip(image, reply, chip.chip) : identityOf(enrolled.key, reply);
      const put = async () => (await place?.put(made)) ?? [];
      // What a folder has already is written over when all else is done: of two at once, the loser keeps it.
      const fresh = how.kind === 'new' ? await put() : null;
      await requireOurs(client, how, enrolled);
      const board = image && options.write ? await options.write(image) : null;
      const birth = await tell(options, enrolled, { image, made, board });
      const files = fresh ?? (await put());
      await endOld(client, name, how, enrolled);
      const certificate = describeCertificate(reply.certificate);
      return {
        name,
        id: reply.device.id,
        certificate,
        files: told(files, chip !== null),
        platform: reply.urls.http,
        ...(chip && { wifi: wifiTold(chip) }),
        birth,
        enrolled,
      };
    } catch (error) {
      await giveUp(client, name, how);
      if (how.kind === 'new') await place?.undo();
      throw error;
    }
  } finally {
    await place?.leave();
  }
}

/** Of a chip the images alone: what is written into its flash. */
function told(files: string[], chip: boolean): string[] {
  const images: readonly string[] = Object.values(imageNames);
  return chip ? files.filter((file) => images.includes(basename(file))) : files;
}

interface Outcome {
  image: DeviceImage | null;
  made: readonly NewFile[];
  board: BirthChip | null;
}

async function tell(
  { client, how, privatePem, now }: MakeOptions,
  { reply }: Enrolled,
  { image, made, board }: Outcome,
): Promise<boolean> {
  if (privatePem === null) return false;
  // Of an identity its key is not told of, by no hash either.
  const parts: Made[] = image
    ? partsOf(image).filter(({ name }) => name !== 'keys')
    : made.filter(({ secret }) => !secret).map(({ name, data }) => ({ name, offset: null, data }));
  await recordBirth(client, { reply, made: parts, chip: board, privatePem, now: now() }).catch(
    async (error: unknown) => {
      if (hasCode(error, 'AIOT_REQUEST_INVALID')) await requireOurs(client, how, { reply });
      throw error;
    },
  );
  return true;
}

type AskingClient = { devices: Pick<RegistryClient['devices'], 'get'> };

/**
 * That a certificate is still one of its device: before it takes the place of another in a folder or on a board, for
 * somebody else may have rotated or replaced the device since it was given.
 * @throws AIOT_DEVICE_CHANGED
 */
async function requireOurs(
  client: AskingClient,
  how: Enrolment,
  { reply }: Pick<Enrolled, 'reply'>,
): Promise<void> {
  if (how.kind === 'new') return;
  const { name, id } = reply.device;
  const now = await client.devices.get(name);
  const { fingerprint } = describeCertificate(reply.certificate);
  if (now.fingerprint === fingerprint || now.next?.fingerprint === fingerprint) return;
  const what = now.id === id ? 'rotated' : 'replaced';
  throw new AiotError('AIOT_DEVICE_CHANGED', `${name} was ${what} by somebody else meanwhile`, {
    next: `aiot device show ${name}`,
  });
}
