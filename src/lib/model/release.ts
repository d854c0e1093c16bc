import { AiotError, digestOf, hasCode } from '../core/index.js';
import type { Envelope, UnsignedManifest } from '../formats/index.js';
import {
  pushAttempts,
  type RegistryClient,
  signedRelease,
  type TrustReader,
  waitForTurn,
} from '../registry/index.js';
import { filesOf, interfaceOf, modelPartOf } from './bundle/describe.js';
import { unpackAny } from './bundle/pack.js';

export interface ReleaseOptions {
  name: string;
  version: number;
  sequence: number;
  /** ms since 1970 */
  issued: number;
  /** ms since 1970, null = it stays valid. */
  expires: number | null;
  deviceTypes: string[];
}

/** What is to be signed of a bundle's content. @throws AIOT_BUNDLE_MALFORMED */
export function manifestOf(content: Uint8Array, options: ReleaseOptions): UnsignedManifest {
  const bundle = unpackAny(content);
  return {
    spec: 'aiot-manifest/1',
    role: 'release',
    kind: 'model',
    floor: 0,
    ...options,
    interface: interfaceOf(bundle),
    artifacts: [{ name: 'model.aiot', digest: digestOf(content), bytes: content.length }],
    model: modelPartOf(bundle),
    files: filesOf(bundle),
  };
}

/** The calls of the registry's client that a release needs. */
export type ReleaseClient = TrustReader & {
  blobs: Pick<RegistryClient['blobs'], 'put'>;
  models: Pick<RegistryClient['models'], 'next' | 'push'>;
};

/** Devices read no larger envelope (docs/protocol.md), bytes. */
const largestEnvelope = 64 * 1024;

/** Uploads a bundle's content and pushes a manifest of it, signed here, as the next version. @throws AIOT_MODEL_UNFIT (too much to tell), AIOT_VERSION_CONFLICT, and what the platform says */
export async function release(
  client: ReleaseClient,
  content: Uint8Array,
  options: Omit<ReleaseOptions, 'version' | 'sequence'>,
  privatePem: string,
): Promise<{ version: number; sequence: number }> {
  const { name } = options;
  const digest = digestOf(content);
  await client.blobs.put(digest, content);
  for (let attempt = 1; ; attempt++) {
    const next = await client.models.next(name);
    try {
      const manifest = manifestOf(content, { ...options, ...next });
      const envelope = await signedRelease(client, manifest, privatePem);
      requireSmall(envelope);
      await client.models.push(name, envelope);
      return next;
    } catch (error) {
      if (attempt === pushAttempts) throw error;
      // The blob went with the last version that had the same content, which was removed in between.
      if (hasCode(error, 'AIOT_NOT_FOUND')) await client.blobs.put(digest, content);
      else if (!hasCode(error, 'AIOT_VERSION_CONFLICT')) throw error;
    }
    await waitForTurn(attempt);
  }
}

function requireSmall(envelope: Envelope): void {
  const { length } = JSON.stringify(envelope);
  if (length <= largestEnvelope) return;
  throw new AiotError(
    'AIOT_MODEL_UNFIT',
    `the manifest has ${length} bytes: devices read at most ${largestEnvelope}`,
    {
      next: 'Name fewer features or labels in aiot.yaml.',
    },
  );
}
