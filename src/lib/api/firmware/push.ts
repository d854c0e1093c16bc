import * as z from 'zod';
import { digestOf } from '../../core/crypto.js';
import { AiotError, hasCode } from '../../core/errors.js';
import { readBytes } from '../../core/files.js';
import { namePattern } from '../../core/names.js';
import { buildIdOf, readAnyElf } from '../../formats/elf/read.js';
import type { RegistryClient } from '../client.js';
import { firmwareVersionSchema } from '../contract/releases.js';
import { pushAttempts, signedRelease, type TrustReader, waitForTurn } from '../signatures.js';
import { bundleTypes } from './bundle.js';
import { type FirmwareImage, readFirmware } from './image.js';
import { pushedSymbolsSchema, pushSymbols } from './symbols.js';

export const pushedFirmwareSchema = firmwareVersionSchema.extend({
  /** The pushed file. */
  file: z.string(),
  /** The ELF file that was uploaded to decode crashes; null = none. */
  symbols: pushedSymbolsSchema.nullable(),
});
export type PushedFirmware = z.output<typeof pushedFirmwareSchema>;

export interface PushFirmwareOptions {
  client: TrustReader & {
    firmware: Pick<RegistryClient['firmware'], 'next' | 'push'>;
    blobs: Pick<RegistryClient['blobs'], 'put'>;
    crashes: Pick<RegistryClient['crashes'], 'addSymbols'>;
  };
  /** An application image (.bin), a program for a computer (ELF), or a bundle (.swu, .raucb, MCUboot image). */
  path: string;
  /** The unstripped ELF file of the same build, which the platform uses to decode crashes. */
  elf?: string | undefined;
  /** Name of the firmware; default: the project's name in the image. */
  name?: string | undefined;
  /** Device types for which the firmware is released; default: derived from the image. */
  deviceTypes?: string[] | undefined;
  /** Anti-rollback version of a program or bundle; default: that of the image, or 0. */
  secureVersion?: number | undefined;
  /** The operator's signing key, PKCS#8 PEM. It is used for signing here and never sent. */
  privatePem: string;
  /** Time after which devices reject the manifest, ms from now; absent = no expiry. */
  validMs?: number | undefined;
}

/**
 * Checks an application image, uploads it, and pushes a manifest of kind `firmware`, which is signed here, as the next version.
 * @throws AIOT_IMAGE_MALFORMED, AIOT_USAGE (a missing or invalid name; a bootloader; another secure version than the image's; the ELF file of
 * another build), AIOT_VERSION_CONFLICT
 */
export async function pushFirmware(options: PushFirmwareOptions): Promise<PushedFirmware> {
  const { client, path, privatePem, validMs } = options;
  const content = await readBytes(path);
  const image = readFirmware(content, path);
  const name = nameOf(options, image);
  const deviceTypes = options.deviceTypes ?? [usualType(image)];
  checkTypes(deviceTypes);
  const secureVersion = secureVersionOf(options, image);
  const artifact = {
    name: image.bundle ? `bundle.${image.bundle}` : 'app.bin',
    digest: digestOf(content),
    bytes: content.length,
  };
  if (options.elf !== undefined)
    requireSameBuild(await readBytes(options.elf), options.elf, content, options);
  const symbols = options.elf === undefined ? null : await pushSymbols(client, options.elf);
  await client.blobs.put(artifact.digest, content);
  // A program for a computer is itself the ELF file with its symbols, so its crashes can be symbolized as soon as devices run it.
  if (image.chip === null && !image.bundle && buildIdIn(content) !== null)
    await client.crashes.addSymbols(artifact.digest);
  for (let attempt = 1; ; attempt++) {
    const next = await client.firmware.next(name);
    const issued = Date.now();
    const envelope = await signedRelease(
      client,
      {
        spec: 'aiot-manifest/1',
        role: 'release',
        kind: 'firmware',
        name,
        ...next,
        floor: 0,
        issued,
        expires: validMs === undefined ? null : issued + validMs,
        deviceTypes,
        artifacts: [artifact],
        // Devices with older firmware accept no manifest with this member.
        ...(secureVersion > 0 ? { secureVersion } : {}),
      },
      privatePem,
    );
    try {
      return { ...(await client.firmware.push(name, envelope)), file: path, symbols };
    } catch (error) {
      if (attempt === pushAttempts || !hasCode(error, 'AIOT_VERSION_CONFLICT')) throw error;
    }
    await waitForTurn(attempt);
  }
}

/** Rejects the ELF file of another build, whose functions would be shown for wrong addresses. A bundle does not name its program's build. */
function requireSameBuild(elf: Uint8Array, file: string, content: Uint8Array, { path }: PushFirmwareOptions) {
  const { chip, bundle, elfSha256 } = readFirmware(content, path);
  if (bundle !== undefined && bundle !== null) return;
  const [own, wanted] =
    chip === null
      ? [buildIdIn(elf), buildIdIn(content)]
      : [digestOf(elf).slice('sha256:'.length), elfSha256 ?? null];
  if (own !== null && own === wanted) return;
  const short = (build: string | null) => (build === null ? 'none' : build.slice(0, 16));
  throw new AiotError(
    'AIOT_USAGE',
    `${file} is not of the same build as ${path}: its build is ${short(own)}, that of the image ${short(wanted)}`,
    { next: 'Specify the ELF file that the build of this image wrote.' },
  );
}

/** The GNU build ID of a program; null = it has none. */
function buildIdIn(elf: Uint8Array): string | null {
  try {
    return buildIdOf(readAnyElf(elf));
  } catch {
    // The platform stores programs whose headers are incomplete, such as those of other linkers.
    return null;
  }
}

function nameOf({ name, path }: PushFirmwareOptions, image: FirmwareImage): string {
  if (name === undefined && image.bootloader && image.app === null) {
    throw new AiotError(
      'AIOT_USAGE',
      `${path} is a bootloader or a RAM-only program, so it contains no name`,
      {
        next: 'If this is intended, add a name: --name NAME',
      },
    );
  }
  const found = name ?? image.app?.project ?? '';
  if (namePattern.test(found)) return found;
  const got = found === '' ? 'none' : `"${found}"`;
  throw new AiotError(
    'AIOT_USAGE',
    `expected a name of letters, digits, dot, dash or underscore, got ${got}`,
    {
      next: 'Specify a name: --name NAME',
    },
  );
}

function secureVersionOf({ secureVersion, path }: PushFirmwareOptions, image: FirmwareImage): number {
  const own = image.secureVersion;
  if (own === undefined || secureVersion === undefined || own === secureVersion)
    return secureVersion ?? own ?? 0;
  throw new AiotError(
    'AIOT_USAGE',
    `${path} has the secure version ${own}, which differs from ${secureVersion}`,
    {
      next: 'Omit --secure-version. To change an image, run `aiot firmware image patch`, then sign the image.',
    },
  );
}

function usualType({ chip, bundle }: FirmwareImage): string {
  return bundle ? bundleTypes[bundle] : (chip ?? 'virtual');
}

function checkTypes(deviceTypes: string[]): void {
  const wrong = deviceTypes.find((type) => !namePattern.test(type));
  if (wrong === undefined && deviceTypes.length > 0) return;
  throw new AiotError('AIOT_USAGE', `expected device types such as esp32, got "${wrong ?? ''}"`);
}
