import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { readBytes, refuseInputs, writeFileAtomic } from '../../core/files.js';
import {
  isMcuboot,
  type McubootDependency,
  type McubootImage,
  type McubootOptions,
  type McubootSignature,
  mcubootKeyKind,
  mcubootKeyKinds,
  mcubootSignatures,
  mcubootVersionText,
  parseMcubootVersion,
  readMcuboot,
  writeMcuboot,
} from '../../formats/mcuboot.js';
import { privateKeyOf, publicKeyOf } from './keys.js';

export const mcubootInfoSchema = z.object({
  version: z.string(),
  headerBytes: z.int(),
  programBytes: z.int(),
  bytes: z.int().describe('Size of header, program and records; padding and a trailer may follow.'),
  loadAddress: z.int().nullable(),
  flags: z.array(z.string()),
  hash: z.object({
    algorithm: z.enum(['sha256', 'sha384', 'sha512']),
    value: z.string().describe('Hex digits. A board reports this hash for each of its slots.'),
    valid: z.boolean().nullable().describe('null = the program is encrypted.'),
  }),
  securityCounter: z.int().nullable(),
  dependencies: z.array(z.object({ image: z.int(), version: z.string() })),
  encryption: z.enum(['ec256', 'x25519', 'rsa-2048', 'aes-kw']).nullable(),
  trailer: z.enum(['pending', 'confirmed']).nullable().describe('State in the trailer of a padded image.'),
  records: z.array(z.object({ name: z.string(), bytes: z.int(), protected: z.boolean() })),
});

export type McubootInfo = z.output<typeof mcubootInfoSchema>;

/** Describes an image as JSON. @throws AIOT_IMAGE_MALFORMED for a wrong hash */
export function mcubootInfo(image: McubootImage, what: string): McubootInfo {
  requireIntact(image, what);
  return {
    version: mcubootVersionText(image.version),
    headerBytes: image.headerBytes,
    programBytes: image.programBytes,
    bytes: image.bytes,
    loadAddress: image.loadAddress === 0 ? null : image.loadAddress,
    flags: image.flags,
    hash: {
      algorithm: image.hash.algorithm,
      value: Buffer.from(image.hash.value).toString('hex'),
      valid: image.intact,
    },
    securityCounter: image.securityCounter,
    dependencies: image.dependencies.map(({ image: number, version }) => ({
      image: number,
      version: mcubootVersionText(version),
    })),
    encryption: image.encryption,
    trailer: image.trailer,
    records: image.tlvs.map(({ name, value, protected: kept }) => ({
      name,
      bytes: value.length,
      protected: kept,
    })),
  };
}

function requireIntact(image: McubootImage, what: string): void {
  if (image.intact !== false) return;
  throw new AiotError('AIOT_IMAGE_MALFORMED', `${what}: the image does not match its hash`);
}

export const signedMcubootSchema = z.object({
  file: z.string(),
  bytes: z.int().describe('Size of the file.'),
  key: z.enum(mcubootKeyKinds).nullable().describe('null = only hashed, not signed.'),
  image: mcubootInfoSchema,
});

export type SignedMcuboot = z.output<typeof signedMcubootSchema>;

export interface SignMcubootRequest
  extends Omit<
    McubootOptions,
    'version' | 'dependencies' | 'key' | 'keyName' | 'encryptFor' | 'securityCounter'
  > {
  file: string;
  out: string;
  version: string;
  /** PEM file with the private key; undefined = only a hash. */
  key?: string;
  /** PEM file with the public key for which the program is encrypted. */
  encrypt?: string;
  /** A number, or `auto`: derived from the version. */
  securityCounter?: string;
  /** Conditions such as `1,2.0.0`: image 1 needs version 2.0.0 or later. */
  dependencies: readonly string[];
}

/**
 * Signs a program for MCUboot, and verifies the result before it is written.
 * @throws AIOT_USAGE, AIOT_IMAGE_TOO_LARGE, AIOT_IMAGE_MALFORMED, AIOT_FILE_…
 */
export async function signMcuboot(request: SignMcubootRequest): Promise<SignedMcuboot> {
  const { file, out, key: keyFile, encrypt, securityCounter, dependencies, ...options } = request;
  await refuseInputs([out], [file, ...(keyFile ? [keyFile] : []), ...(encrypt ? [encrypt] : [])]);
  const program = await readBytes(file);
  if (isMcuboot(program))
    throw new AiotError('AIOT_USAGE', `${file} is already an MCUboot image`, {
      next: 'Sign the program as written by the build, such as build/zephyr/zephyr.bin.',
    });
  const version = parseMcubootVersion(options.version);
  const key = keyFile === undefined ? undefined : await privateKeyOf(keyFile);
  const counter =
    securityCounter === 'auto'
      ? version.major * 2 ** 24 + version.minor * 2 ** 16 + version.revision
      : counterOf(securityCounter);
  const bytes = writeMcuboot(program, {
    ...options,
    version,
    dependencies: dependencies.map(parseDependency),
    ...(key === undefined ? {} : { key, keyName: keyFile }),
    ...(counter === undefined ? {} : { securityCounter: counter }),
    ...(encrypt === undefined ? {} : { encryptFor: await publicKeyOf(encrypt) }),
  });
  const image = readMcuboot(bytes, out);
  await writeFileAtomic(out, bytes);
  return {
    file: out,
    bytes: bytes.length,
    key: key === undefined ? null : mcubootKeyKind(key, keyFile ?? 'key'),
    image: mcubootInfo(image, out),
  };
}

function counterOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (/^(\d+|0x[\da-f]+)$/i.test(text) && value <= 0xffffffff) return value;
  throw new AiotError('AIOT_USAGE', `--security-counter: expected auto or a 32-bit number, got ${text}`);
}

function parseDependency(text: string): McubootDependency {
  const found = /^(\d{1,3}),(.+)$/.exec(text);
  const image = Number(found?.[1]);
  if (found?.[2] === undefined || image > 255)
    throw new AiotError(
      'AIOT_USAGE',
      `--dependency: expected the number of an image and a version, such as 1,2.0.0, got ${text}`,
    );
  return { image, version: parseMcubootVersion(found[2]) };
}

/**
 * Verifies an MCUboot image: its hash, and its signatures with the given keys.
 * @throws AIOT_IMAGE_MALFORMED for a wrong hash, AIOT_USAGE, AIOT_FILE_…
 */
export async function verifyMcuboot(
  bytes: Uint8Array,
  file: string,
  keys: readonly string[],
): Promise<McubootSignature[]> {
  const image = readMcuboot(bytes, file);
  requireIntact(image, file);
  const known = await Promise.all(keys.map(publicKeyOf));
  for (const [index, key] of known.entries()) mcubootKeyKind(key, keys[index] ?? 'key');
  return mcubootSignatures(image, known);
}
