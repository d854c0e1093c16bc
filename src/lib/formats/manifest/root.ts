import * as z from 'zod';
import { digestOf, digestPattern, keyIdOf, publicKeyOf, signBytes } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import { type Envelope, envelopeSchema, malformedPayload, type TrustRoot, validSigners } from './envelope.js';
import type { Manifest } from './manifest.js';

const role = z.strictObject({ keyids: z.array(z.string()).min(1), threshold: z.int().min(1) });

type KeyRole = z.output<typeof role>;

/** Key roles. `targets` signs releases; the keys with this role are the trust root of devices without root support. */
export const rootRoles = ['root', 'targets', 'timestamp'] as const;

export type RootRole = (typeof rootRoles)[number];

/**
 * The keys that may sign for each role, and the number of signatures required. A root is signed with the previous root's keys and its own
 * keys. Times are ms since 1970.
 */
export const rootSchema = z.strictObject({
  spec: z.literal('aiot-root/1'),
  version: z.int().min(1),
  issued: z.int(),
  expires: z.int(),
  keys: z.record(
    z.string(),
    z.strictObject({ algorithm: z.literal('ecdsa-p256-sha256'), publicKey: z.base64() }),
  ),
  roles: z.strictObject({ root: role, targets: role, timestamp: role }),
});

export type Root = z.output<typeof rootSchema>;

/** The current basis of trust: a root or, before the first root, a bare trust root. */
export interface HeldRoot {
  version: number;
  /** Expiry, ms since 1970; null = never. */
  expires: number | null;
  keys: TrustRoot['keys'];
  roles: { root: KeyRole; targets: KeyRole; timestamp: KeyRole | null };
}

/**
 * Converts a bare trust root. The trust root's release keys are also its root keys, because they sign the first root that has separate
 * roles.
 */
export function heldTrust({ version, keys, roles: { release } }: TrustRoot): HeldRoot {
  return { version, expires: null, keys, roles: { root: release, targets: release, timestamp: null } };
}

/** The keys that sign releases, for devices without root support. */
export function trustOf({ version, keys, roles: { targets } }: HeldRoot): TrustRoot {
  const own = Object.entries(keys).filter(([id]) => targets.keyids.includes(id));
  return { spec: 'aiot-trust/1', version, keys: Object.fromEntries(own), roles: { release: targets } };
}

/** Adds the signature of another private key (PKCS#8 PEM) to the same payload. */
export function cosign(envelope: Envelope, privatePem: string): Envelope {
  const keyid = keyIdOf(publicKeyOf(privatePem));
  const sig = signBytes(privatePem, Buffer.from(envelope.payload, 'base64'));
  const others = envelope.signatures.filter((signature) => signature.keyid !== keyid);
  return { payload: envelope.payload, signatures: [...others, { keyid, sig }] };
}

/** The chain rules to check: all of them, except in attack tests. */
interface RootRules {
  signatures: boolean;
  version: boolean;
}

/**
 * Verifies the root after `held` by TUF's rules: enough signatures from the held root's keys and from the new root's own keys, and the next
 * version number. Expiry is not checked, because roots between the held root and the newest root may have expired.
 * @throws AIOT_MANIFEST_MALFORMED, AIOT_TRUST_SIGNATURES, AIOT_TRUST_VERSION
 */
export function nextRoot(
  value: unknown,
  held: HeldRoot,
  rules: RootRules = { signatures: true, version: true },
): Root {
  const envelope = envelopeOf(value, 'root');
  if (rules.signatures) requireSigned(envelope, held, 'root', `root ${held.version}`);
  const root = parsed(envelope, rootSchema, 'root');
  if (rules.signatures) requireSigned(envelope, root, 'root', `root ${root.version} itself`);
  for (const name of rootRoles) requireUsable(root, name);
  if (!rules.version || root.version === held.version + 1) return root;
  throw new AiotError(
    'AIOT_TRUST_VERSION',
    `expected root ${held.version + 1} after root ${held.version}, got ${root.version}`,
  );
}

/** Reads an already verified root from an identity or the platform's own store. @throws AIOT_MANIFEST_MALFORMED, AIOT_TRUST_SIGNATURES */
export function rootIn(value: unknown): Root {
  const envelope = envelopeOf(value, 'root');
  const root = parsed(envelope, rootSchema, 'root');
  requireSigned(envelope, root, 'root', `root ${root.version} itself`);
  return root;
}

/**
 * Whether so few of a role's keys remain that nothing signed under `before` is valid under `after`. Only then may state derived from old
 * signatures, such as the highest sequence number, be reset, because old releases are no longer valid.
 */
export function roleReplaced(before: KeyRole | null, after: KeyRole | null): boolean {
  if (before === null || after === null) return before !== after;
  return before.keyids.filter((id) => after.keyids.includes(id)).length < after.threshold;
}

function envelopeOf(value: unknown, what: string): Envelope {
  const envelope = envelopeSchema.safeParse(value);
  if (envelope.success) return envelope.data;
  throw malformedPayload(envelope.error, what, value);
}

function parsed<T>(envelope: Envelope, schema: z.ZodType<T>, what: string): T {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(envelope.payload, 'base64').toString('utf8'));
  } catch (error) {
    throw new AiotError('AIOT_MANIFEST_MALFORMED', `the ${what} is not valid JSON`, { cause: error });
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw malformedPayload(result.error, what, value);
}

function requireSigned(
  envelope: Envelope,
  { keys, roles }: Pick<HeldRoot, 'keys' | 'roles'>,
  name: 'root',
  by: string,
): void {
  const { keyids, threshold } = roles[name];
  const valid = validSigners(envelope, keys, keyids).length;
  if (valid >= threshold) return;
  throw new AiotError(
    'AIOT_TRUST_SIGNATURES',
    `expected ${threshold} valid signature(s) from the ${name} keys of ${by}, got ${valid}`,
  );
}

/** Rejects a role with an unreachable threshold, because such a role would lock everyone out permanently. */
function requireUsable({ keys, roles, version }: Root, name: RootRole): void {
  const { keyids, threshold } = roles[name];
  const usable = new Set(keyids.filter((id) => keys[id] && keyIdOf(keys[id].publicKey) === id)).size;
  if (usable >= threshold) return;
  throw new AiotError(
    'AIOT_MANIFEST_MALFORMED',
    `root ${version}: expected at least ${threshold} key(s) with the role ${name}, got ${usable}`,
  );
}

const sequence = z.int().min(0);
const digest = z.string().regex(digestPattern);

/**
 * A statement about the newest releases. The platform signs the statement with its own key, and the statement is valid for a short time. An
 * attacker who withholds newer releases from a device must also withhold newer statements, so the device's last statement expires. Times
 * are ms since 1970.
 */
export const timestampSchema = z.strictObject({
  spec: z.literal('aiot-timestamp/1'),
  /** Strictly increases. */
  version: z.int().min(1),
  issued: z.int(),
  expires: z.int(),
  /** The newest root. `digest` is the digest of the root's payload. */
  root: z.strictObject({ version: z.int().min(1), digest }),
  /** The highest sequence number for each kind; 0 = no release. */
  newest: z.strictObject({ model: sequence, firmware: sequence, config: sequence }),
  /** The newest manifest for each name, as many as fit. `digest` is the digest of the manifest's payload. */
  releases: z.array(
    z.strictObject({ kind: z.enum(['model', 'firmware', 'config']), name: z.string(), sequence, digest }),
  ),
});

export type Timestamp = z.output<typeof timestampSchema>;

/** Number of names that fit, with a margin, in the 64 KiB that devices read. */
export const mostReleases = 200;

/** Digest of an envelope's payload, which identifies roots and manifests. */
export function payloadDigest({ payload }: Envelope): string {
  return digestOf(Buffer.from(payload, 'base64'));
}

/** Checks the signatures (unless `signed` is false), then the schema. @throws AIOT_MANIFEST_MALFORMED, AIOT_TIMESTAMP_INVALID */
export function verifyTimestamp(value: unknown, held: HeldRoot, signed = true): Timestamp {
  const envelope = envelopeOf(value, 'timestamp');
  const { timestamp } = held.roles;
  const valid = timestamp ? validSigners(envelope, held.keys, timestamp.keyids).length : 0;
  if (signed && (timestamp === null || valid < timestamp.threshold)) {
    throw new AiotError(
      'AIOT_TIMESTAMP_INVALID',
      `expected ${timestamp?.threshold ?? 1} valid signature(s) from the timestamp keys of root ${held.version}, got ${valid}`,
    );
  }
  return parsed(envelope, timestampSchema, 'timestamp');
}

/** Explains how a manifest contradicts the timestamp; null = no contradiction. */
export function unpublished(
  { kind, name, sequence: own }: Pick<Manifest, 'kind' | 'name' | 'sequence'>,
  payload: string,
  { newest, releases }: Timestamp,
): string | null {
  if (own > newest[kind]) return `expected a ${kind} of sequence ${newest[kind]} at most, got ${own}`;
  const entry = releases.find((release) => release.kind === kind && release.name === name);
  if (!entry || own < entry.sequence) return null;
  if (own > entry.sequence) return `expected ${name} of sequence ${entry.sequence} at most, got ${own}`;
  return entry.digest === payload ? null : `expected ${entry.digest} as sequence ${own}, got ${payload}`;
}
