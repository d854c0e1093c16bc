import * as z from 'zod';
import { digestOf } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import { writeFileAtomic } from '../../core/files.js';
import type { Envelope, TrustRoot } from '../../formats/manifest/envelope.js';
import { verifyManifest } from '../../formats/manifest/manifest.js';
import type { RegistryClient } from '../client.js';
import { type FirmwareVersion, firmwareVersionSchema } from '../contract/releases.js';

/** The client calls needed to fetch a version. */
export type FirmwareClient = {
  firmware: Pick<RegistryClient['firmware'], 'get' | 'manifest' | 'versions'>;
  blobs: Pick<RegistryClient['blobs'], 'get'>;
  trust: Pick<RegistryClient['trust'], 'get'>;
};

export interface FetchedFirmware {
  card: FirmwareVersion;
  /** The application image's bytes, exactly as they were signed. */
  bytes: Uint8Array;
  /** The signed envelope, with which the image can be verified against other keys. */
  envelope: Envelope;
}

/** `NAME@3`, `NAME@latest` or `NAME` (the newest). @throws AIOT_USAGE, AIOT_NOT_FOUND */
export async function resolveFirmware(
  client: { firmware: Pick<RegistryClient['firmware'], 'versions'> },
  text: string,
): Promise<{ name: string; version: number }> {
  const [, name, which] = /^([^@]+)(?:@([1-9]\d{0,8}|latest))?$/.exec(text) ?? [];
  if (name === undefined) {
    throw new AiotError('AIOT_USAGE', `expected firmware such as motor@3 or motor@latest, got ${text}`, {
      next: 'For the names and versions, run `aiot firmware list`.',
    });
  }
  if (which !== undefined && which !== 'latest') return { name, version: Number(which) };
  const [newest] = await client.firmware.versions(name);
  if (newest) return { name, version: newest.version };
  throw new AiotError('AIOT_NOT_FOUND', `the firmware ${name} does not exist`, {
    next: 'To see the firmware, run `aiot firmware list`.',
  });
}

/**
 * Downloads a version, and verifies its signatures and its digest.
 * @param text as in `resolveFirmware`
 * @param trust accepted signers; null = the signers that the platform trusts
 * @throws AIOT_NOT_FOUND, AIOT_TRUST_MISSING, AIOT_SIGNATURE_INVALID, AIOT_UPDATE_EXPIRED, AIOT_DIGEST_MISMATCH
 */
export async function fetchFirmware(
  client: FirmwareClient,
  text: string,
  trust: TrustRoot | null = null,
): Promise<FetchedFirmware> {
  const { name, version } = await resolveFirmware(client, text);
  const card = await client.firmware.get(name, version);
  const root = trust ?? (await client.trust.get());
  if (!root) throw new AiotError('AIOT_TRUST_MISSING', 'the platform has no trust root yet');
  const envelope = await client.firmware.manifest(name, version);
  const manifest = verifyManifest(envelope, root);
  const signed = manifest.artifacts[0];
  const what = `${name}@${version}`;
  if (manifest.kind !== 'firmware' || manifest.name !== name || manifest.version !== version || !signed) {
    throw new AiotError('AIOT_SIGNATURE_INVALID', `${what}: the signature belongs to another release`);
  }
  if (manifest.expires !== null && manifest.expires <= Date.now()) {
    throw new AiotError(
      'AIOT_UPDATE_EXPIRED',
      `${what} expired at ${new Date(manifest.expires).toISOString()}`,
      {
        next: 'Push it again to renew its signature.',
      },
    );
  }
  const bytes = await (await client.blobs.get(signed.digest)).bytes();
  if (digestOf(bytes) === signed.digest && bytes.length === signed.bytes) return { card, bytes, envelope };
  throw new AiotError('AIOT_DIGEST_MISMATCH', `${what} does not match its signature`);
}

export const pulledFirmwareSchema = firmwareVersionSchema.extend({ file: z.string() });

/** Downloads a version to a file. @throws as `fetchFirmware`, AIOT_FILE_NOT_WRITABLE */
export async function pullFirmware(
  client: FirmwareClient,
  text: string,
  { out, trust }: { out: string; trust: TrustRoot | null },
): Promise<z.output<typeof pulledFirmwareSchema>> {
  const { card, bytes } = await fetchFirmware(client, text, trust);
  await writeFileAtomic(out, bytes);
  return { ...card, file: out };
}
