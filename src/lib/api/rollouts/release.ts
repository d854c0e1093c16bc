import { AiotError } from '../../core/errors.js';
import type { Envelope } from '../../formats/manifest/envelope.js';
import type { Manifest } from '../../formats/manifest/manifest.js';
import type { RegistryClient } from '../client.js';
import { isSignedEnough, signedRelease } from '../signatures.js';
import { manifestAsked, requireOwn, requireTrusted } from '../vouched.js';
import type { RolloutKind, SignedRelease } from './schema.js';

export interface ReleaseOptions {
  client: RegistryClient;
  /** Returns the signing key, PKCS#8 PEM. Called only if a manifest must be signed again. */
  signingKey: () => Promise<string>;
  /** Current time, for a manifest that is signed again; ms since 1970. */
  now: number;
  /** Checks to skip; used only by tests of attacks. */
  unchecked?: ReadonlySet<ReleaseCheck>;
}

/**
 * Checks that can be skipped. `own`: requires that the user's own key signed the manifest that is to be signed again.
 */
export type ReleaseCheck = 'own';

export interface Version {
  name: string;
  version: number;
}

/**
 * The release of a version that is sent to devices. If the version's manifest does not have the newest sequence number, it is signed again
 * with the next number, because devices reject lower numbers than their current one.
 * @throws AIOT_NOT_FOUND, AIOT_MODEL_UNFIT, AIOT_MODEL_UNTRUSTED, AIOT_KEY_NOT_FOUND, AIOT_VERSION_CONFLICT, AIOT_UPDATE_MISMATCH,
 * AIOT_SIGNATURE_INVALID (must be signed again, but only other keys have signed it)
 */
export async function releaseOf(
  options: ReleaseOptions,
  kind: RolloutKind,
  { name, version }: Version,
): Promise<SignedRelease> {
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

/**
 * The release for rolling back a rollout. Its sequence number is higher than that of the rolled-out release, so that devices accept the
 * rollback.
 */
export async function wayBack(
  options: ReleaseOptions,
  kind: RolloutKind,
  { name, version }: Version,
): Promise<SignedRelease> {
  const calls = callsOf(options.client, kind);
  const envelope = await calls.newest(name, version);
  const manifest = manifestAsked(envelope, { kind, name, version });
  const { sequence } = await calls.next(name);
  return { kind, name, version, sequence: await signAnew(options, calls, envelope, manifest, sequence) };
}

/** The calls that differ between kinds of releases. */
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
      `${name}@${version} contains only a model without a project, so its inputs are unknown and no device can run it`,
      {
        next: 'Import the .tflite file into a project with `aiot model import FILE.tflite --project DIR`, then push the project with `aiot model push`.',
      },
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
  // The new manifest has the same validity period as the original.
  const expires = manifest.expires === null ? null : now + (manifest.expires - manifest.issued);
  const signed = await signedRelease(client, { ...manifest, sequence, issued: now, expires }, privatePem);
  return (await calls.sign(manifest.name, manifest.version, signed)).sequence;
}
