import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { digestOf, publicKeyOf, sha256Hex } from '../../src/lib/core/crypto.js';
import { trustRootOf } from '../../src/lib/formats/manifest/envelope.js';
import { jsonBytes, membersOf, packMembers, unpackBundle } from '../../src/lib/model/bundle/pack.js';
import { packSigned, verifySigned } from '../../src/lib/model/bundle/signed-bundle.js';
import { pushTiny } from '../support/bundle.js';
import { root } from '../support/cli.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';

let own: TestPlatform;
beforeAll(async () => {
  own = await testPlatform();
});
afterAll(() => own.stop());

it('twelve concurrent model pushes all succeed, with distinct versions and sequence numbers', async () => {
  const pushes = Array.from({ length: 12 }, (_, seed) => pushTiny(own.client, own.key, { seed }));
  const done = await Promise.all(pushes);
  const numbers = Array.from({ length: 12 }, (_, i) => i + 1);
  expect(done.map(({ version }) => version).toSorted((a, b) => a - b)).toEqual(numbers);
  expect(done.map(({ sequence }) => sequence).toSorted((a, b) => a - b)).toEqual(numbers);
});

it('a bundle of an earlier aiot, which stored the mean of each value of a long window, is accepted and verified unchanged', async () => {
  const long = unpackBundle(readFileSync(join(root, 'firmware/test/fixtures/bundles/long-raw.aiot')));
  const [, ...others] = membersOf(long);
  const earlier = [{ name: 'bundle.json', data: jsonBytes(long.info) }, ...others];
  const files = earlier.map(({ name, data }) => ({ name, sha256: sha256Hex(data), bytes: data.length }));
  const bundle = packMembers(earlier);
  const { sequence, digest } = await pushTiny(own.client, own.key, {
    name: long.info.name,
    bundle,
    change: (manifest) => ({ ...manifest, interface: 2, files }),
  });
  expect(digest).toBe(digestOf(bundle));
  const envelope = await own.client.manifests.get(sequence);
  const signed = packSigned(bundle, envelope);
  const verified = verifySigned(signed, trustRootOf(publicKeyOf(own.key)), 'long-raw.aiot');
  expect(verified.content).toEqual(bundle);
  expect(verified.manifest.files).toEqual(files);
});
