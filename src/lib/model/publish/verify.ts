import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import * as z from 'zod';
import { publicKeyIn, sha256Hex } from '../../core/crypto.js';
import { AiotError, hasCode } from '../../core/errors.js';
import { readBytes, readJson, readText } from '../../core/files.js';
import { issueText } from '../../core/issues.js';
import { type TrustRoot, trustRootOf, trustRootSchema } from '../../formats/manifest/envelope.js';
import { networkModes } from '../../formats/manifest/manifest.js';
import type { RegistryClient } from '../../registry/client.js';
import { resolveModel } from '../../registry/reference.js';
import { checkGolden } from '../bundle/golden.js';
import { isSigned, requireBundle, unpackAny } from '../bundle/pack.js';
import { signedNames, type Verified, verifyMembers, verifySigned } from '../bundle/signed-bundle.js';
import type { Bundle } from '../bundle/types.js';
import { type FetchClient, fetchModel } from './pull.js';
import { isModelFile } from './push.js';

export const verifyResultSchema = z.object({
  /** The file, folder or NAME@VERSION that was verified. */
  what: z.string(),
  name: z.string(),
  version: z.int(),
  sequence: z.int(),
  kind: z.enum(['model', 'network']),
  mode: z.enum(networkModes),
  /** Digest of the content, as devices download it. */
  digest: z.string(),
  bytes: z.int(),
  /** Ids of the keys that signed it. */
  keys: z.array(z.string()),
  /** ms since 1970 */
  issued: z.int(),
  expires: z.int().nullable(),
  /** Devices refuse it now. */
  expired: z.boolean(),
  files: z.array(z.object({ name: z.string(), bytes: z.int(), sha256: z.string() })),
  /** Files beside those of a folder, which nobody has signed and no device gets. */
  unsigned: z.array(z.string()),
  /** Null of a network alone, which has none. */
  golden: z.object({ vectors: z.int(), passed: z.int() }).nullable(),
});

export type VerifyResult = z.output<typeof verifyResultSchema>;

/** Whether what was typed is on disk rather than in the registry. */
export async function isModelPath(text: string): Promise<boolean> {
  return isModelFile(text) || (await stat(text).catch(() => null)) !== null;
}

interface VerifyOptions {
  what: string;
  /** `what` is a file or a folder, and no version. */
  path: boolean;
  /** Whose signatures count; null = whom the platform trusts. */
  trust: TrustRoot | null;
  /** null = nobody is asked: a path and its trust root are enough. */
  client: (FetchClient & { models: Pick<RegistryClient['models'], 'versions'> }) | null;
  /** ms since 1970 */
  now: number;
}

/** Verifies a version or a file. @throws as `verifyFile` and `fetchModel`; AIOT_TRUST_MISSING */
export async function verifyModel({ what, path, trust, client, now }: VerifyOptions): Promise<VerifyResult> {
  const root = trust ?? (await client?.trust.get());
  if (!root) throw new AiotError('AIOT_TRUST_MISSING', 'nobody says whose signature counts');
  if (path || !client) return verifyFile(what, root, now);
  const fetched = await fetchModel(client, await resolveModel(client, what), root);
  return verifyResult(`${fetched.card.name}@${fetched.card.version}`, fetched, now);
}

/**
 * Verifies a signed .aiot file, or the folder of a pulled one, without asking anybody: signatures, every byte of every file,
 * and the golden vectors.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_SIGNATURE_INVALID, AIOT_BUNDLE_TAMPERED, AIOT_BUNDLE_MALFORMED, AIOT_GOLDEN_MISMATCH
 */
export async function verifyFile(path: string, trust: TrustRoot, now: number): Promise<VerifyResult> {
  const folder = (await stat(path).catch(() => null))?.isDirectory() ?? false;
  if (folder) {
    const { verified, unsigned } = await verifyFolder(path, trust);
    return { ...verifyResult(path, verified, now), unsigned };
  }
  const bytes = await readBytes(path);
  requireBundle(bytes, path, 'a signed .aiot file');
  if (bytes.subarray(0, 11).toString('latin1') === 'bundle.json' && !isSigned(bytes)) {
    requireWhole(bytes, path);
    throw new AiotError(
      'AIOT_SIGNATURE_INVALID',
      `${path}: nobody has signed it: there is no manifest.json in it`,
      {
        next: 'aiot model push FILE signs it; aiot model pull gets it signed.',
      },
    );
  }
  return verifyResult(path, verifySigned(bytes, trust, path), now);
}

/** A damaged bundle is told as one: to sign it would be the wrong advice. @throws AIOT_BUNDLE_MALFORMED */
function requireWhole(bytes: Uint8Array, path: string): void {
  try {
    unpackAny(bytes, path);
  } catch (error) {
    if (!hasCode(error, 'AIOT_BUNDLE_MALFORMED') || error.message.startsWith(path)) throw error;
    throw new AiotError('AIOT_BUNDLE_MALFORMED', `${path}: ${error.message}`, { cause: error });
  }
}

async function verifyFolder(
  path: string,
  trust: TrustRoot,
): Promise<{ verified: Verified; unsigned: string[] }> {
  const files = (await readdir(path)).sort();
  const members = [];
  for (const name of signedNames) {
    // Without a manifest it is no folder of a bundle, which reading it tells.
    if (!files.includes(name) && files.includes(signedNames[0])) {
      throw new AiotError('AIOT_BUNDLE_TAMPERED', `${path}: ${name} is missing from what was signed`);
    }
    members.push({ name, data: await readBytes(join(path, name)) });
  }
  const verified = verifyMembers(members, trust, path);
  const unsigned = [];
  for (const file of files) {
    if ((signedNames as readonly string[]).includes(file)) continue;
    if (!file.endsWith('.aiot')) {
      unsigned.push(file);
      continue;
    }
    const { manifest } = verifySigned(await readBytes(join(path, file)), trust, join(path, file));
    if (manifest.sequence === verified.manifest.sequence) continue;
    throw new AiotError(
      'AIOT_BUNDLE_TAMPERED',
      `${join(path, file)} is another version than the files beside it`,
    );
  }
  return { verified, unsigned };
}

/** The result for a verified bundle. @throws AIOT_GOLDEN_MISMATCH */
function verifyResult(what: string, verified: Verified, now: number): VerifyResult {
  const { manifest, keyids, bundle, content, members } = verified;
  const { name, version, sequence, issued, expires, artifacts } = manifest;
  return {
    what,
    name,
    version,
    sequence,
    kind: bundle.info.kind,
    mode: bundle.info.quantization.mode,
    digest: artifacts[0]?.digest ?? '',
    bytes: content.length,
    keys: keyids,
    issued,
    expires,
    expired: expires !== null && expires <= now,
    files: members.map((file) => ({
      name: file.name,
      bytes: file.data.length,
      sha256: sha256Hex(file.data),
    })),
    unsigned: [],
    golden: bundle.info.kind === 'model' ? goldenResult(bundle as Bundle, basename(what)) : null,
  };
}

function goldenResult(bundle: Bundle, what: string): { vectors: number; passed: number } {
  const { vectors, passed, failures } = checkGolden(bundle);
  const [first] = failures;
  if (!first) return { vectors, passed };
  throw new AiotError(
    'AIOT_GOLDEN_MISMATCH',
    `${what}: golden vector of ${first.recording}: ${first.reason}`,
  );
}

interface TrustFiles {
  /** A trust root, JSON: `trust.json` of a device's identity is one. */
  trust?: string | undefined;
  /** A public key, PEM. */
  key?: string | undefined;
}

/**
 * Whose signatures count, from a file; null when none is named. Nothing is asked of a platform.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED
 */
export async function readTrust({ trust, key }: TrustFiles): Promise<TrustRoot | null> {
  if (trust !== undefined) {
    const read = trustRootSchema.safeParse(await readJson(trust));
    if (read.success) return read.data;
    throw malformed(`${trust}: ${issueText(read.error, 'the file')}`);
  }
  if (key === undefined) return null;
  const pem = await readText(key);
  try {
    return trustRootOf(publicKeyIn(pem));
  } catch (error) {
    throw malformed(`${key} is not an ECDSA P-256 key in PEM`, error);
  }
}

function malformed(message: string, cause?: unknown): AiotError {
  return new AiotError('AIOT_FILE_MALFORMED', message, { cause });
}
