import { z } from 'zod';
import { AiotError, keyIdOf, publicKeyOf, signBytes } from '../../core/index.js';
import { type Envelope, envelopeSchema, malformedPayload, type TrustRoot, validSigners } from './envelope.js';

const role = z.strictObject({ keyids: z.array(z.string()).min(1), threshold: z.int().min(1) });
export type KeyRole = z.output<typeof role>;

/** `targets` signs releases: a device that knows no roots has these keys as its trust root. */
export const rootRoles = ['root', 'targets', 'timestamp'] as const;
export type RootRole = (typeof rootRoles)[number];

/** Which keys may sign what, and how many of them must. Signed by those of the root before, and by its own. Times are ms since 1970. */
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

/** What somebody goes by: a root, or the bare trust root that came before all of them. */
export interface HeldRoot {
  version: number;
  /** null = never */
  expires: number | null;
  keys: TrustRoot['keys'];
  roles: { root: KeyRole; targets: KeyRole; timestamp: KeyRole | null };
}

/** A bare trust root's release keys are its root keys too: they sign the first root that tells them apart. */
export function heldTrust({ version, keys, roles: { release } }: TrustRoot): HeldRoot {
  return { version, expires: null, keys, roles: { root: release, targets: release, timestamp: null } };
}

/** What devices that know no roots are given: the keys that sign releases. */
export function trustOf({ version, keys, roles: { targets } }: HeldRoot): TrustRoot {
  const own = Object.entries(keys).filter(([id]) => targets.keyids.includes(id));
  return { spec: 'aiot-trust/1', version, keys: Object.fromEntries(own), roles: { release: targets } };
}

/** Adds the signature of one more private key (PKCS#8 PEM) over the same payload. */
export function cosign(envelope: Envelope, privatePem: string): Envelope {
  const keyid = keyIdOf(publicKeyOf(privatePem));
  const sig = signBytes(privatePem, Buffer.from(envelope.payload, 'base64'));
  const others = envelope.signatures.filter((signature) => signature.keyid !== keyid);
  return { payload: envelope.payload, signatures: [...others, { keyid, sig }] };
}

/** What of the chain's rules is looked at; all of it, but in tests of attacks. */
export interface RootRules {
  signatures: boolean;
  version: boolean;
}

/**
 * The root after `held`, by TUF's rules: signed by as many root keys as the held one wants and as many as it wants itself, its
 * version the next one. Whether it has expired is not looked at: the way to the newest leads over those that have.
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

/** A root that is known to be right already, from an identity or the platform's own store. @throws AIOT_MANIFEST_MALFORMED, AIOT_TRUST_SIGNATURES */
export function rootIn(value: unknown): Root {
  const envelope = envelopeOf(value, 'root');
  const root = parsed(envelope, rootSchema, 'root');
  requireSigned(envelope, root, 'root', `root ${root.version} itself`);
  return root;
}

/**
 * Whether nothing that a role had signed under `before` is good under `after`: too few of its keys are left. Only then may what was
 * remembered of it, such as the highest sequence, be forgotten: no old release can come back.
 */
export function roleReplaced(before: KeyRole | null, after: KeyRole | null): boolean {
  if (before === null || after === null) return before !== after;
  return before.keyids.filter((id) => after.keyids.includes(id)).length < after.threshold;
}

export function envelopeOf(value: unknown, what: string): Envelope {
  const envelope = envelopeSchema.safeParse(value);
  if (envelope.success) return envelope.data;
  throw malformedPayload(envelope.error, what, value);
}

export function parsed<T>(envelope: Envelope, schema: z.ZodType<T>, what: string): T {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(envelope.payload, 'base64').toString('utf8'));
  } catch (error) {
    throw new AiotError('AIOT_MANIFEST_MALFORMED', `the ${what} is not JSON`, { cause: error });
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
    `expected ${threshold} valid signature(s) of the ${name} keys of ${by}, got ${valid}`,
  );
}

/** A role that no signatures could ever satisfy would lock everybody out for good. */
function requireUsable({ keys, roles, version }: Root, name: RootRole): void {
  const { keyids, threshold } = roles[name];
  const usable = new Set(keyids.filter((id) => keys[id] && keyIdOf(keys[id].publicKey) === id)).size;
  if (usable >= threshold) return;
  throw new AiotError(
    'AIOT_MANIFEST_MALFORMED',
    `root ${version}: expected at least ${threshold} key(s) of the role ${name}, got ${usable}`,
  );
}
