import { expect } from 'vitest';
import { digestOf } from '../../src/lib/core/crypto.js';
import type { UpdateCheck } from '../../src/lib/device/update/types.js';
import { trustInMemory } from '../../src/lib/device/virtual/trust.js';
import { type Answer, type Attempt, forged, type Lab, someBytes } from './attacker.js';
import { hour, type RootsKit } from './roots-kit.js';

/** An attack on trust roots or timestamps, its expected error code, and the check that prevents it. */
export interface RootAttack {
  code: string;
  /** The check that prevents the attack; null if no switch disables it. */
  off: UpdateCheck | null;
  make(): Attempt | Promise<Attempt>;
}

interface Battlefield {
  kit: RootsKit;
  lab: () => Lab;
  operator: () => string;
}

export function rootAttacks({ kit, lab, operator }: Battlefield): Record<string, RootAttack> {
  const { one, two, stampKey, thief, rootOf, signed, second, stamp, world } = kit;
  return {
    'key compromise: one of the two required offline keys': {
      code: 'AIOT_TRUST_SIGNATURES',
      off: 'rootSignature',
      make() {
        const made = forged(someBytes(66), thief);
        const third = signed(rootOf({ version: 3, targets: thief, timestamp: thief }), one, thief);
        return world({ made, roots: [second(), third], timestamp: stamp([made.envelope], {}, thief) });
      },
    },
    'key compromise: the platform’s key and the signing key, without an offline key': {
      code: 'AIOT_TRUST_SIGNATURES',
      off: 'rootSignature',
      make() {
        const made = forged(someBytes(66), thief);
        const third = signed(
          rootOf({ version: 3, root: [thief], threshold: 1, targets: thief }),
          operator(),
          stampKey,
          thief,
        );
        return world({ made, roots: [second(), third] });
      },
    },
    'key compromise: only the signing key, for an unpublished release': {
      code: 'AIOT_UPDATE_UNPUBLISHED',
      off: 'published',
      make() {
        const made = forged(someBytes(66), operator(), { sequence: 8 });
        return world({
          made,
          timestamp: stamp([forged(someBytes(1), operator(), { sequence: 7 }).envelope]),
        });
      },
    },
    'mix-and-match: a different release in place of the newest one': {
      code: 'AIOT_UPDATE_UNPUBLISHED',
      off: 'published',
      make() {
        const published = forged(someBytes(1), operator(), { sequence: 7 });
        return world({
          made: forged(someBytes(66), operator(), { sequence: 7 }),
          timestamp: stamp([published.envelope]),
        });
      },
    },
    'rollback: a root missing from the chain, with the key that it revoked': {
      code: 'AIOT_TRUST_VERSION',
      off: 'rootVersion',
      make: () =>
        world({
          made: forged(someBytes(66), operator()),
          roots: [second(), signed(rootOf({ version: 4 }), one, two)],
        }),
    },
    'rollback: an older root in place of the next one': {
      code: 'AIOT_TRUST_VERSION',
      off: 'rootVersion',
      make: () => world({ made: forged(someBytes(66), operator()), roots: [second(), second()] }),
    },
    'mix-and-match: the newest root, with a timestamp signed by the key that it replaced': {
      code: 'AIOT_TIMESTAMP_INVALID',
      off: 'timestampSignature',
      make() {
        const made = forged(someBytes(1), operator());
        const third = signed(rootOf({ version: 3, timestamp: thief }), one, two);
        const timestamp = stamp([made.envelope], { root: { version: 3, digest: digestOf('root') } });
        return world({ made, roots: [second(), third], timestamp });
      },
    },
    'indefinite freeze: no timestamp': {
      code: 'AIOT_TIMESTAMP_INVALID',
      off: null,
      make() {
        const { desired, serve = {} } = world({ made: forged(someBytes(1), operator()) });
        const missing: Answer = (res) => void res.writeHead(404).end();
        return { desired, serve: { ...serve, '/api/v1/trust/timestamp': missing } };
      },
    },
    'indefinite freeze: an expired root, and the device’s clock set back': {
      code: 'AIOT_TRUST_ROOT_EXPIRED',
      off: 'rootExpiry',
      make() {
        const past = Date.now() - 100 * hour;
        const third = signed(rootOf({ version: 3, expires: past + hour }), one, two);
        const attempt = world({ made: forged(someBytes(1), operator()), roots: [second(), third] });
        return { ...attempt, clock: { now: () => past, sleep: async () => {} } };
      },
    },
    'indefinite freeze: an expired root': {
      code: 'AIOT_TRUST_ROOT_EXPIRED',
      off: 'rootExpiry',
      make() {
        const third = signed(rootOf({ version: 3, expires: Date.now() - hour }), one, two);
        return world({ made: forged(someBytes(1), operator()), roots: [second(), third] });
      },
    },
    'indefinite freeze: a withheld newer root': {
      code: 'AIOT_TRUST_ROOT_BEHIND',
      off: 'rootNewest',
      make() {
        const made = forged(someBytes(1), operator());
        const root = { version: 3, digest: digestOf('root') };
        return world({ made, timestamp: stamp([made.envelope], { root }) });
      },
    },
    'indefinite freeze: an expired timestamp': {
      code: 'AIOT_TIMESTAMP_EXPIRED',
      off: 'timestampExpiry',
      make() {
        const made = forged(someBytes(1), operator());
        return world({
          made,
          timestamp: stamp([made.envelope], { issued: Date.now() - 2 * hour, expires: Date.now() - hour }),
        });
      },
    },
    'indefinite freeze: an expired timestamp, and the device’s clock set back': {
      code: 'AIOT_TIMESTAMP_EXPIRED',
      off: 'timestampExpiry',
      async make() {
        const trustMemory = trustInMemory();
        const first = forged(someBytes(1), operator());
        expect(await lab().attempt({ ...world({ made: first }), trustMemory })).toMatchObject({
          state: 'COMMITTED',
        });
        const made = forged(someBytes(2), operator());
        const past = Date.now() - 100 * hour;
        const timestamp = stamp([made.envelope], { version: 2, issued: past, expires: past + 2 * hour });
        const clock = { now: () => past, sleep: async () => {} };
        return { ...world({ made, timestamp }), trustMemory, clock };
      },
    },
    'malicious mirror: a timestamp made by the mirror': {
      code: 'AIOT_TIMESTAMP_INVALID',
      off: 'timestampSignature',
      make() {
        const made = forged(someBytes(1), operator());
        return world({ made, timestamp: stamp([made.envelope], {}, thief) });
      },
    },
    'rollback: an older timestamp, signed when it was new': {
      code: 'AIOT_TIMESTAMP_ROLLBACK',
      off: 'timestampVersion',
      async make() {
        const trustMemory = trustInMemory();
        const first = forged(someBytes(1), operator());
        const newer = stamp([first.envelope], { version: 5 });
        await lab().attempt({ ...world({ made: first, timestamp: newer }), trustMemory });
        const made = forged(someBytes(2), operator());
        return { ...world({ made, timestamp: stamp([made.envelope], { version: 4 }) }), trustMemory };
      },
    },
  };
}
