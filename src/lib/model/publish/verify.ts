import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import * as z from 'zod';
import type { RegistryClient } from '../../api/client.js';
import { resolveModel } from '../../api/reference.js';
import { publicKeyIn, sha256Hex } from '../../core/crypto.js';
import { AiotError, errorMaker, hasCode } from '../../core/errors.js';
import { readBytes, readJson, readText } from '../../core/files.js';
import { issueText } from '../../core/issues.js';
import { type TrustRoot, trustRootOf, trustRootSchema } from '../../formats/manifest/envelope.js';
import { networkModes } from '../../formats/manifest/manifest.js';
import { checkGolden } from '../bundle/golden.js';
import { isSigned, requireBundle, unpackAny } from '../bundle/pack.js';
import { signedNames, type Verified, verifyMembers, verifySigned } from '../bundle/signed-bundle.js';
import type { Bundle } from '../bundle/types.js';
import { type FetchClient, fetchModel } from './pull.js';
import { isModelFile } from './push.js';

const malformed = errorMaker('AIOT_FILE_MALFORMED');

export const verifyResultSchema = z.object({
  /** The file, folder or NAME@VERSION that was verified. */
  what: z.string(),
  name: z.string(),
  version: z.int(),
  sequence: z.int(),
  kind: z.enum(['model', 'network']),
  mode: z.enum(networkModes),
  /** Digest of the content in the form that devices download. */
  digest: z.string(),
  bytes: z.int(),
  /** IDs of the keys that signed the content. */
  keys: z.array(z.string()),
  /** ms since 1970 */
  issued: z.int(),
  expires: z.int().nullable(),
  /** Whether the release has expired, so that devices now reject it. */
  expired: z.boolean(),
  files: z.array(z.object({ name: z.string(), bytes: z.int(), sha256: z.string() })),
  /** Additional files in a folder. They are not signed, and never reach a device. */
  unsigned: z.array(z.string()),
  /** Null for a bare network, which has no golden vectors. */
  golden: z.object({ vectors: z.int(), passed: z.int() }).nullable(),
});

export type VerifyResult = z.output<typeof verifyResultSchema>;

/** Whether the argument refers to a path on disk rather than to the registry. */
export async function isModelPath(text: string): Promise<boolean> {
  return isModelFile(text) || (await stat(text).catch(() => null)) !== null;
}

interface VerifyOptions {
  what: string;
  /** `what` is a file or a folder, not a version. */
  path: boolean;
  /** Trusted signers; null = the signers that the platform trusts. */
  trust: TrustRoot | null;
  /** null = offline: a path and a trust root are sufficient. */
  client: (FetchClient & { models: Pick<RegistryClient['models'], 'versions'> }) | null;
  /** ms since 1970 */
  now: number;
}

/** Verifies a version or a file. @throws as `verifyFile` and `fetchModel`; AIOT_TRUST_MISSING */
export async function verifyModel({ what, path, trust, client, now }: VerifyOptions): Promise<VerifyResult> {
  const root = trust ?? (await client?.trust.get());
  if (!root)
    throw new AiotError('AIOT_TRUST_MISSING', 'no trusted signing keys are known', {
      next: 'Specify them with --trust FILE, or choose a platform that has a trust root with --context NAME.',
    });
  if (path || !client) return verifyFile(what, root, now);
  const fetched = await fetchModel(client, await resolveModel(client, what), root);
  return verifyResult(`${fetched.card.name}@${fetched.card.version}`, fetched, now);
}

/**
 * Verifies a signed .aiot file, or the folder of a pulled version, offline: signatures, every byte of every file, and the golden vectors.
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
    throw new AiotError('AIOT_SIGNATURE_INVALID', `${path}: not signed: it contains no manifest.json`, {
      next: '`aiot model push FILE` signs it, and `aiot model pull` downloads the signed bundle.',
    });
  }
  return verifyResult(path, verifySigned(bytes, trust, path), now);
}

/** Reports damage before the missing signature, because advice to sign a damaged bundle would be wrong. @throws AIOT_BUNDLE_MALFORMED */
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
    // A folder without a manifest is not a bundle; the read below reports the missing manifest.
    if (!files.includes(name) && files.includes(signedNames[0])) {
      throw new AiotError('AIOT_BUNDLE_TAMPERED', `${path}: the signed file ${name} is missing`);
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
      `${join(path, file)} belongs to a different version than the other files`,
    );
  }
  return { verified, unsigned };
}

/** Creates the result for a verified bundle. @throws AIOT_GOLDEN_MISMATCH */
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
    `${what}: the test vector of ${first.recording}: ${first.reason}`,
  );
}

interface TrustFiles {
  /** Path of a trust root in JSON, such as `trust.json` in a device's identity. */
  trust?: string | undefined;
  /** Path of a public key in PEM. */
  key?: string | undefined;
}

/**
 * Trusted signers from a file; null if none is named. Works offline.
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
    throw malformed(`${key} is not an ECDSA P-256 key in PEM`, { cause: error });
  }
}
