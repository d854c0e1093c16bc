import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { readBytes, refuseInputs, writeFileAtomic } from '../../core/files.js';
import { readEspImage } from '../../formats/esp-image/read.js';
import {
  bootKeyDigest,
  bootKeyKind,
  bootKeyKinds,
  bootSignatures,
  keySigner,
  signForBoot,
  signForBootV1,
} from '../../formats/esp-image/secure-boot.js';
import { cryptFlash } from '../../formats/flash-encryption.js';
import { isMcuboot, mcubootKeyKinds } from '../../formats/mcuboot.js';
import { privateKeyOf, publicKeyOf } from './keys.js';
import { verifyMcuboot } from './mcuboot.js';
import { isPkcs11, pkcs11PublicKey, pkcs11Signer } from './pkcs11.js';

export const bootSchemes = ['v1', 'v2'] as const;

export type BootScheme = (typeof bootSchemes)[number];

const signatureSchema = z.object({
  key: z.enum(bootKeyKinds),
  /** SHA-256 of the public key as burned into the fuses, 64 hex digits. */
  keyDigest: z.string(),
  valid: z.boolean(),
});

export const signedImageSchema = z.object({
  file: z.string(),
  bytes: z.int(),
  scheme: z.enum(bootSchemes),
  signatures: z
    .array(signatureSchema)
    .describe('All signatures of version 2, in the order of their blocks; empty for version 1.'),
});

export type SignedImage = z.output<typeof signedImageSchema>;

/**
 * Signs an image for secure boot, and verifies the result before it is written.
 * @param request.keys PEM files, or PKCS#11 URIs; an image signed for V2 keeps its signatures, up to a total of three
 * @throws AIOT_USAGE, AIOT_IMAGE_MALFORMED, AIOT_FILE_…, AIOT_PKCS11_…
 */
export async function signImage(request: {
  file: string;
  keys: readonly string[];
  scheme: BootScheme;
  out: string;
}): Promise<SignedImage> {
  const { file, keys, scheme, out } = request;
  await refuseInputs([out], [file, ...keys.filter((key) => !isPkcs11(key))]);
  const image = await readBytes(file);
  readEspImage(image, file);
  const signers = await Promise.all(
    keys.map(async (key) =>
      isPkcs11(key) ? await pkcs11Signer(key) : keySigner(await privateKeyOf(key), key),
    ),
  );
  if (scheme === 'v1') {
    const [only, ...others] = signers;
    if (only === undefined || others.length > 0)
      throw new AiotError('AIOT_USAGE', 'secure boot V1 uses exactly one key');
    const signed = await signForBootV1(image, only);
    await writeFileAtomic(out, signed);
    return { file: out, bytes: signed.length, scheme, signatures: [] };
  }
  const signed = await signForBoot(image, signers);
  const signatures = bootSignatures(signed, file);
  if (!signatures.every(({ valid }) => valid)) {
    throw new AiotError('AIOT_SIGNATURE_INVALID', `${file}: an existing signature is invalid`, {
      next: 'Sign the unsigned image that the build created.',
    });
  }
  await writeFileAtomic(out, signed);
  return { file: out, bytes: signed.length, scheme, signatures };
}

export const verifiedImageSchema = z.object({
  file: z.string(),
  format: z.enum(['secure-boot', 'mcuboot']),
  signatures: z.array(
    z.object({
      key: z.enum([...new Set([...bootKeyKinds, ...mcubootKeyKinds])]),
      keyDigest: z
        .string()
        .nullable()
        .describe('Hash of the public key as a chip or MCUboot compares it; null = not in the image.'),
      valid: z
        .boolean()
        .nullable()
        .describe(
          'null = not checked, because the image does not contain the key, and no given key matches.',
        ),
      expected: z
        .boolean()
        .nullable()
        .describe('Whether it was made with one of the given keys; null = no key was given.'),
    }),
  ),
  verified: z.boolean().describe('Whether a signature is valid and made with an expected key.'),
});

export type VerifiedImage = z.output<typeof verifiedImageSchema>;

/**
 * Verifies an image's signatures for secure boot V2 or MCUboot. A chip accepts an image with at least one valid signature made with a
 * key in its fuses; MCUboot, with a key that was compiled in.
 * @param keys PEM files with public or private keys; without any, only validity is checked
 * @throws AIOT_USAGE, AIOT_IMAGE_MALFORMED, AIOT_FILE_…
 */
export async function verifyImage(file: string, keys: readonly string[]): Promise<VerifiedImage> {
  const image = await readBytes(file);
  if (isMcuboot(image)) {
    const signatures = (await verifyMcuboot(image, file, keys)).map((signature) => ({
      ...signature,
      expected: keys.length === 0 ? null : signature.valid !== null,
    }));
    return { file, format: 'mcuboot', signatures, verified: signatures.some(({ valid }) => valid === true) };
  }
  readEspImage(image, file);
  const digests = await Promise.all(keys.map(async (path) => (await keyDigest(path)).digest));
  const signatures = bootSignatures(image, file).map((signature) => ({
    ...signature,
    expected: keys.length === 0 ? null : digests.includes(signature.keyDigest),
  }));
  const verified = signatures.some(({ valid, expected }) => valid && expected !== false);
  return { file, format: 'secure-boot', signatures, verified };
}

export const keyDigestSchema = z.object({
  file: z.string(),
  key: z.enum(bootKeyKinds),
  digest: z.string().describe('64 hex digits.'),
  out: z.string().nullable().describe('File with the 32 bytes; null = none was written.'),
});

export type KeyDigest = z.output<typeof keyDigestSchema>;

/**
 * Computes a key's digest for secure boot V2. The digest is burned into a chip's fuses.
 * @param file PEM with a public or a private key, or a PKCS#11 URI @param out file for the 32 bytes
 * @throws AIOT_USAGE, AIOT_FILE_…
 */
export async function keyDigest(file: string, out?: string): Promise<KeyDigest> {
  await refuseInputs([out], isPkcs11(file) ? [] : [file]);
  const key = isPkcs11(file) ? await pkcs11PublicKey(file) : await publicKeyOf(file);
  const digest = bootKeyDigest(key, file);
  if (out !== undefined) await writeFileAtomic(out, digest);
  return { file, key: bootKeyKind(key, file), digest: digest.toString('hex'), out: out ?? null };
}

export const cryptedSchema = z.object({
  file: z.string(),
  bytes: z.int(),
  address: z.int(),
  algorithm: z.enum(['xts-aes-128', 'xts-aes-256']),
});

export type Crypted = z.output<typeof cryptedSchema>;

/**
 * Encrypts or decrypts a file in the form that it has in the flash of a chip with flash encryption (all chips except the ESP32).
 * @param request.key file with the key's 16, 32 or 64 bytes @param request.address in flash, in bytes
 * @throws AIOT_USAGE, AIOT_FILE_…
 */
export async function cryptImage(request: {
  file: string;
  key: string;
  address: number;
  decrypt: boolean;
  out: string;
}): Promise<Crypted> {
  const { file, key, address, decrypt, out } = request;
  await refuseInputs([out], [file, key]);
  const [data, secret] = [await readBytes(file), await readBytes(key)];
  const filled = decrypt ? data : filledUp(data);
  const result = cryptFlash(filled, { secret, address, decrypt });
  // Decrypted flash may contain keys.
  await writeFileAtomic(out, result, decrypt ? 0o600 : undefined);
  const algorithm = secret.length === 64 ? 'xts-aes-256' : 'xts-aes-128';
  return { file: out, bytes: result.length, address, algorithm };
}

/** Pads data to whole blocks of 16 bytes with FF, the value of erased flash. */
function filledUp(data: Uint8Array): Uint8Array {
  const whole = new Uint8Array(Math.ceil(data.length / 16) * 16).fill(0xff);
  whole.set(data);
  return whole;
}
