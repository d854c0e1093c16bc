import { AiotError, digestOf } from '../core/index.js';
import type { TrustRoot } from '../formats/index.js';
import { type ModelVersion, type RegistryClient, requireTrusted } from '../registry/index.js';
import { packSigned, type Verified, verifySigned } from './bundle/signed.js';

/** The calls of the registry's client that fetching a version needs. */
export type FetchClient = {
  blobs: Pick<RegistryClient['blobs'], 'get'>;
  manifests: Pick<RegistryClient['manifests'], 'get'>;
  models: Pick<RegistryClient['models'], 'get'>;
  trust: Pick<RegistryClient['trust'], 'get'>;
};

/** A version as it was signed, every byte of it checked. */
export interface Fetched extends Verified {
  card: ModelVersion;
  /** The signed bundle. */
  bytes: Uint8Array;
}

/**
 * Gets a version and verifies it.
 * @param trust whose signatures count; null = whom the platform trusts
 * @throws AIOT_NOT_FOUND, AIOT_TRUST_MISSING, AIOT_SIGNATURE_INVALID, AIOT_BUNDLE_TAMPERED, AIOT_BUNDLE_MALFORMED
 */
export async function fetchModel(
  client: FetchClient,
  { name, version }: { name: string; version: number },
  trust: TrustRoot | null,
): Promise<Fetched> {
  const card = await client.models.get(name, version);
  requireTrusted(card);
  const root = trust ?? (await client.trust.get());
  if (!root) throw new AiotError('AIOT_TRUST_MISSING', 'the platform has no trust root yet');
  const envelope = await client.manifests.get(card.sequence);
  const chunks: Uint8Array[] = [];
  // Not `bytes()`, which tells of another digest only: the check below tells which file was changed.
  for await (const chunk of (await client.blobs.get(card.digest)).body) chunks.push(chunk);
  const what = `${name}@${version}`;
  const content = Buffer.concat(chunks);
  const bytes = packSigned(content, envelope, what);
  const verified = verifySigned(bytes, root, what);
  const { manifest } = verified;
  // All other files and all headers were found to be right.
  if (digestOf(content) !== manifest.artifacts[0]?.digest) {
    throw new AiotError('AIOT_BUNDLE_TAMPERED', `${what}: SHA256SUMS is not what was signed`);
  }
  if (manifest.name === name && manifest.version === version) return { ...verified, card, bytes };
  throw new AiotError(
    'AIOT_BUNDLE_TAMPERED',
    `${what}: manifest.json is of ${manifest.name}@${manifest.version}`,
  );
}
