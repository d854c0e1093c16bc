import { z } from 'zod';
import { AiotError } from '../../core/index.js';
import { type Envelope, envelopeSchema, type TrustRoot } from '../../formats/index.js';
import {
  type Artifact,
  artifactSchema,
  type Descriptor,
  type OciReference,
  OciRepository,
  ociText,
} from '../../registry/oci/index.js';
import { packSigned, type Verified, verifySigned } from '../bundle/signed.js';
import { pullResultSchema, putFiles } from '../pull.js';
import { bundleType, envelopeType, largestEnvelope, modelArtifact, releaseArtifact } from './artifact.js';

export const ociPulledSchema = pullResultSchema.extend({
  /** Where it was asked for. */
  reference: z.string(),
  /** Digest of the artifact that was there. */
  manifest: z.string(),
});
export type OciPulled = z.output<typeof ociPulledSchema>;

export interface OciPullOptions {
  from: OciReference;
  out: string;
  /** Whose signatures count: a registry is not believed. */
  trust: TrustRoot;
  plainHttp?: boolean;
}

/** Others' signatures are looked at too, and not more of them than this. */
const mostSignatures = 32;

/**
 * Gets a model from an OCI registry with the signatures that refer to it, verifies every byte, and puts its files into a folder: all of them
 * or none. @throws AIOT_OCI_REFUSED, AIOT_OCI_UNREACHABLE, AIOT_NOT_FOUND, AIOT_DIGEST_MISMATCH, AIOT_SIGNATURE_INVALID, AIOT_BUNDLE_TAMPERED
 */
export async function pullFromOci({ from, out, trust, plainHttp }: OciPullOptions): Promise<OciPulled> {
  const repository = new OciRepository(from, plainHttp);
  const what = ociText(from);
  try {
    const { content, digest } = await repository.manifest(from.digest ?? from.tag ?? 'latest');
    const layer = layerOf(artifactOf(content, what), { artifact: modelArtifact, layer: bundleType }, what);
    const bundle = await repository.blob(layer);
    const envelopes = await envelopesOf(repository, digest, what);
    const { verified, bytes } = firstTrusted(bundle, envelopes, trust, what);
    const { name, version } = verified.manifest;
    const pulled = await putFiles(
      { name, version, digest: layer.digest, bytes, members: verified.members },
      out,
    );
    return { ...pulled, reference: what, manifest: digest };
  } finally {
    await repository.close();
  }
}

async function envelopesOf(repository: OciRepository, digest: string, what: string): Promise<Envelope[]> {
  const envelopes: Envelope[] = [];
  const all = await repository.referrers(digest, releaseArtifact);
  for (const referrer of all.slice(-mostSignatures)) {
    const { content } = await repository.manifest(referrer.digest);
    const artifact = artifactOf(content, what);
    // A list may name what refers to something else.
    if (artifact.subject?.digest !== digest) continue;
    const layer = layerOf(artifact, { artifact: releaseArtifact, layer: envelopeType }, what);
    if (layer.size > largestEnvelope) continue;
    const envelope = envelopeSchema.safeParse(jsonOf(await repository.blob(layer)));
    if (envelope.success) envelopes.push(envelope.data);
  }
  return envelopes;
}

/** The newest that the trust root takes; what others have signed is passed over. @throws what is wrong with the newest, where none is good */
function firstTrusted(
  content: Uint8Array,
  envelopes: readonly Envelope[],
  trust: TrustRoot,
  what: string,
): { verified: Verified; bytes: Uint8Array } {
  let first: unknown = new AiotError(
    'AIOT_SIGNATURE_INVALID',
    `${what}: nobody has signed it: no release refers to it`,
    {
      next: 'aiot model push NAME@VERSION oci://… puts the signatures there with it.',
    },
  );
  let known = false;
  for (const envelope of envelopes.toReversed()) {
    try {
      const bytes = packSigned(content, envelope, what);
      return { verified: verifySigned(bytes, trust, what), bytes };
    } catch (error) {
      if (!(error instanceof AiotError)) throw error;
      if (!known) first = error;
      known = true;
    }
  }
  throw first;
}

function artifactOf(content: Buffer, what: string): Artifact {
  const parsed = artifactSchema.safeParse(jsonOf(content));
  if (parsed.success) return parsed.data;
  throw new AiotError('AIOT_OCI_REFUSED', `${what}: its manifest is none of an artifact`, {
    next: 'An image’s index is no model: name the model’s own tag.',
  });
}

/** @throws AIOT_OCI_REFUSED where it is another kind of artifact */
function layerOf(artifact: Artifact, type: { artifact: string; layer: string }, what: string): Descriptor {
  const [layer, ...more] = artifact.layers;
  if (artifact.artifactType === type.artifact && layer?.mediaType === type.layer && more.length === 0)
    return layer;
  const is = artifact.artifactType ?? artifact.config.mediaType;
  throw new AiotError(
    'AIOT_OCI_REFUSED',
    `${what}: expected ${type.artifact} of one ${type.layer}, got ${is}`,
    {
      next: 'It is an image or an artifact of something else: name a tag that aiot model push made.',
    },
  );
}

function jsonOf(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
}
