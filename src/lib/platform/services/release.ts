import { AiotError, canonicalJson, didYouMean, digestOf } from '../../core/index.js';
import { type Envelope, type Manifest, type TrustRoot, verifyManifest } from '../../formats/index.js';
import type { BundleInfo, NetworkInfo } from '../../model/index.js';
import type { BlobStore } from '../blobs/store.js';

/**
 * The refusal of a name, or of a version of a name that exists, with the one that was meant.
 * @param all every version there is, ascending for each name
 */
export function unknownRelease(
  { noun, list }: { noun: string; list: string },
  all: readonly { name: string; version: number }[],
  { name, version }: { name: string; version?: number | undefined },
): AiotError {
  const versions = all.filter((row) => row.name === name).map((row) => row.version);
  const newest = versions.at(-1);
  const message =
    newest === undefined
      ? `no ${noun} is named ${name}${didYouMean(name, [...new Set(all.map((row) => row.name))])}`
      : `there is no ${noun} ${name}@${version}; the newest is ${name}@${newest}`;
  return new AiotError('AIOT_NOT_FOUND', message, { next: list });
}

/**
 * The manifest of a model, its signatures checked against the trust root.
 * @throws AIOT_TRUST_MISSING, AIOT_SIGNATURE_INVALID, AIOT_MANIFEST_MALFORMED, AIOT_REQUEST_INVALID
 */
export function checkedManifest(envelope: Envelope, trust: TrustRoot | null): Manifest {
  if (!trust) throw new AiotError('AIOT_TRUST_MISSING', 'the platform has no trust root yet');
  const manifest = verifyManifest(envelope, trust);
  if (manifest.kind === 'model') return manifest;
  throw new AiotError('AIOT_REQUEST_INVALID', `expected a manifest of a model, got ${manifest.kind}`);
}

/**
 * The bundle that a manifest vouches for, which is its first artifact. Every artifact's blob must be there, and be of the
 * size that was signed; a blob's bytes are those of its digest, for it was taken under it.
 * @returns besides, the digest of its network
 * @throws AIOT_NOT_FOUND, AIOT_DIGEST_MISMATCH, AIOT_BUNDLE_MALFORMED, AIOT_BUNDLE_TAMPERED, AIOT_REQUEST_INVALID
 */
export async function bundleOf(
  manifest: Manifest,
  blobs: BlobStore,
): Promise<{ info: BundleInfo | NetworkInfo; digest: string; bytes: number; network: string }> {
  const { artifacts } = manifest;
  for (const { digest, bytes } of artifacts) {
    const size = await blobs.size(digest);
    if (size === null) throw new AiotError('AIOT_NOT_FOUND', `the blob ${digest} was not uploaded`);
    if (size !== bytes) {
      throw new AiotError('AIOT_DIGEST_MISMATCH', `${digest} has ${size} bytes, the manifest says ${bytes}`);
    }
  }
  const { filesOf, requireSameModel, unpackAny } = await import('../../model/index.js');
  const { digest, bytes } = artifacts[0] as Manifest['artifacts'][number];
  const bundle = unpackAny(await blobs.bytes(digest));
  requireSameModel(manifest, bundle, 'the bundle');
  if (canonicalJson(manifest.files ?? null) !== canonicalJson(filesOf(bundle))) {
    throw new AiotError(
      'AIOT_REQUEST_INVALID',
      'the files that the manifest names are not those of the bundle',
    );
  }
  return { info: bundle.info, digest, bytes, network: digestOf(bundle.model) };
}
