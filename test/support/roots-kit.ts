import { digestOf, generateKeyPair, keyIdOf, publicKeyOf } from '../../src/lib/core/crypto.js';
import { type Envelope, signPayload } from '../../src/lib/formats/manifest/envelope.js';
import { type Manifest, peekManifest } from '../../src/lib/formats/manifest/manifest.js';
import { cosign, payloadDigest, type Root, type Timestamp } from '../../src/lib/formats/manifest/root.js';
import { type Answer, type Attempt, type Forged, json } from './attacker.js';

export const hour = 3600_000;
export const newKey = () => generateKeyPair().privatePem;
const idOf = (pem: string) => keyIdOf(publicKeyOf(pem));

interface RootKeys {
  version: number;
  root?: string[];
  threshold?: number;
  targets?: string;
  timestamp?: string;
  expires?: number;
}

interface World {
  made: Forged;
  roots?: Envelope[];
  timestamp?: Envelope;
}

/**
 * Creates keys for all roles, and a mirror's documents that are valid except for a test's changes. `operator` returns
 * the key that initially signs releases.
 */
export function rootsKit(operator: () => string) {
  const [one, two, three, stampKey, thief] = [newKey(), newKey(), newKey(), newKey(), newKey()];

  function rootOf({
    version,
    root = [one, two, three],
    threshold = 2,
    targets = operator(),
    timestamp = stampKey,
    expires,
  }: RootKeys): Root {
    const all = [...root, targets, timestamp];
    const keys = all.map((pem) => [
      idOf(pem),
      { algorithm: 'ecdsa-p256-sha256' as const, publicKey: publicKeyOf(pem) },
    ]);
    return {
      ...{ spec: 'aiot-root/1', version, issued: Date.now(), expires: expires ?? Date.now() + 1000 * hour },
      keys: Object.fromEntries(keys),
      roles: {
        root: { keyids: root.map(idOf), threshold },
        targets: { keyids: [idOf(targets)], threshold: 1 },
        timestamp: { keyids: [idOf(timestamp)], threshold: 1 },
      },
    };
  }
  const signed = (root: Root, first: string, ...others: string[]) =>
    others.reduce(cosign, signPayload(root, first));

  /** Declares the roles and their keys, starting from the device's first trust root. */
  const second = () => signed(rootOf({ version: 2 }), operator(), one, two);

  /** A timestamp that lists these releases and is otherwise valid. */
  function stamp(releases: Envelope[], changes: Partial<Timestamp> = {}, key = stampKey): Envelope {
    const manifests: [Envelope, Manifest][] = releases.map((envelope) => [envelope, peekManifest(envelope)]);
    const timestamp: Timestamp = {
      ...{ spec: 'aiot-timestamp/1', version: 1, issued: Date.now(), expires: Date.now() + hour },
      root: { version: 2, digest: digestOf('root') },
      newest: {
        model: Math.max(0, ...manifests.map(([, { sequence }]) => sequence)),
        firmware: 0,
        config: 0,
      },
      releases: manifests.map(([envelope, { kind, name, sequence }]) => ({
        ...{ kind, name, sequence },
        digest: payloadDigest(envelope),
      })),
      ...changes,
    };
    return signPayload(timestamp, key);
  }

  /** A mirror with these roots, from version 2 onward, and this timestamp. */
  function world({ made, roots = [second()], timestamp = stamp([made.envelope]) }: World): Attempt {
    const serve: Record<string, Answer> = { ...made.serve, '/api/v1/trust/timestamp': json(timestamp) };
    for (const [i, root] of roots.entries()) serve[`/api/v1/trust/root/${i + 2}`] = json(root);
    return { desired: made.desired, serve };
  }

  return { one, two, three, stampKey, thief, rootOf, signed, second, stamp, world };
}
export type RootsKit = ReturnType<typeof rootsKit>;
