import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import * as z from 'zod';
import { keyIdOf, publicKeyOf, sha256Hex } from '../core/crypto.js';
import { AiotError, unless } from '../core/errors.js';
import { plural } from '../core/figures.js';
import { readText, writeFileAtomic } from '../core/files.js';
import { configFolder } from '../core/folders.js';
import { type Envelope, envelopeSchema, validSigners } from '../formats/manifest/envelope.js';
import {
  type Manifest,
  peekManifest,
  signManifest,
  type UnsignedManifest,
} from '../formats/manifest/manifest.js';
import { cosign } from '../formats/manifest/root.js';
import type { RegistryClient } from './client.js';
import { type Agree, toSign, toSignSchema } from './to-sign.js';

export type TrustReader = { trust: Pick<RegistryClient['trust'], 'get'> };

/** A manifest's number of valid signatures, and the number required by the platform's trust root. */
async function signaturesOf({ trust }: TrustReader, envelope: Envelope) {
  const root = await trust.get();
  if (!root) throw new AiotError('AIOT_TRUST_MISSING', 'the platform has no trust root yet');
  const { keyids, threshold } = root.roles.release;
  return { signed: validSigners(envelope, root.keys, keyids).length, wanted: threshold, keyids };
}

/** Whether a manifest has enough signatures by currently trusted keys; replaced keys no longer count. */
export async function isSignedEnough(client: TrustReader, envelope: Envelope): Promise<boolean> {
  const { signed, wanted } = await signaturesOf(client, envelope);
  return signed >= wanted;
}

/**
 * Adds this user's signature to a manifest, and returns the result if it has enough signatures. If others must sign too, writes the
 * manifest to a file in the user's config folder for the next signer, and publishes nothing.
 * @throws AIOT_SIGNATURES_MISSING
 */
export async function signedRelease(
  client: TrustReader,
  manifest: UnsignedManifest,
  privatePem: string,
): Promise<Envelope> {
  const envelope = signManifest(manifest, privatePem);
  const { signed, wanted, keyids } = await signaturesOf(client, envelope);
  // No valid signature means that this user's key is not trusted. The platform reports that when it rejects the manifest.
  if (signed === 0 || signed >= wanted) return envelope;
  const { name, version } = manifest;
  const file = await leave(envelope, keyids);
  throw new AiotError(
    'AIOT_SIGNATURES_MISSING',
    `${name}@${version} has ${signed} of ${wanted} signatures and is not published; its manifest is in ${file}`,
    {
      next: `Within a day, have ${plural(wanted - signed, 'other signer')} run \`aiot trust sign ${file}\`.`,
    },
  );
}

/**
 * Writes a manifest that lacks signatures to a file. The file's name contains the release, the keys that may sign it,
 * and the payload's digest.
 */
async function leave(envelope: Envelope, keyids: readonly string[]): Promise<string> {
  const { kind, name, version, sequence } = peekManifest(envelope);
  const folder = join(configFolder(), 'to-sign');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const short = (text: string) => sha256Hex(text).slice(0, 8);
  const id = `${short([...keyids].sort().join())}-${short(envelope.payload)}`;
  const file = join(folder, `${kind}-${name}-${version}.${sequence}.${id}.manifest.json`);
  const there = await unless('AIOT_FILE_NOT_FOUND', envelopeIn(file));
  if (there && there.payload !== envelope.payload) {
    throw new AiotError(
      'AIOT_FILE_NOT_WRITABLE',
      `${file} already contains a different manifest and was not changed`,
      { next: 'Move or delete that file, then push again.' },
    );
  }
  // Signatures by others that the file already contains are preserved.
  const own = envelope.signatures.map(({ keyid }) => keyid);
  const signatures = [
    ...(there?.signatures ?? []).filter(({ keyid }) => !own.includes(keyid)),
    ...envelope.signatures,
  ];
  await writeFileAtomic(file, `${JSON.stringify({ ...envelope, signatures })}\n`);
  return file;
}

/** Result of `aiot trust sign`. */
export const signatureResultSchema = z.object({
  file: z.string(),
  kind: z.enum(['model', 'firmware', 'config']),
  name: z.string(),
  version: z.int(),
  sequence: z.int(),
  /** Number of valid signatures, and the number required. */
  signed: z.int(),
  wanted: z.int(),
  /** Whether the manifest had enough signatures and the platform accepted it. */
  published: z.boolean(),
  /** Whether the manifest was only inspected, not signed. */
  dryRun: z.boolean(),
  /** Summary of the manifest before this signature. */
  release: toSignSchema,
});
export type SignatureResult = z.output<typeof signatureResultSchema>;

type SigningClient = TrustReader &
  Pick<RegistryClient, 'blobs' | 'models' | 'manifests' | 'firmware' | 'configs'>;

export interface AddSignatureOptions {
  client: SigningClient;
  file: string;
  /** Returns the signing key, PKCS#8 PEM. Not called in a dry run. */
  signingKey: () => Promise<string>;
  /** Asks for confirmation before signing. */
  agree: Agree;
  /** Whether to inspect the manifest without signing it. */
  dryRun?: boolean;
}

/**
 * Adds this user's signature to the manifest in a file after confirmation, and publishes the manifest once it has enough signatures.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_MANIFEST_MALFORMED, AIOT_TRUST_KEY_UNKNOWN, AIOT_VERSION_CONFLICT (another manifest was published in the meantime),
 * AIOT_INTERRUPTED (the user declined)
 */
export async function addSignature(options: AddSignatureOptions): Promise<SignatureResult> {
  const { client, file, signingKey, agree, dryRun = false } = options;
  const before = await envelopeIn(file);
  const manifest = peekManifest(before);
  requirePlain(before, file);
  const { kind, name, version, sequence } = manifest;
  const release = await toSign(client, before, manifest);
  const about = { file, kind, name, version, sequence, dryRun, release };
  const now = await signaturesOf(client, before);
  if (dryRun) return { ...about, signed: now.signed, wanted: now.wanted, published: false };
  const privatePem = await signingKey();
  requireKey(privatePem, now.keyids);
  if (!(await agree(release))) throw new AiotError('AIOT_INTERRUPTED', 'canceled: nothing was signed');
  const envelope = cosign(before, privatePem);
  await writeFileAtomic(file, `${JSON.stringify(envelope)}\n`);
  const { signed, wanted } = await signaturesOf(client, envelope);
  const published = signed >= wanted;
  if (published) await publish(client, envelope);
  return { ...about, signed, wanted, published };
}

/** Rejects payloads with duplicate fields, which a device could interpret differently. @throws AIOT_MANIFEST_MALFORMED */
export function requirePlain({ payload }: Envelope, file: string): void {
  const text = Buffer.from(payload, 'base64').toString('utf8');
  if (JSON.stringify(JSON.parse(text)) === text) return;
  throw new AiotError(
    'AIOT_MANIFEST_MALFORMED',
    `${file}: expected JSON as written by aiot, with unique fields`,
  );
}

function requireKey(privatePem: string, keyids: readonly string[]): void {
  const keyid = keyIdOf(publicKeyOf(privatePem));
  if (keyids.includes(keyid)) return;
  throw new AiotError(
    'AIOT_TRUST_KEY_UNKNOWN',
    `${keyid.slice(0, 8)}, the key of this user, is not allowed to sign releases`,
    {
      next: 'To see the keys that may sign (role targets), run `aiot trust status`. To add this key, pass its public key to `aiot trust rotate --role targets --targets-key FILE`.',
    },
  );
}

async function envelopeIn(file: string): Promise<Envelope> {
  try {
    return envelopeSchema.parse(JSON.parse(await readText(file)));
  } catch (cause) {
    if (cause instanceof AiotError) throw cause;
    throw new AiotError('AIOT_MANIFEST_MALFORMED', `${file} is not a signed manifest`, {
      cause,
      next: 'Specify the manifest file that a push wrote.',
    });
  }
}

/** Publishes the manifest, either as a new version or as an existing version's newest manifest. */
async function publish(client: SigningClient, envelope: Envelope): Promise<void> {
  const { kind, name, version }: Manifest = peekManifest(envelope);
  if (kind === 'model') {
    const there = await unless('AIOT_NOT_FOUND', client.models.get(name, version));
    await (there ? client.manifests.post(envelope) : client.models.push(name, envelope));
    return;
  }
  const calls = kind === 'firmware' ? client.firmware : client.configs;
  const there = await unless('AIOT_NOT_FOUND', calls.manifest(name, version));
  await (there ? calls.sign(name, version, envelope) : calls.push(name, envelope));
}

/** Maximum number of attempts. Before the manifest is signed, another push may take its version or sequence number. */
export const pushAttempts = 20;

/** Waits for a random time before the next attempt, so that concurrent pushes do not collide repeatedly. */
export async function waitForTurn(attempt: number, random: () => number = Math.random): Promise<void> {
  await delay(random() * Math.min(1000, 25 * 2 ** attempt));
}
