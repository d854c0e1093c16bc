import { AiotError } from '../../core/errors.js';
import type { Envelope } from '../../formats/manifest/envelope.js';
import type { Manifest } from '../../formats/manifest/manifest.js';
import type { RegistryClient } from '../client.js';
import { isSignedEnough, signedRelease } from '../signatures.js';
import { requireTrusted } from '../trusted.js';
import { manifestAsked, requireOwn } from '../vouched.js';
import type { Release, RolloutKind } from './schema.js';

export interface ReleaseOptions {
  client: RegistryClient;
  /** PKCS#8 PEM; used only when a manifest has to be signed anew. */
  signingKey: () => Promise<string>;
  /** ms since 1970, for a manifest signed anew. */
  now: number;
  /** Checks that are not made: by tests of attacks alone. */
  unchecked?: ReadonlySet<ReleaseCheck>;
}

/** Whether this user's own key has signed what is to be signed anew. */
export type ReleaseCheck = 'own';

export interface Version {
  name: string;
  version: number;
}

/**
 * What a device is told to run of a version: one whose manifest is not the newest (an older one, for instance) is signed anew
 * with the next sequence, for a device takes no sequence below the one it has.
 * @throws AIOT_NOT_FOUND, AIOT_MODEL_UNFIT, AIOT_MODEL_UNTRUSTED, AIOT_KEY_NOT_FOUND, AIOT_VERSION_CONFLICT, AIOT_UPDATE_MISMATCH,
 * AIOT_SIGNATURE_INVALID (to be signed anew, and signed by others only)
 */
export async function releaseOf(
  options: ReleaseOptions,
  kind: RolloutKind,
  { name, version }: Version,
): Promise<Release> {
  const calls = callsOf(options.client, kind);
  const envelope = await calls.newest(name, version);
  const manifest = manifestAsked(envelope, { kind, name, version });
  const next = await calls.next(name);
  const expired = manifest.expires !== null && manifest.expires <= options.now;
  const newest = manifest.sequence + 1 === next.sequence && !expired;
  if (newest && (await isSignedEnough(options.client, envelope))) {
    return { kind, name, version, sequence: manifest.sequence };
  }
  return { kind, name, version, sequence: await signAnew(options, calls, envelope, manifest, next.sequence) };
}

/** The way back of a rollout: its sequence is above that of what is rolled out, so that devices take it after that. */
export async function wayBack(
  options: ReleaseOptions,
  kind: RolloutKind,
  { name, version }: Version,
): Promise<Release> {
  const calls = callsOf(options.client, kind);
  const envelope = await calls.newest(name, version);
  const manifest = manifestAsked(envelope, { kind, name, version });
  const { sequence } = await calls.next(name);
  return { kind, name, version, sequence: await signAnew(options, calls, envelope, manifest, sequence) };
}

/** What each kind's registry is asked in its own way. */
interface ReleaseCalls {
  next(name: string): Promise<{ sequence: number }>;
  /** The newest manifest of a version. */
  newest(name: string, version: number): Promise<Envelope>;
  sign(name: string, version: number, envelope: Envelope): Promise<{ sequence: number }>;
}

function callsOf(client: RegistryClient, kind: RolloutKind): ReleaseCalls {
  if (kind === 'model') {
    return {
      next: (name) => client.models.next(name),
      newest: (name, version) => manifestOfModel(client, name, version),
      sign: (_name, _version, envelope) => client.manifests.post(envelope),
    };
  }
  const calls = kind === 'firmware' ? client.firmware : client.configs;
  return {
    next: (name) => calls.next(name),
    newest: (name, version) => calls.manifest(name, version),
    sign: (name, version, envelope) => calls.sign(name, version, envelope),
  };
}

async function manifestOfModel(client: RegistryClient, name: string, version: number): Promise<Envelope> {
  const card = await client.models.get(name, version);
  requireTrusted(card);
  if (card.kind === 'network') {
    throw new AiotError(
      'AIOT_MODEL_UNFIT',
      `${name}@${version} is a network alone: nobody said what goes into it, so no device can run it`,
      { next: 'Push a project instead of a .tflite file: aiot model push' },
    );
  }
  return client.manifests.get(card.sequence);
}

async function signAnew(
  { client, signingKey, now, unchecked }: ReleaseOptions,
  calls: ReleaseCalls,
  envelope: Envelope,
  manifest: Manifest,
  sequence: number,
): Promise<number> {
  const privatePem = await signingKey();
  if (!unchecked?.has('own')) requireOwn(envelope, manifest, privatePem);
  // Signed anew it is valid as long again as it was at first.
  const expires = manifest.expires === null ? null : now + (manifest.expires - manifest.issued);
  const signed = await signedRelease(client, { ...manifest, sequence, issued: now, expires }, privatePem);
  return (await calls.sign(manifest.name, manifest.version, signed)).sequence;
}
