import { digestOf, generateKeyPair, keyIdOf, publicKeyOf } from '../../src/lib/core/crypto.js';
import { AiotError } from '../../src/lib/core/errors.js';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { createTrustKeeper, trustInMemory } from '../../src/lib/device/virtual/trust.js';
import {
  type Envelope,
  signPayload,
  type TrustRoot,
  trustRootOf,
} from '../../src/lib/formats/manifest/envelope.js';
import type { Manifest } from '../../src/lib/formats/manifest/manifest.js';
import { cosign, type Root, type Timestamp, unpublished } from '../../src/lib/formats/manifest/root.js';
import { type Json, mutations } from './mutations.js';

const [operator = '', one = '', two = '', three = '', stampKey = '', fresh = '', thief = ''] = Array.from(
  { length: 7 },
  () => generateKeyPair().privatePem,
);
const idOf = (pem: string) => keyIdOf(publicKeyOf(pem));
const keysOf = (pems: string[]) =>
  Object.fromEntries(
    pems.map((pem) => [idOf(pem), { algorithm: 'ecdsa-p256-sha256' as const, publicKey: publicKeyOf(pem) }]),
  );
const role = (pems: string[], threshold: number) => ({ keyids: pems.map(idOf), threshold });
const now = 1_800_000_000_000;

/**
 * The documents that a device receives when it checks the roots and timestamp, and the release that it requests.
 */
export interface TrustCase {
  what: string;
  trust: TrustRoot;
  /** The root inside an identity that was created after `trust init`. */
  root: string | null;
  /** The chain of roots from version 2 on, or from the successor of `root`. */
  roots: string[];
  timestamp: string | null;
  now: number;
  asked: { kind: Manifest['kind']; name: string; sequence: number; digest: string };
}

function rootOf(version: number, changes: Partial<Root> = {}): Root {
  return {
    ...{ spec: 'aiot-root/1', version, issued: 1, expires: now + 1000 },
    keys: keysOf([one, two, three, operator, stampKey]),
    roles: {
      root: role([one, two, three], 2),
      targets: role([operator], 1),
      timestamp: role([stampKey], 1),
    },
    ...changes,
  };
}
const text = (value: object, first: string, ...others: string[]) =>
  JSON.stringify(others.reduce(cosign, signPayload(value as { spec: string }, first)));
const secondBy = (value: object) => text(value, operator, one, two);
const second = secondBy(rootOf(2));
const thirdOf = (changes: Partial<Root> = {}) => text(rootOf(3, changes), one, three);

const stamp: Timestamp = {
  ...{ spec: 'aiot-timestamp/1', version: 4, issued: now - 5, expires: now + 1 },
  root: { version: 2, digest: digestOf('root') },
  newest: { model: 9, firmware: 0, config: 3 },
  releases: [
    { kind: 'model', name: 'motion', sequence: 7, digest: digestOf('motion') },
    { kind: 'config', name: 'motion', sequence: 3, digest: digestOf('config') },
  ],
};
const stampBy = (key: string, changes: Partial<Timestamp> = {}) => text({ ...stamp, ...changes }, key);
const good: Omit<TrustCase, 'what'> = {
  ...{
    trust: trustRootOf(publicKeyOf(operator)),
    root: null,
    roots: [second],
    timestamp: stampBy(stampKey),
    now,
  },
  asked: { kind: 'model', name: 'motion', sequence: 7, digest: digestOf('motion') },
};
const bare = {
  root: role([operator], 1),
  targets: role([operator], 1),
  timestamp: role([stampKey], 1),
};

const told: Record<string, Partial<TrustCase>> = {
  good: {},
  'a platform without roots': { roots: [], timestamp: null },
  'a timestamp that no root requires': { roots: [] },
  'two roots': { roots: [second, thirdOf()] },
  'an identity with a root': { root: second, roots: [thirdOf()] },
  'an identity whose root has too few signatures': { root: text(rootOf(2), one), roots: [] },
  'another signing key': {
    roots: [second, thirdOf({ roles: { ...rootOf(3).roles, targets: role([three], 1) } })],
  },
  'an additional signing key': {
    roots: [
      second,
      thirdOf({
        keys: keysOf([one, two, three, operator, stampKey, fresh]),
        roles: { ...rootOf(3).roles, targets: role([operator, fresh], 1) },
      }),
    ],
  },
  'two signing keys instead of one': {
    roots: [
      second,
      thirdOf({
        keys: keysOf([one, two, three, operator, stampKey, fresh]),
        roles: { ...rootOf(3).roles, targets: role([operator, fresh], 2) },
      }),
    ],
  },
  'another key for timestamps': {
    roots: [second, thirdOf({ roles: { ...rootOf(3).roles, timestamp: role([three], 1) } })],
    timestamp: stampBy(three, { version: 1 }),
  },
  'one of two offline keys': { roots: [second, text(rootOf(3), one)] },
  'a thief’s key and one of two': { roots: [second, text(rootOf(3), one, thief)] },
  'too few of its own signatures': { roots: [text(rootOf(2), operator, one)] },
  'without signatures of the previous root': { roots: [text(rootOf(2), one, two)] },
  'the same key twice': {
    roots: [secondBy(rootOf(2, { roles: { ...rootOf(2).roles, root: role([one, one], 2) } }))],
  },
  'the operator’s key for all roles': { roots: [secondBy(rootOf(2, { roles: bare }))] },
  'a role that cannot be satisfied': {
    roots: [secondBy(rootOf(2, { roles: { ...rootOf(2).roles, targets: role([operator], 2) } }))],
  },
  'a role with a missing key': {
    roots: [secondBy(rootOf(2, { roles: { ...rootOf(2).roles, timestamp: role([fresh], 1) } }))],
  },
  'a key under the id of another': {
    roots: [
      secondBy(rootOf(2, { keys: { ...rootOf(2).keys, [idOf(stampKey)]: keysOf([thief])[idOf(thief)]! } })),
    ],
  },
  'a missing root': { roots: [second, text(rootOf(4), one, two)] },
  'a repeated root': { roots: [second, text(rootOf(2), one, two)] },
  'an expired root': { roots: [secondBy(rootOf(2, { expires: now }))] },
  'an expired root within the chain': { roots: [secondBy(rootOf(2, { expires: 5 })), thirdOf()] },
  'a root before 1970': { roots: [secondBy(rootOf(2, { expires: -1 }))] },
  'no timestamp': { timestamp: null },
  'a timestamp of a thief': { timestamp: stampBy(thief) },
  'a timestamp of the operator': { timestamp: stampBy(operator) },
  'an expired timestamp': { timestamp: stampBy(stampKey, { expires: now }) },
  'a timestamp from tomorrow': { timestamp: stampBy(stampKey, { issued: now + 50 }) },
  'a timestamp that ends before it begins': {
    timestamp: stampBy(stampKey, { issued: now + 50, expires: now + 50 }),
  },
  'a timestamp of a newer root': { timestamp: stampBy(stampKey, { root: { ...stamp.root, version: 3 } }) },
  'a timestamp of an older root': { timestamp: stampBy(stampKey, { root: { ...stamp.root, version: 1 } }) },
  'an older release': { asked: { ...good.asked, sequence: 6, digest: digestOf('older') } },
  'a different release in its place': { asked: { ...good.asked, digest: digestOf('another') } },
  'a sequence above it': { asked: { ...good.asked, sequence: 8 } },
  'a sequence above all': { asked: { ...good.asked, sequence: 10 } },
  'an unlisted name': { asked: { ...good.asked, name: 'other', sequence: 9 } },
  'another kind of that name': { asked: { ...good.asked, kind: 'config', sequence: 3 } },
  'a kind without releases': { asked: { ...good.asked, kind: 'firmware', sequence: 1 } },
  'a duplicate name': {
    timestamp: stampBy(stampKey, { releases: [...stamp.releases].reverse().concat(stamp.releases) }),
  },
  'a root of more than 64 KiB': { roots: [`${second}${' '.repeat(64 * 1024)}`] },
  'a timestamp of more than 64 KiB': { timestamp: `${stampBy(stampKey)}${' '.repeat(64 * 1024)}` },
  'no JSON': { roots: [second.slice(0, -1)] },
  'white space': { roots: [JSON.stringify(JSON.parse(second), null, 2)] },
  'a manifest as a root': { roots: [secondBy({ ...rootOf(2), spec: 'aiot-manifest/1' })] },
  'a timestamp as a root': { roots: [text(stamp, operator, one, two)] },
};

/** Flips one bit of a byte, so that ASCII stays ASCII. */
function flipped(from: string, count: number, seed: number): { what: string; text: string }[] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, () => {
    const at = Math.floor(random() * from.length);
    const code = from.charCodeAt(at) ^ (1 << Math.floor(random() * 7));
    return {
      what: `byte ${at} = ${code}`,
      text: from.slice(0, at) + String.fromCharCode(code || 1) + from.slice(at + 1),
    };
  });
}

/** Chains, attacks and mutated bytes; only a sample of them unless AIOT_LONG=1. */
export function trustCases(): TrustCase[] {
  const json = (value: unknown) => value as Json;
  /** An absent value is not a document, so it is excluded. */
  const envelopes = mutations(json(JSON.parse(second) as Envelope)).filter(({ value }) => value !== null);
  const mutated: [string, Partial<TrustCase>][] = [
    ...mutations(json(rootOf(2))).map(({ what, value }): [string, Partial<TrustCase>] => [
      `root${what}`,
      { roots: [secondBy(value as object)] },
    ]),
    ...mutations(json(stamp)).map(({ what, value }): [string, Partial<TrustCase>] => [
      `timestamp${what}`,
      { timestamp: text(value as object, stampKey) },
    ]),
    ...envelopes.map(({ what, value }): [string, Partial<TrustCase>] => [
      `envelope${what}`,
      { roots: [JSON.stringify(value)] },
    ]),
    ...flipped(second, 150, 3).map((each): [string, Partial<TrustCase>] => [
      `root, ${each.what}`,
      { roots: [each.text] },
    ]),
    ...flipped(stampBy(stampKey), 150, 4).map((each): [string, Partial<TrustCase>] => [
      `timestamp, ${each.what}`,
      { timestamp: each.text },
    ]),
  ];
  const some = mutated.filter((_, i) => process.env.AIOT_LONG === '1' || i % 3 === 0);
  return [...Object.entries(told), ...some].map(([what, changes]) => ({ ...good, ...changes, what }));
}

/** Returns the result and stored state in TypeScript, in the format of firmware/test/trust_tool.c. */
export async function trustVerdict({
  trust,
  root,
  roots,
  timestamp,
  now,
  asked,
}: TrustCase): Promise<string> {
  const memory = trustInMemory();
  const parse = (document: string | null | undefined): unknown => {
    if (document === null || document === undefined) return null;
    if (document.length > 64 * 1024) throw new AiotError('AIOT_MANIFEST_MALFORMED', 'too long');
    try {
      return JSON.parse(document);
    } catch {
      throw new AiotError('AIOT_MANIFEST_MALFORMED', 'no JSON');
    }
  };
  const first = root === null ? 2 : 3;
  const source = {
    root: async (version: number) => parse(roots[version - first]),
    timestamp: async () => parse(timestamp),
  };
  let code = 'AIOT_OK';
  try {
    const held = root === null ? undefined : (JSON.parse(root) as Envelope);
    const clock = { now: () => now, sleep: async () => {} };
    const keeper = createTrustKeeper({ trust, root: held, memory, source, clock, unchecked: new Set() });
    try {
      const seen = await keeper.refresh(AbortSignal.timeout(5000));
      if (seen.timestamp && unpublished(asked, asked.digest, seen.timestamp))
        code = 'AIOT_UPDATE_UNPUBLISHED';
    } catch (error) {
      code = codeOf(error);
    }
  } catch (error) {
    return codeOf(error);
  }
  const kept = memory.read();
  const version = kept?.root?.version ?? first - 1;
  return `${code} ${version} ${kept?.epoch ?? 0} ${kept?.timestamp.version ?? 0} ${kept?.timestamp.issued ?? 0}`;
}

function codeOf(error: unknown): string {
  if (error instanceof AiotError) return error.code;
  throw error;
}
