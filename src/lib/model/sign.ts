import { z } from 'zod';
import { AiotError, digestOf, hasCode } from '../core/index.js';
import type { UnsignedManifest } from '../formats/index.js';
import {
  type Agree,
  isSignedEnough,
  type ModelVersion,
  manifestAsked,
  modelVersionSchema,
  pushAttempts,
  type RegistryClient,
  signedBy,
  signedRelease,
  type TrustReader,
  toSign,
  waitForTurn,
} from '../registry/index.js';
import { networkBundle } from './bundle/network-bundle.js';
import { isSigned, requireBundle, unpackAny } from './bundle/pack.js';
import { defaultDeviceTypes } from './push.js';
import { manifestOf } from './release.js';

export const signResultSchema = modelVersionSchema.extend({
  /** It was signed before: nothing was done. */
  unchanged: z.boolean(),
});
export type SignResult = z.output<typeof signResultSchema>;

export interface SignOptions {
  client: TrustReader & {
    blobs: Pick<RegistryClient['blobs'], 'get' | 'put'>;
    models: Pick<RegistryClient['models'], 'get' | 'next'>;
    manifests: Pick<RegistryClient['manifests'], 'get' | 'post'>;
  };
  model: { name: string; version: number };
  /** The operator's signing key, PKCS#8 PEM: it signs here and goes nowhere. */
  privatePem: string;
  deviceTypes?: string[];
  /** Devices refuse it after this time, ms from now; absent = it stays valid. */
  validMs?: number | undefined;
  /** Asked before what only others have signed is signed again. */
  agree?: Agree;
}

/**
 * Vouches for a version that came in by a door without signatures: gets it, checks each byte of it, makes a bundle of a
 * .tflite file, and signs that. What came in stays as it was; the version is the bundle from then on.
 * @throws AIOT_NOT_FOUND, AIOT_DIGEST_MISMATCH, AIOT_MODEL_UNFIT (neither a network nor a bundle), AIOT_TFLITE_MALFORMED,
 * AIOT_TFLITE_UNSUPPORTED, AIOT_BUNDLE_MALFORMED, AIOT_UPDATE_MISMATCH, AIOT_INTERRUPTED (not agreed to)
 */
export async function signModel(options: SignOptions): Promise<SignResult> {
  const { client, model, privatePem } = options;
  const card = await client.models.get(model.name, model.version);
  const make = card.trusted ? await againOf(options, card) : await anewOf(options, card);
  if (!make) return { ...card, unchanged: true };
  for (let attempt = 1; ; attempt++) {
    const { sequence } = await client.models.next(model.name);
    const envelope = await signedRelease(client, make(sequence), privatePem);
    try {
      return { ...(await client.manifests.post(envelope)), unchanged: false };
    } catch (error) {
      if (attempt === pushAttempts || !hasCode(error, 'AIOT_VERSION_CONFLICT')) throw error;
    }
    await waitForTurn(attempt);
  }
}

/** What is to be signed, by its sequence. */
type Make = (sequence: number) => UnsignedManifest;

async function anewOf(options: SignOptions, card: ModelVersion): Promise<Make> {
  const { client, model, deviceTypes = defaultDeviceTypes, validMs } = options;
  const content = contentOf(card, await (await client.blobs.get(card.digest)).bytes());
  await client.blobs.put(digestOf(content), content);
  return (sequence) => {
    const issued = Date.now();
    const expires = validMs === undefined ? null : issued + validMs;
    return manifestOf(content, { ...model, sequence, issued, expires, deviceTypes });
  };
}

/** What was signed by keys that count no longer is signed again as it is; null = it is signed by those that do, this user's among them. */
async function againOf(options: SignOptions, card: ModelVersion): Promise<Make | null> {
  const { client, model, privatePem, validMs, agree } = options;
  const envelope = await client.manifests.get(card.sequence);
  const before = manifestAsked(envelope, { kind: 'model', ...model });
  const own = signedBy(envelope, privatePem);
  // An older version that only colleagues have signed is rolled out again only with this user's own signature.
  if (own && (await isSignedEnough(client, envelope))) return null;
  if (agree && !own && !(await agree(await toSign(client, envelope, before)))) {
    throw new AiotError('AIOT_INTERRUPTED', 'stopped: nothing was signed');
  }
  const usual = before.expires === null ? null : before.expires - before.issued;
  const valid = validMs ?? usual;
  return (sequence) => {
    const issued = Date.now();
    return { ...before, sequence, issued, expires: valid === null ? null : issued + valid };
  };
}

function contentOf({ name, version, origin }: ModelVersion, bytes: Buffer): Uint8Array {
  const what = origin?.file ?? `${name}@${version}`;
  if (bytes.subarray(4, 8).toString('latin1') === 'TFL3') return networkBundle(name, bytes, what);
  try {
    requireBundle(bytes, what);
  } catch (error) {
    throw new AiotError('AIOT_MODEL_UNFIT', `${what} is neither a .tflite network nor a .aiot bundle`, {
      next: 'Convert it first (aiot model import FILE), then push what comes out of it.',
      cause: error,
    });
  }
  const bundle = unpackAny(bytes, what);
  if (bundle.info.name === name && !isSigned(bytes)) return bytes;
  throw new AiotError(
    'AIOT_MODEL_UNFIT',
    `${what} is the bundle of ${bundle.info.name}${isSigned(bytes) ? ', signed' : ''}, and came in as ${name}`,
    { next: 'Download it, look at it, and push it: aiot model push FILE' },
  );
}
