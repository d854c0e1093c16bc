import { mkdir, mkdtemp, readdir, rename, rm, rmdir } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import * as z from 'zod';
import type { ModelVersion } from '../../api/api.js';
import type { RegistryClient } from '../../api/client.js';
import { requireTrusted } from '../../api/vouched.js';
import { digestOf } from '../../core/crypto.js';
import { AiotError, systemCode } from '../../core/errors.js';
import { makeFolder, readBytes, syncFolder, writeFileAtomic } from '../../core/files.js';
import type { Member } from '../../formats/archive.js';
import type { TrustRoot } from '../../formats/manifest/envelope.js';
import { packSigned, type Verified, verifySigned } from '../bundle/signed-bundle.js';

export const pullResultSchema = z.object({
  name: z.string(),
  version: z.int(),
  /** Digest of the bundle's content. */
  digest: z.string(),
  /** The output folder. */
  out: z.string(),
  files: z.array(z.string()),
  /** Whether the folder already contained exactly these files. */
  unchanged: z.boolean(),
});

type PullResult = z.output<typeof pullResultSchema>;

interface PullOptions {
  client: FetchClient;
  model: { name: string; version: number };
  out: string;
  /** Trusted signers; null = the signers that the platform trusts. */
  trust?: TrustRoot | null;
}

/**
 * Fetches a version, verifies every byte, and writes the signed bundle and its files into a folder: either all files or none.
 * @throws any error of `fetchModel`, AIOT_FOLDER_NOT_EMPTY, AIOT_FILE_NOT_WRITABLE
 */
export async function pullModel({ client, model, out, trust = null }: PullOptions): Promise<PullResult> {
  const fetched = await fetchModel(client, model, trust);
  const { name, version, digest } = fetched.card;
  return putFiles({ name, version, digest, bytes: fetched.bytes, members: fetched.members }, out);
}

/** Writes the signed bundle and its files into a folder: either all files or none. @throws AIOT_FOLDER_NOT_EMPTY, AIOT_FILE_NOT_WRITABLE */
export async function putFiles(
  model: { name: string; version: number; digest: string; bytes: Uint8Array; members: readonly Member[] },
  out: string,
): Promise<PullResult> {
  const { name, version, digest } = model;
  const whole = { name: `${name}-${version}.aiot`, data: model.bytes };
  const files = [whole, ...model.members];
  const unchanged = await isThere(out, files);
  if (!unchanged) await fillFolder(resolve(out), files);
  return { name, version, digest, out, files: files.map((file) => file.name), unchanged };
}

/**
 * Whether the folder contains exactly these files; false for an empty folder. @throws AIOT_FOLDER_NOT_EMPTY, AIOT_FILE_NOT_WRITABLE (not a
 * folder)
 */
async function isThere(out: string, files: Member[]): Promise<boolean> {
  const found = await readdir(out).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return [];
    throw new AiotError('AIOT_FILE_NOT_WRITABLE', `${out} is not a folder (${systemCode(error)})`, {
      cause: error,
    });
  });
  if (found.length === 0) return false;
  const strangers = found.filter((name) => !files.some((file) => file.name === name));
  const other = strangers[0] ?? (await firstOther(out, files));
  if (other === undefined) return true;
  throw new AiotError(
    'AIOT_FOLDER_NOT_EMPTY',
    `${out} contains ${other}, which does not belong to this version`,
  );
}

async function firstOther(out: string, files: Member[]): Promise<string | undefined> {
  for (const { name, data } of files) {
    const there = await readBytes(join(out, name)).catch(() => null);
    if (!there || !Buffer.from(data).equals(there)) return name;
  }
  return undefined;
}

/** Written next to the folder first, then renamed atomically, so that readers see all files or none. */
async function fillFolder(out: string, files: Member[]): Promise<void> {
  const above = dirname(out);
  await makeFolder(above);
  let beside: string | undefined;
  try {
    beside = await mkdtemp(join(above, `.${basename(out)}-`));
    const folder = join(beside, 'files');
    await mkdir(folder);
    for (const { name, data } of files) await writeFileAtomic(join(folder, name), data);
    await syncFolder(folder);
    await rmdir(out).catch((error: unknown) => {
      if (systemCode(error) !== 'ENOENT') throw error;
    });
    await rename(folder, out);
    await syncFolder(above);
  } catch (error) {
    if (error instanceof AiotError) throw error;
    throw new AiotError(
      'AIOT_FILE_NOT_WRITABLE',
      `cannot write ${out} (${systemCode(error) ?? 'unknown error'})`,
      {
        cause: error,
      },
    );
  } finally {
    if (beside !== undefined) await rm(beside, { recursive: true, force: true }).catch(() => {});
  }
}

/** The registry client's calls needed to fetch a version. */
export type FetchClient = {
  blobs: Pick<RegistryClient['blobs'], 'get'>;
  manifests: Pick<RegistryClient['manifests'], 'get'>;
  models: Pick<RegistryClient['models'], 'get'>;
  trust: Pick<RegistryClient['trust'], 'get'>;
};

/** A signed version, every byte of which is verified. */
interface Fetched extends Verified {
  card: ModelVersion;
  /** The signed bundle. */
  bytes: Uint8Array;
}

/**
 * Fetches a version and verifies it.
 * @param trust trusted signers; null = the signers that the platform trusts
 * @throws AIOT_NOT_FOUND, AIOT_TRUST_MISSING, AIOT_SIGNATURE_INVALID, AIOT_BUNDLE_TAMPERED, AIOT_BUNDLE_MALFORMED
 */
export async function fetchModel(
  client: FetchClient,
  { name, version }: { name: string; version: number },
  trust: TrustRoot | null,
): Promise<Fetched> {
  const card = await client.models.get(name, version);
  requireTrusted(card);
  const root = trust ?? (await client.trust.get());
  if (!root) throw new AiotError('AIOT_TRUST_MISSING', 'the platform has no trust root yet');
  const envelope = await client.manifests.get(card.sequence);
  const chunks: Uint8Array[] = [];
  // Does not use `bytes()`, which would report only a digest mismatch. The check below reports the changed file.
  for await (const chunk of (await client.blobs.get(card.digest)).body) chunks.push(chunk);
  const what = `${name}@${version}`;
  const content = Buffer.concat(chunks);
  const bytes = packSigned(content, envelope, what);
  const verified = verifySigned(bytes, root, what);
  const { manifest } = verified;
  // All other files and all headers have been verified.
  if (digestOf(content) !== manifest.artifacts[0]?.digest) {
    throw new AiotError('AIOT_BUNDLE_TAMPERED', `${what}: SHA256SUMS does not match its signature`);
  }
  if (manifest.name === name && manifest.version === version) return { ...verified, card, bytes };
  throw new AiotError(
    'AIOT_BUNDLE_TAMPERED',
    `${what}: manifest.json belongs to ${manifest.name}@${manifest.version}`,
  );
}
