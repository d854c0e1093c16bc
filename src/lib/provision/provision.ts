import { basename, join } from 'node:path';
import * as z from 'zod';
import type { RegistryClient } from '../api/client.js';
import { AiotError, hasCode, unless } from '../core/errors.js';
import { readJson } from '../core/files.js';
import { shellWord } from '../core/text.js';
import type { BirthChip } from '../formats/manifest/birth.js';
import { describeCertificate } from './authority.js';
import { type BirthClient, type Made, recordBirth } from './birth.js';
import { checkImages, chipFiles, filesOfChip, imageFor, imageNames, partsOf } from './chip-image.js';
import { type ChipOptions, wifiLoginMethods, wifiTold } from './chip-options.js';
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
import {
  type Identity,
  identityFiles,
  identityOf,
  identitySchema,
  type NewFile,
  openPlace,
} from './identity-folder.js';

export const provisionedDeviceSchema = z.object({
  name: z.string(),
  id: z.string(),
  certificate: z.object({
    /** SHA-256 of the DER, 64 hex digits. */
    fingerprint: z.string(),
    /** ms since 1970 */
    expires: z.int(),
  }),
  /** Files written: those of an identity or, for a chip, `nvs`, `partitions` (and `nvs-keys` if NVS is encrypted). */
  files: z.array(z.string()),
  /** For a chip: the Wi-Fi network that its image configures (`open`: without a password); null = none. */
  wifi: z
    .object({
      ssid: z.string(),
      open: z.boolean(),
      login: z
        .enum(wifiLoginMethods)
        .optional()
        .describe('Method of an enterprise network; absent = another network.'),
      address: z.string().optional().describe('Fixed address; absent = DHCP assigns one.'),
    })
    .nullable()
    .optional(),
  /** URL of the device's platform. */
  platform: z.string().optional(),
  /** Whether a signed birth certificate is in the registry. */
  birth: z.boolean().optional(),
});

export type ProvisionedDevice = z.output<typeof provisionedDeviceSchema>;

interface ProvisionOptions {
  client: EnrolClient;
  name: string;
  /** Device type, for example `virtual`. Each release of a model is for certain device types. */
  type: string;
  /** Folder for the identity; created if missing. */
  out: string;
}

/**
 * Registers a device and writes its identity to `out`: key (0600, created here, never sent), certificate, CA, trust root and device.json.
 * On failure, `out` is restored and the registration is undone.
 * @throws AIOT_ALREADY_EXISTS, AIOT_TRUST_MISSING, AIOT_FILE_NOT_WRITABLE
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

/** Writes the identity for every kind of enrolment. A rotated or replaced identity overwrites the one in the folder. */
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
  /** Options for a chip's image; null = the device is a computer and gets an identity folder. */
  chip: ChipOptions | null;
  /** Folder for the files; null = no files, the image is written only to a board. */
  out: string | null;
  /** Writes the image to the board, after the certificate is issued and before anything is reported. */
  write?: (image: DeviceImage) => Promise<BirthChip>;
  /** The operator's signing key, PKCS#8 PEM. null = this machine does not have the key, so no birth certificate is made. */
  privatePem: string | null;
  /** ms since 1970 */
  now: () => number;
}

/**
 * Makes one device: key, certificate, files or image, and the signed birth certificate in the registry. On failure,
 * no file is left and a new registration is undone.
 * @throws AIOT_USAGE, AIOT_ALREADY_EXISTS, AIOT_NVS_UNFIT and AIOT_FILE_MALFORMED before the platform is contacted;
 * AIOT_ALREADY_EXISTS, AIOT_DEVICE_CHANGED, AIOT_TRUST_MISSING, AIOT_NOT_FOUND; errors of `write`
 */
export async function makeDevice(options: MakeOptions): Promise<ProvisionedDevice & { enrolled: Enrolled }> {
  const { client, name, how, chip, out } = options;
  const type = how.kind === 'new' ? how.type : 'type';
  requireNames({ name, type });
  if (out === null && chip === null) {
    throw new AiotError('AIOT_USAGE', `an output folder is needed for the identity of ${name}`, {
      next: 'Specify it with --out DIR.',
    });
  }
  if (chip) await checkImages([{ name, type, options: chip }]);
  const names = chip ? chipFiles : identityFiles;
  const place = out === null ? null : await openFolder(options, out, names);
  try {
    const enrolled = await enroll(client, name, how);
    const { reply } = enrolled;
    try {
      const image = chip ? imageFor(enrolled, chip) : null;
      const made = image && chip ? filesOfChip(image, reply, chip.chip) : identityOf(enrolled.key, reply);
      const put = async () => (await place?.put(made)) ?? [];
      // Existing files are overwritten only after everything else has succeeded, so that the loser of two concurrent runs leaves them unchanged.
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

/** Opens the folder. If it already contains an identity, the error contains its device's name and the possible next steps. */
async function openFolder({ client, name, how }: MakeOptions, out: string, names: readonly string[]) {
  try {
    return await openPlace(out, names, how.kind !== 'new');
  } catch (error) {
    if (!hasCode(error, 'AIOT_ALREADY_EXISTS', 'identity')) throw error;
    const read = await readJson(join(out, 'device.json')).catch(() => null);
    const held = identitySchema.safeParse(read);
    if (!held.success) throw error;
    throw error.reworded(...(await adviceFor(client, name, { out, held: held.data })));
  }
}

/**
 * The error message for a folder that already contains an identity, and the next step. Both depend on whether the device exists on the
 * platform.
 */
async function adviceFor(
  client: AskingClient,
  name: string,
  { out, held }: { out: string; held: Identity },
): Promise<[message: string, details: { next: string }]> {
  const folder = shellWord(out);
  if (held.name !== name) {
    return [
      `${out} already contains the identity of ${held.name}`,
      { next: `Choose another folder with \`aiot device provision ${name} --out DIR\`.` },
    ];
  }
  const renewed = `For a new key and certificate, run \`aiot device rotate ${name} --out ${folder}\`.`;
  const another = 'For another device, choose another name and folder.';
  try {
    const known = await unless('AIOT_NOT_FOUND', client.devices.get(name));
    if (known && known.state !== 'revoked' && known.id === held.id) {
      return [
        `${name} is already registered, and ${out} contains its identity`,
        { next: `Use the folder as it is. ${renewed} ${another}` },
      ];
    }
    const why =
      known && known.state !== 'revoked'
        ? `which is registered with a newer one (${known.id})`
        : 'which is not registered on this platform';
    return [
      `${out} contains an identity of ${name} (${held.id}), ${why}`,
      {
        next: `If it belongs to another platform, add --context NAME. Otherwise move or delete ${folder}, or choose another folder with --out.`,
      },
    ];
  } catch {
    // The platform does not respond, so the advice depends on the folder alone.
    return [`${out} already contains the identity of ${name}`, { next: `Use it. ${renewed} ${another}` }];
  }
}

/** Files to report: for a chip only the images, because only they are written to flash. */
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
  // The private key is not recorded in the birth certificate, not even as a hash.
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
 * Checks that a certificate is still valid for its device before it replaces another in a folder or on a board. The device may have been
 * rotated or replaced since it was issued.
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
  throw new AiotError('AIOT_DEVICE_CHANGED', `${name} was ${what} by another user at the same time`, {
    next: `Look at it with \`aiot device show ${name}\`, then repeat the command if the change is still needed.`,
  });
}
