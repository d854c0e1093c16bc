import * as z from 'zod';
import { digestOf } from '../core/crypto.js';
import { hasCode } from '../core/errors.js';
import { type Envelope, validSigners } from '../formats/manifest/envelope.js';
import type { Manifest } from '../formats/manifest/manifest.js';
import type { RegistryClient } from './client.js';
import type { TrustReader } from './signatures.js';

/** Summary of a manifest before it is signed. Times are ms since 1970. */
export const toSignSchema = z.object({
  kind: z.enum(['model', 'firmware', 'config']),
  name: z.string(),
  version: z.int(),
  sequence: z.int(),
  floor: z.int(),
  deviceTypes: z.array(z.string()),
  issued: z.int(),
  expires: z.int().nullable(),
  artifacts: z.array(
    z.object({
      name: z.string(),
      digest: z.string(),
      bytes: z.int(),
      /** Result of comparing the platform's blob with the manifest: whether digest and length match; `missing` = there is no such blob. */
      blob: z.enum(['right', 'wrong', 'missing']),
    }),
  ),
  /** Existing signatures. */
  signers: z.array(
    z.object({
      keyid: z.string(),
      /**
       * Whether the signature is valid and was made with a key in the platform's newest trust root. Other signatures cannot be verified.
       */
      counts: z.boolean(),
    }),
  ),
});
export type ToSign = z.output<typeof toSignSchema>;

/** Shows the user the content to be signed. Returns whether to sign it. */
export type Agree = (what: ToSign) => Promise<boolean>;

export type LookingClient = TrustReader & { blobs: Pick<RegistryClient['blobs'], 'get'> };

/** Collects what a signer should inspect in `manifest`; `envelope` contains the existing signatures. */
export async function toSign(client: LookingClient, envelope: Envelope, manifest: Manifest): Promise<ToSign> {
  const root = await client.trust.get();
  const valid = root ? validSigners(envelope, root.keys, root.roles.release.keyids) : [];
  const looked: ToSign['artifacts'] = [];
  for (const artifact of manifest.artifacts) {
    looked.push({ ...artifact, blob: await blobOf(client, artifact) });
  }
  const signers = envelope.signatures.map(({ keyid }) => ({ keyid, counts: valid.includes(keyid) }));
  return toSignSchema.parse({ ...manifest, artifacts: looked, signers });
}

async function blobOf(
  { blobs }: LookingClient,
  { digest, bytes }: Manifest['artifacts'][number],
): Promise<'right' | 'wrong' | 'missing'> {
  try {
    const content = await (await blobs.get(digest)).bytes();
    return content.length === bytes && digestOf(content) === digest ? 'right' : 'wrong';
  } catch (error) {
    if (hasCode(error, 'AIOT_NOT_FOUND')) return 'missing';
    if (hasCode(error, 'AIOT_DIGEST_MISMATCH')) return 'wrong';
    throw error;
  }
}
