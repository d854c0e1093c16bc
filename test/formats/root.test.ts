import { describe, expect, it } from 'vitest';
import { generateKeyPair, keyIdOf, publicKeyOf } from '../../src/lib/core/crypto.js';
import { signPayload, trustRootOf } from '../../src/lib/formats/manifest/envelope.js';
import {
  cosign,
  type HeldRoot,
  heldTrust,
  nextRoot,
  type Root,
  roleReplaced,
  trustOf,
  unpublished,
} from '../../src/lib/formats/manifest/root.js';
import { fc, runs } from '../support/property.js';

/** All cases use these keys, because creating keys is slow. */
const pool = Array.from({ length: 7 }, () => generateKeyPair().privatePem);
const idOf = (pem: string) => keyIdOf(publicKeyOf(pem));
const keysOf = (pems: readonly string[]) =>
  Object.fromEntries(
    pems.map((pem) => [idOf(pem), { algorithm: 'ecdsa-p256-sha256' as const, publicKey: publicKeyOf(pem) }]),
  );
const role = (pems: readonly string[], threshold: number) => ({ keyids: pems.map(idOf), threshold });

function rootOf(version: number, pems: readonly string[], threshold: number): Root {
  const [one = ''] = pool;
  const roles = { root: role(pems, threshold), targets: role([one], 1), timestamp: role([one], 1) };
  const keys = keysOf([one, ...pems]);
  return { spec: 'aiot-root/1', version, issued: 1, expires: 2 ** 45, keys, roles };
}
const signedBy = (root: Root, [first = '', ...others]: readonly string[]) =>
  others.reduce(cosign, signPayload(root, first));

describe('the next trust root', () => {
  const some = fc.uniqueArray(fc.integer({ min: 0, max: pool.length - 1 }), { minLength: 1, maxLength: 4 });
  const group = some.chain((at) =>
    fc.record({
      pems: fc.constant(at.map((i) => pool[i] ?? '')),
      threshold: fc.integer({ min: 1, max: at.length }),
    }),
  );

  it('is accepted if and only if its version is the next and both roots have enough signatures', () => {
    fc.assert(
      fc.property(group, group, some, fc.constantFrom(1, 2, 3, 4, 9), (before, after, signers, version) => {
        const held = rootOf(2, before.pems, before.threshold);
        const root = rootOf(version, after.pems, after.threshold);
        const pems = signers.map((i) => pool[i] ?? '');
        const enough = ({ pems: own, threshold }: typeof before) =>
          own.filter((pem) => pems.includes(pem)).length >= threshold;
        const code =
          enough(before) && enough(after)
            ? version === 3
              ? null
              : 'AIOT_TRUST_VERSION'
            : 'AIOT_TRUST_SIGNATURES';
        const take = () => nextRoot(signedBy(root, pems), held);
        if (code === null) expect(take()).toEqual(root);
        else expect(take).toThrow(expect.objectContaining({ code }));
      }),
      { numRuns: runs(40), seed: 7 },
    );
  });

  it('can follow a bare trust root if its release keys sign it', () => {
    const [operator = '', one = '', two = ''] = pool;
    const bare = heldTrust(trustRootOf(publicKeyOf(operator)));
    const root = rootOf(2, [one, two], 2);
    expect(nextRoot(signedBy(root, [operator, one, two]), bare)).toEqual(root);
    expect(() => nextRoot(signedBy(root, [one, two]), bare)).toThrow(/of root 1, got 0/);
    expect(() => nextRoot(signedBy(root, [operator, one]), bare)).toThrow(/of root 2 itself, got 1/);
  });

  it('is rejected if a key counts twice toward the threshold or has the wrong id', () => {
    const [operator = '', one = ''] = pool;
    const bare = heldTrust(trustRootOf(publicKeyOf(operator)));
    const twice = rootOf(2, [one, one], 2);
    expect(() => nextRoot(signedBy(twice, [operator, one]), bare)).toThrow(
      expect.objectContaining({ code: 'AIOT_TRUST_SIGNATURES' }),
    );
    const root = rootOf(2, [one], 1);
    const renamed = { ...root, keys: { ...root.keys, [idOf(one)]: { ...root.keys[idOf(operator)]! } } };
    expect(() => nextRoot(signedBy(renamed, [operator, one]), bare)).toThrow(
      expect.objectContaining({ code: 'AIOT_TRUST_SIGNATURES' }),
    );
  });

  it('is reduced to its release keys for devices without root support', () => {
    const [operator = ''] = pool;
    const { version, keys, roles } = trustOf(rootOf(5, pool.slice(1, 4), 2) as HeldRoot);
    expect({ version, keys: Object.keys(keys), roles }).toEqual({
      ...{ version: 5, keys: [idOf(operator)] },
      roles: { release: role([operator], 1) },
    });
  });
});

it('roleReplaced reports a role only if its previous signatures are no longer valid', () => {
  const old = { keyids: ['a', 'b', 'c'], threshold: 2 };
  expect(roleReplaced(old, { keyids: ['a', 'b', 'd'], threshold: 2 })).toBe(false);
  expect(roleReplaced(old, { keyids: ['a', 'd', 'e'], threshold: 2 })).toBe(true);
  expect(roleReplaced(old, { keyids: ['a', 'd', 'e'], threshold: 1 })).toBe(false);
  expect(roleReplaced(null, old)).toBe(true);
});

it('unpublished detects releases that the platform has not published', () => {
  const stamp = {
    ...{ spec: 'aiot-timestamp/1' as const, version: 1, issued: 1, expires: 2 },
    root: { version: 1, digest: 'sha256:r' },
    newest: { model: 9, firmware: 0, config: 0 },
    releases: [{ kind: 'model' as const, name: 'motion', sequence: 7, digest: 'sha256:a' }],
  };
  const told = (name: string, sequence: number, digest: string) =>
    unpublished({ kind: 'model', name, sequence }, digest, stamp);
  expect(told('motion', 7, 'sha256:a')).toBeNull();
  expect(told('motion', 5, 'sha256:b')).toBeNull();
  expect(told('other', 9, 'sha256:b')).toBeNull();
  expect(told('motion', 7, 'sha256:b')).toMatch(/as sequence 7/);
  expect(told('motion', 8, 'sha256:b')).toMatch(/7 at most/);
  expect(told('other', 10, 'sha256:b')).toMatch(/9 at most/);
});
