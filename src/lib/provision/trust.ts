import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import type { RegistryClient } from '../api/client.js';
import type { PublicKey, TrustChain } from '../api/contract/releases.js';
import { generateKeyPair, keyIdOf, publicKeyIn, publicKeyOf } from '../core/crypto.js';
import { AiotError, hasCode } from '../core/errors.js';
import { plural } from '../core/figures.js';
import { readText, writeFileAtomic } from '../core/files.js';
import { signPayload } from '../formats/manifest/envelope.js';
import {
  cosign,
  type HeldRoot,
  heldTrust,
  type Root,
  type RootRole,
  rootIn,
  rootRoles,
  rootSchema,
  timestampSchema,
} from '../formats/manifest/root.js';
import { operatorKey, replaceOperatorKey } from './operator-key.js';

/** Result of `aiot trust init`, `rotate` and `revoke`. */
export const trustChangeSchema = z.object({
  /** Version of the new root. */
  version: z.int(),
  expires: z.int(),
  /** Ids of the keys that were added. */
  added: z.array(z.string()),
  /** Ids of the keys that are no longer trusted. */
  removed: z.array(z.string()),
  /** Paths of the private key files that were written. */
  files: z.array(z.string()),
});

export type TrustChange = z.output<typeof trustChangeSchema>;

interface TrustContext {
  client: Pick<RegistryClient, 'trust'>;
  /** Name of the context to which the signing key belongs. */
  context: string;
  /** Validity of the new root, ms. */
  validMs: number;
  /** ms since 1970 */
  now?: number;
}

/**
 * Separates the roles: offline root keys, the operator's key for releases only, and the platform's own key for timestamps.
 * @throws AIOT_TRUST_CONFLICT, AIOT_TRUST_MISSING, AIOT_KEY_NOT_FOUND, AIOT_ALREADY_EXISTS, AIOT_USAGE
 */
export async function initTrust(
  { client, context, validMs, now = Date.now() }: TrustContext,
  { keys: count, threshold, out }: { keys: number; threshold: number; out: string },
): Promise<TrustChange> {
  if (threshold > count)
    throw new AiotError(
      'AIOT_USAGE',
      `--threshold: expected at most the number of keys, ${count}, got ${threshold}`,
    );
  const chain = await client.trust.chain();
  if (chain.root) {
    throw new AiotError('AIOT_TRUST_CONFLICT', 'the roles of this platform already have separate keys', {
      next: 'To see the roles and their keys, run `aiot trust status`. To replace keys, run `aiot trust rotate`.',
    });
  }
  const held = await heldOf(client, chain);
  if (!held) throw new AiotError('AIOT_TRUST_MISSING', 'the platform has no trust root yet');
  const operator = await operatorKey(context);
  const stamp = chain.timestampKeys.at(-1) ?? (await client.trust.newTimestampKey());
  const offline = Array.from({ length: count }, newKey);
  const root: Root = {
    ...{ spec: 'aiot-root/1', version: held.version + 1, issued: now, expires: now + validMs },
    keys: { ...held.keys, ...entries(offline.map(publicOf)), ...entries([stamp]) },
    roles: {
      root: { keyids: offline.map(({ keyid }) => keyid), threshold },
      targets: held.roles.targets,
      timestamp: { keyids: [stamp.keyid], threshold: 1 },
    },
  };
  const files = await writeRootKeys(out, offline);
  await publish(client, root, [operator, ...offline.map(({ pem }) => pem)]);
  return changeOf(held, root, files);
}

interface Rotation {
  role: RootRole;
  /** Files with offline root keys. */
  rootKeys: readonly string[];
  /** For root keys: folder for new keys; if absent, the same keys sign a root with a later expiry. */
  out?: string | undefined;
  /** The only key to remove; if absent, all keys of the role are replaced. */
  only?: string | undefined;
  /** For targets: files with the public keys of other signers, and the number of signatures that releases will require. */
  targetsKeys?: readonly string[] | undefined;
  threshold?: number | undefined;
}

/**
 * Replaces the keys of a role in the next root. A new signing key replaces the old one in this user's folder.
 * @throws AIOT_TRUST_CONFLICT (roles not separated yet), AIOT_TRUST_SIGNATURES, AIOT_FILE_NOT_FOUND, AIOT_ALREADY_EXISTS, AIOT_USAGE (too few keys
 * would remain), AIOT_MEMORY_SHORT (too many keys)
 */
export async function rotateTrust(trust: TrustContext, rotation: Rotation): Promise<TrustChange> {
  const { client, context, validMs, now = Date.now() } = trust;
  const { role, only } = rotation;
  const before = await rootOf(client);
  const signers = await readKeys(rotation.rootKeys);
  requireSigners(before, signers);
  const gone = only === undefined ? before.roles[role].keyids : [only];
  const stay = before.roles[role].keyids.filter((id) => !gone.includes(id));
  const others = await othersOf(rotation);
  const own = await newKeysFor(trust, rotation, before, gone.length);
  const made = { ...own, public: [...own.public, ...others] };
  const renewed = made.public.length === 0 && only === undefined;
  const keyids = renewed ? before.roles[role].keyids : [...stay, ...made.public.map(({ keyid }) => keyid)];
  const threshold = rotation.threshold ?? before.roles[role].threshold;
  const roles = { ...before.roles, [role]: { keyids: [...new Set(keyids)], threshold } };
  const left = roles[role].keyids.length;
  if (left < threshold) {
    const message = `the role ${role} needs ${plural(threshold, 'key')}, but only ${left} would remain`;
    const next =
      role === 'targets' ? 'Specify the public keys of the other signers: --targets-key FILE' : undefined;
    throw new AiotError('AIOT_USAGE', message, {
      next: next ?? 'Create another key in its place: --out DIR',
    });
  }
  const named = new Set(rootRoles.flatMap((each) => roles[each].keyids));
  const all = Object.entries({ ...before.keys, ...entries(made.public) });
  const root: Root = {
    ...{ spec: 'aiot-root/1', version: before.version + 1, issued: now, expires: now + validMs },
    keys: Object.fromEntries(all.filter(([id]) => named.has(id))),
    roles,
  };
  const count = Object.keys(root.keys).length;
  if (count > mostKeys)
    throw new AiotError(
      'AIOT_MEMORY_SHORT',
      `a root can have at most ${mostKeys} keys, which is the limit of devices; got ${count}`,
    );
  const files =
    made.offline.length > 0 && rotation.out ? await writeRootKeys(rotation.out, made.offline) : [];
  const install = made.signing && (await replaceOperatorKey(context, made.signing.pem));
  await publish(
    client,
    root,
    [...signers, ...made.offline].map(({ pem }) => pem),
  );
  const kept = await install?.();
  return changeOf(before, root, kept === undefined ? files : [...files, kept]);
}

/** Maximum number of keys in the firmware: for releases, and for all roles together (AIOT_KEYS_MAX of manifest.h). */
const mostTargets = 8;

const mostKeys = 20;

/** @throws AIOT_USAGE (wrong role, or too many keys), AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED */
async function othersOf({ role, targetsKeys = [], threshold }: Rotation): Promise<PublicKey[]> {
  if (role !== 'targets' && (targetsKeys.length > 0 || threshold !== undefined)) {
    throw new AiotError('AIOT_USAGE', '--targets-key and --threshold need --role targets');
  }
  if (targetsKeys.length >= mostTargets) {
    const message = `--targets-key: expected at most ${mostTargets - 1}, got ${targetsKeys.length}; devices keep ${mostTargets} keys, one of them this user's`;
    throw new AiotError('AIOT_USAGE', message);
  }
  return readPublicKeys(targetsKeys);
}

/**
 * Finds the role of a key. The key is specified by its id or by at least the first 8 digits of the id. @throws
 * AIOT_TRUST_KEY_UNKNOWN
 */
export async function findKey(
  client: TrustContext['client'],
  wanted: string,
): Promise<{ role: RootRole; keyid: string }> {
  const { roles } = await rootOf(client);
  const all = rootRoles.flatMap((role) => roles[role].keyids.map((keyid) => ({ role, keyid })));
  const found = wanted.length < 8 ? [] : all.filter(({ keyid }) => keyid.startsWith(wanted));
  const [one] = found;
  if (one && new Set(found.map(({ keyid }) => keyid)).size === 1) return one;
  throw new AiotError(
    'AIOT_TRUST_KEY_UNKNOWN',
    `expected the id of one key (8 digits or more), got ${wanted}`,
  );
}

async function newKeysFor(
  { client }: TrustContext,
  { role, out }: Rotation,
  before: Root,
  count: number,
): Promise<{ public: PublicKey[]; offline: PrivateKey[]; signing?: PrivateKey }> {
  if (role === 'timestamp') {
    // Reuses a timestamp key that an earlier attempt created.
    const { timestampKeys } = await client.trust.chain();
    const spare = timestampKeys.findLast(({ keyid }) => !before.keys[keyid]);
    return { public: [spare ?? (await client.trust.newTimestampKey())], offline: [] };
  }
  if (role === 'targets') {
    const signing = newKey();
    return { public: [publicOf(signing)], offline: [], signing };
  }
  const offline = out === undefined ? [] : Array.from({ length: count }, newKey);
  return { public: offline.map(publicOf), offline };
}

async function rootOf(client: TrustContext['client']): Promise<Root> {
  const { root } = await client.trust.chain();
  if (root) return rootIn(root);
  throw new AiotError('AIOT_TRUST_CONFLICT', 'the keys of this platform are not separated yet', {
    next: 'Separate them with `aiot trust init --out DIR`.',
  });
}

/**
 * Requires enough keys to sign the next root. Called before a new key is created. @throws AIOT_TRUST_KEY_UNKNOWN, AIOT_TRUST_SIGNATURES
 */
function requireSigners({ roles: { root }, version }: Root, signers: readonly PrivateKey[]): void {
  const stranger = signers.find(({ keyid }) => !root.keyids.includes(keyid));
  if (stranger) {
    throw new AiotError(
      'AIOT_TRUST_KEY_UNKNOWN',
      `${stranger.keyid.slice(0, 8)} is not a root key of root ${version}`,
    );
  }
  const count = new Set(signers.map(({ keyid }) => keyid)).size;
  if (count >= root.threshold) return;
  throw new AiotError(
    'AIOT_TRUST_SIGNATURES',
    `expected ${plural(root.threshold, 'root key')}, got ${count}`,
  );
}

async function publish(
  client: TrustContext['client'],
  root: Root,
  [first = '', ...others]: readonly string[],
): Promise<void> {
  await client.trust.putRoot(others.reduce(cosign, signPayload(rootSchema.parse(root), first)));
}

function changeOf(before: HeldRoot, { version, expires, keys }: Root, files: string[]): TrustChange {
  const added = Object.keys(keys).filter((id) => !before.keys[id]);
  const removed = Object.keys(before.keys).filter((id) => !keys[id]);
  return { version, expires, added, removed, files };
}

function publicOf({ pem }: PrivateKey): PublicKey {
  const publicKey = publicKeyOf(pem);
  return { keyid: keyIdOf(publicKey), publicKey };
}

function entries(keys: readonly PublicKey[]): Root['keys'] {
  return Object.fromEntries(
    keys.map(({ keyid, publicKey }) => [keyid, { algorithm: 'ecdsa-p256-sha256' as const, publicKey }]),
  );
}

/** Result of `aiot trust status`. Times are ms since 1970. */
export const trustStatusSchema = z.object({
  /** Version of the root in force; null = there is no root, so no key may sign yet. */
  version: z.int().nullable(),
  /** Whether the roles root, targets and timestamp have separate keys. */
  apart: z.boolean(),
  expires: z.int().nullable(),
  /** Ids of the keys that signed the newest root. */
  signedBy: z.array(z.string()),
  roles: z.array(z.object({ role: z.enum(rootRoles), threshold: z.int(), keyids: z.array(z.string()) })),
  /** The platform's newest timestamp; null = the root has no timestamp key. */
  timestamp: z.object({ version: z.int(), issued: z.int(), expires: z.int() }).nullable(),
  warnings: z.array(z.string()),
});

export type TrustStatus = z.output<typeof trustStatusSchema>;

type Client = Pick<RegistryClient, 'trust'>;

/** Warning period before a root expires, ms. It is long, because fetching the offline keys takes time. */
const soonMs = 30 * 86_400_000;

export async function trustStatus(client: Client, now = Date.now()): Promise<TrustStatus> {
  const chain = await client.trust.chain();
  const held = await heldOf(client, chain);
  const timestamp = chain.root && (await timestampOf(client));
  const roles = rootRoles.flatMap((role) => {
    const keys = held?.roles[role];
    return keys ? [{ role, ...keys }] : [];
  });
  return {
    version: chain.version,
    apart: chain.root !== null,
    expires: held?.expires ?? null,
    signedBy: chain.root?.signatures.map(({ keyid }) => keyid) ?? [],
    roles,
    timestamp,
    warnings: warningsOf(held, chain, timestamp, now),
  };
}

/** The root in force on a platform; null = none. */
async function heldOf(client: Client, { root }: TrustChain): Promise<HeldRoot | null> {
  if (root) return rootIn(root);
  const trust = await client.trust.get();
  return trust && heldTrust(trust);
}

async function timestampOf(client: Client): Promise<TrustStatus['timestamp']> {
  try {
    const { payload } = await client.trust.timestamp();
    const { version, issued, expires } = timestampSchema.parse(
      JSON.parse(Buffer.from(payload, 'base64').toString('utf8')),
    );
    return { version, issued, expires };
  } catch (error) {
    if (hasCode(error, 'AIOT_NOT_FOUND')) return null;
    throw error;
  }
}

function warningsOf(
  held: HeldRoot | null,
  { root }: TrustChain,
  timestamp: TrustStatus['timestamp'],
  now: number,
): string[] {
  if (!held) return ['No signing keys yet.'];
  if (!root)
    return ['One key has all roles: anyone who has it controls the fleet, and it cannot be replaced.'];
  const warnings: string[] = [];
  const { expires, roles } = held;
  if (expires !== null && expires <= now) warnings.push('The root has expired: devices reject all releases.');
  else if (expires !== null && expires < now + soonMs) warnings.push('The root expires within 30 days.');
  if (timestamp === null) warnings.push('The platform does not have the timestamp key that the root names.');
  else if (timestamp.expires <= now) warnings.push("The timestamp has expired: check the platform's clock.");
  if (roles.root.keyids.length === roles.root.threshold && roles.root.threshold > 1)
    warnings.push('Every root key is required: if one is lost, no new root can be signed.');
  if (roles.root.keyids.some((id) => roles.targets.keyids.includes(id)))
    warnings.push('A release signing key is also a root key.');
  return warnings;
}

/** A private key: PKCS#8 PEM, and the id of its public key. */
interface PrivateKey {
  pem: string;
  keyid: string;
}

function newKey(): PrivateKey {
  return keyOf(generateKeyPair().privatePem);
}

function keyOf(pem: string): PrivateKey {
  return { pem, keyid: keyIdOf(publicKeyOf(pem)) };
}

/** @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED */
async function readKeys(files: readonly string[]): Promise<PrivateKey[]> {
  const keys: PrivateKey[] = [];
  for (const file of files) {
    const pem = await readText(file);
    try {
      keys.push(keyOf(pem));
    } catch (cause) {
      throw new AiotError('AIOT_FILE_MALFORMED', `${file} is not a private key in PEM`, { cause });
    }
  }
  return keys;
}

/** Public keys from PEM files. @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED */
async function readPublicKeys(files: readonly string[]): Promise<PublicKey[]> {
  const keys: PublicKey[] = [];
  for (const file of files) {
    const pem = await readText(file);
    try {
      const publicKey = publicKeyIn(pem);
      keys.push({ keyid: keyIdOf(publicKey), publicKey });
    } catch (cause) {
      throw new AiotError('AIOT_FILE_MALFORMED', `${file} is not a public ECDSA P-256 key in PEM`, { cause });
    }
  }
  return keys;
}

/** `root-1a2b3c4d.pem`: the file name identifies the key. */
const fileOf = ({ keyid }: PrivateKey) => `root-${keyid.slice(0, 8)}.pem`;

/**
 * Writes offline keys, mode 0600, to a folder. Existing files are never overwritten, and the keys are on disk before they are reported.
 * @returns the files @throws AIOT_ALREADY_EXISTS, AIOT_FILE_NOT_WRITABLE
 */
async function writeRootKeys(out: string, keys: readonly PrivateKey[]): Promise<string[]> {
  await mkdir(out, { recursive: true, mode: 0o700 });
  const files: string[] = [];
  for (const key of keys) {
    const file = join(out, fileOf(key));
    if (existsSync(file))
      throw new AiotError('AIOT_ALREADY_EXISTS', `${file} already exists`, { subject: 'key' });
    await writeFileAtomic(file, key.pem, 0o600);
    files.push(file);
  }
  return files;
}
