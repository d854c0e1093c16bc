import { z } from 'zod';
import { AiotError, digestOf, readBytes } from '../../core/index.js';
import type { TrustRoot } from '../../formats/index.js';
import { type RegistryClient, resolveModel, withClient } from '../../registry/index.js';
import {
  artifactText,
  emptyContent,
  manifestType,
  type OciReference,
  OciRepository,
  ociText,
  parseOciReference,
} from '../../registry/oci/index.js';
import { requireBundle } from '../bundle/pack.js';
import { type Verified, verifySigned } from '../bundle/signed.js';
import { type FetchClient, fetchModel } from '../fetch.js';
import { isModelFile } from '../push-file.js';
import { readTrust } from '../trust.js';
import { bundleType, envelopeType, modelArtifact, releaseArtifact } from './artifact.js';

export const ociPushedSchema = z.object({
  name: z.string(),
  version: z.int(),
  /** Of the bundle: the same on the platform and as the artifact's blob. */
  digest: z.string(),
  bytes: z.int(),
  /** Where it is: oci://HOST/REPOSITORY:TAG */
  reference: z.string(),
  /** Of the artifact: oci://HOST/REPOSITORY@… is this very version for ever. */
  manifest: z.string(),
  /** Of the artifact that holds the release's signatures and refers to it. */
  signatures: z.string(),
  /** Nothing had to be sent: the registry had the bundle. */
  unchanged: z.boolean(),
});
export type OciPushed = z.output<typeof ociPushedSchema>;

export interface SignedOptions {
  /** NAME@VERSION of the platform, or a signed .aiot file. */
  what: string;
  /** Whose signatures count; null = whom the platform trusts. */
  trust: TrustRoot | null;
  /** null = nobody is asked: a file and its trust root are enough. */
  client: (FetchClient & { models: Pick<RegistryClient['models'], 'versions'> }) | null;
}

export interface OciPushOptions {
  to: OciReference;
  plainHttp?: boolean;
}

/** A signed version, every byte of it verified. @throws as `fetchModel` and `verifySigned`, AIOT_TRUST_MISSING */
export async function signedModel({ what, trust, client }: SignedOptions): Promise<Verified> {
  const root = trust ?? (await client?.trust.get());
  if (!root) throw new AiotError('AIOT_TRUST_MISSING', 'nobody says whose signature counts');
  if (client && !isModelFile(what)) return fetchModel(client, await resolveModel(client, what), root);
  const bytes = await readBytes(what);
  requireBundle(bytes, what, 'a signed .aiot file');
  return verifySigned(bytes, root, what);
}

/** Puts a signed version into an OCI registry, with its signatures beside it. @throws AIOT_USAGE, AIOT_OCI_REFUSED, AIOT_OCI_UNREACHABLE */
export async function pushToOci(signed: Verified, { to, plainHttp }: OciPushOptions): Promise<OciPushed> {
  if (to.digest !== null)
    throw new AiotError('AIOT_USAGE', `expected a tag to push to, got ${ociText(to)}`, {
      next: 'The digest is what comes of it.',
    });
  const { manifest, content, envelope } = signed;
  const { name, version, issued } = manifest;
  const tagged = { ...to, tag: to.tag ?? String(version) };
  const annotations = {
    'org.opencontainers.image.title': name,
    'org.opencontainers.image.version': String(version),
    // The time of the release: pushed again, the same version is the same artifact.
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
    // The signatures are there before the tag is: who pulls by it finds both.
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

/** As it is typed: which version or file, and where to. @throws as `signedModel` and `pushToOci` */
export async function pushVersionToOci(typed: {
  what: string;
  to: string;
  /** File of a trust root. */
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
