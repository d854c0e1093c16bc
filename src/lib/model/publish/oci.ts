import * as z from 'zod';
import type { RegistryClient } from '../../api/client.js';
import { withClient } from '../../api/context.js';
import { OciRepository } from '../../api/oci/client.js';
import {
  type Artifact,
  artifactSchema,
  artifactText,
  type Descriptor,
  emptyContent,
  manifestType,
} from '../../api/oci/manifest.js';
import { type OciReference, ociText, parseOciReference } from '../../api/oci/reference.js';
import { resolveModel } from '../../api/reference.js';
import { digestOf } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import { readBytes } from '../../core/files.js';
import { parsedJson } from '../../core/text.js';
import { type Envelope, envelopeSchema, type TrustRoot } from '../../formats/manifest/envelope.js';
import { requireBundle } from '../bundle/pack.js';
import { packSigned, type Verified, verifySigned } from '../bundle/signed-bundle.js';
import { type FetchClient, fetchModel, pullResultSchema, putFiles } from './pull.js';
import { isModelFile } from './push.js';
import { readTrust } from './verify.js';

export const ociPushedSchema = z.object({
  name: z.string(),
  version: z.int(),
  /** Digest of the bundle, which is the same on the platform and for the artifact's blob. */
  digest: z.string(),
  bytes: z.int(),
  /** The artifact's address: oci://HOST/REPOSITORY:TAG */
  reference: z.string(),
  /** Digest of the artifact: oci://HOST/REPOSITORY@… always refers to exactly this version. */
  manifest: z.string(),
  /** Digest of the signature artifact, which contains the release's signatures and refers to the model artifact. */
  signatures: z.string(),
  /** Whether nothing had to be uploaded, because the registry already had the bundle. */
  unchanged: z.boolean(),
});

export type OciPushed = z.output<typeof ociPushedSchema>;

interface SignedOptions {
  /** NAME@VERSION on the platform, or a signed .aiot file. */
  what: string;
  /** Trusted signers; null = the signers that the platform trusts. */
  trust: TrustRoot | null;
  /** null = offline: a file and a trust root are sufficient. */
  client: (FetchClient & { models: Pick<RegistryClient['models'], 'versions'> }) | null;
}

interface OciPushOptions {
  to: OciReference;
  plainHttp?: boolean;
}

/** A signed version, every byte of which is verified. @throws as `fetchModel` and `verifySigned`, AIOT_TRUST_MISSING */
async function signedModel({ what, trust, client }: SignedOptions): Promise<Verified> {
  const root = trust ?? (await client?.trust.get());
  if (!root)
    throw new AiotError('AIOT_TRUST_MISSING', 'no trusted signing keys are known', {
      next: 'Specify them with --trust FILE, or choose a platform that has a trust root with --context NAME.',
    });
  if (client && !isModelFile(what)) return fetchModel(client, await resolveModel(client, what), root);
  const bytes = await readBytes(what);
  requireBundle(bytes, what, 'a signed .aiot file');
  return verifySigned(bytes, root, what);
}

/** Pushes a signed version to an OCI registry, together with its signatures. @throws AIOT_USAGE, AIOT_OCI_REFUSED, AIOT_OCI_UNREACHABLE */
async function pushToOci(signed: Verified, { to, plainHttp }: OciPushOptions): Promise<OciPushed> {
  if (to.digest !== null)
    throw new AiotError('AIOT_USAGE', `expected a tag to push to, got ${ociText(to)}`, {
      next: 'The digest is the result of the push.',
    });
  const { manifest, content, envelope } = signed;
  const { name, version, issued } = manifest;
  const tagged = { ...to, tag: to.tag ?? String(version) };
  const annotations = {
    'org.opencontainers.image.title': name,
    'org.opencontainers.image.version': String(version),
    // Uses the release's time, so that pushing the same version again yields the same artifact.
    'org.opencontainers.image.created': new Date(issued).toISOString(),
  };
  const repository = new OciRepository(tagged, plainHttp);
  try {
    const put = async (mediaType: string, bytes: Uint8Array, title: string) => {
      const sent = await repository.putBlob(bytes);
      const layer = { mediaType, digest: digestOf(bytes), size: bytes.length };
      return { sent, layer: { ...layer, annotations: { 'org.opencontainers.image.title': title } } };
    };
    await repository.putBlob(emptyContent);
    const { sent, layer } = await put(bundleType, content, `${name}-${version}.content.tar`);
    const artifact = artifactText({ artifactType: modelArtifact, layer, annotations });
    const subject = described(artifact);
    const seal = await put(envelopeType, Buffer.from(JSON.stringify(envelope)), 'manifest.json');
    const release = artifactText({ artifactType: releaseArtifact, layer: seal.layer, subject, annotations });
    // Uploads the signatures before the tag, so that anyone who pulls by tag finds both.
    await repository.putManifest(subject.digest, artifact, manifestType);
    const referrer = { ...described(release), artifactType: releaseArtifact, annotations };
    const { listed } = await repository.putManifest(referrer.digest, release, manifestType);
    if (!listed) await repository.listReferrer(subject.digest, referrer);
    await repository.putManifest(tagged.tag, artifact, manifestType);
    return {
      ...{ name, version, digest: layer.digest, bytes: content.length },
      ...{ reference: ociText(tagged), manifest: subject.digest, signatures: referrer.digest },
      unchanged: !sent,
    };
  } finally {
    await repository.close();
  }
}

function described(text: string) {
  const bytes = Buffer.from(text);
  return { mediaType: manifestType, digest: digestOf(bytes), size: bytes.length };
}

/** Pushes a version or file to a destination, both as named on the command line. @throws as `signedModel` and `pushToOci` */
export async function pushVersionToOci(typed: {
  what: string;
  to: string;
  /** Path of a trust root file. */
  trust?: string | undefined;
  context?: string | undefined;
  'plain-http': boolean;
}): Promise<OciPushed> {
  const { what } = typed;
  const to = parseOciReference(typed.to);
  const trust = await readTrust(typed);
  const signed =
    trust && isModelFile(what)
      ? await signedModel({ what, trust, client: null })
      : await withClient(typed.context, (client) => signedModel({ what, trust, client }));
  return pushToOci(signed, { to, plainHttp: typed['plain-http'] });
}

export const ociPulledSchema = pullResultSchema.extend({
  /** The requested address. */
  reference: z.string(),
  /** Digest of the artifact found at that address. */
  manifest: z.string(),
});

type OciPulled = z.output<typeof ociPulledSchema>;

interface OciPullOptions {
  from: OciReference;
  out: string;
  /** Trusted signers, because a registry is not trusted. */
  trust: TrustRoot;
  plainHttp?: boolean;
}

/** Maximum number of signature artifacts examined, because anyone may add signatures. */
const mostSignatures = 32;

/**
 * Pulls a model from an OCI registry with the signatures that refer to it, and verifies every byte. Writes all the model's files into a
 * folder, or none.
 * @throws AIOT_OCI_REFUSED, AIOT_OCI_UNREACHABLE, AIOT_NOT_FOUND, AIOT_DIGEST_MISMATCH, AIOT_SIGNATURE_INVALID, AIOT_BUNDLE_TAMPERED
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
    // The list may contain artifacts that refer to something else.
    if (artifact.subject?.digest !== digest) continue;
    const layer = layerOf(artifact, { artifact: releaseArtifact, layer: envelopeType }, what);
    if (layer.size > largestEnvelope) continue;
    const envelope = envelopeSchema.safeParse(parsedJson(await repository.blob(layer)));
    if (envelope.success) envelopes.push(envelope.data);
  }
  return envelopes;
}

/**
 * The newest envelope that the trust root accepts; envelopes signed by others are skipped. @throws AIOT_SIGNATURE_INVALID, or the newest
 * envelope's error
 */
function firstTrusted(
  content: Uint8Array,
  envelopes: readonly Envelope[],
  trust: TrustRoot,
  what: string,
): { verified: Verified; bytes: Uint8Array } {
  let first: unknown = new AiotError(
    'AIOT_SIGNATURE_INVALID',
    `${what} is not signed: no signed release in the registry refers to it`,
    {
      next: '`aiot model push NAME@VERSION oci://…` uploads the signatures with the model.',
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
  const parsed = artifactSchema.safeParse(parsedJson(content));
  if (parsed.success) return parsed.data;
  throw new AiotError('AIOT_OCI_REFUSED', `${what}: expected the manifest of an artifact, got another kind`, {
    next: 'If this tag refers to an index of several images, use the tag that `aiot model push` printed.',
  });
}

/** @throws AIOT_OCI_REFUSED for another kind of artifact */
function layerOf(artifact: Artifact, type: { artifact: string; layer: string }, what: string): Descriptor {
  const [layer, ...more] = artifact.layers;
  if (artifact.artifactType === type.artifact && layer?.mediaType === type.layer && more.length === 0)
    return layer;
  const is = artifact.artifactType ?? artifact.config.mediaType;
  throw new AiotError(
    'AIOT_OCI_REFUSED',
    `${what}: expected ${type.artifact} with one ${type.layer}, got ${is}`,
    {
      next: 'It is an image or another kind of artifact: use a tag created by `aiot model push`.',
    },
  );
}

/**
 * A model in an OCI registry is an artifact with one blob. The blob is the bundle's content as devices download it, under the same digest
 * as on the platform. Each signature is a separate artifact that refers to the model, so signatures can be added later without changing the
 * model.
 */
const modelArtifact = 'application/vnd.aiot.model.v1';

const bundleType = 'application/vnd.aiot.bundle.v1.tar';
const releaseArtifact = 'application/vnd.aiot.release.v1';
const envelopeType = 'application/vnd.aiot.manifest.v1+json';

/** Maximum size of the release's envelope (docs/reference/protocol.md), in bytes. */
const largestEnvelope = 64 * 1024;
