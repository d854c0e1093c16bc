import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RegistryClient } from '../../src/lib/api/client.js';
import { releaseOf } from '../../src/lib/api/rollouts/release.js';
import { rolloutRequest } from '../../src/lib/api/rollouts/request.js';
import { digestOf, generateKeyPair, publicKeyOf } from '../../src/lib/core/crypto.js';
import { type Envelope, trustRootOf } from '../../src/lib/formats/manifest/envelope.js';
import { type Manifest, peekManifest, signManifest } from '../../src/lib/formats/manifest/manifest.js';
import { signModel } from '../../src/lib/model/publish/push.js';
import { pushTiny } from '../support/bundle.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';

/**
 * A malicious platform that serves a forged manifest, and records the manifests that it is asked to publish.
 */
interface Liar {
  client: RegistryClient;
  published: Manifest[];
}

let own: TestPlatform;
let genuine: Envelope;
const thief = generateKeyPair().privatePem;
const asked = { name: 'tiny', version: 1 };

beforeAll(async () => {
  own = await testPlatform();
  const { sequence } = await pushTiny(own.client, own.key);
  await pushTiny(own.client, own.key, { seed: 1 });
  genuine = await own.client.manifests.get(sequence);
});
afterAll(() => own.stop());

function liar(serves: Envelope): Liar {
  const published: Manifest[] = [];
  const { manifests, trust, models } = own.client;
  const client = {
    ...own.client,
    trust: { ...trust, get: async () => trustRootOf(publicKeyOf(own.key)) },
    models: {
      ...models,
      get: async (name: string, version: number) => ({ ...(await models.get('tiny', 1)), name, version }),
    },
    manifests: {
      ...manifests,
      get: async () => serves,
      post: async (envelope: Envelope) => {
        const manifest = peekManifest(envelope);
        published.push(manifest);
        return { ...(await models.get('tiny', 1)), sequence: manifest.sequence };
      },
    },
  };
  return { client, published };
}

const how = (client: RegistryClient) => ({ client, signingKey: async () => own.key, now: Date.now() });
const artifacts = [{ name: 'model.aiot', digest: digestOf('evil'), bytes: 4 }];
const evil = (key: string, changes: Partial<Manifest> = {}) =>
  signManifest({ ...peekManifest(genuine), artifacts, ...changes }, key);
/** Forged content under the genuine signature, which anyone can copy. */
const borrowed = () => ({ ...evil(thief), signatures: genuine.signatures });

describe('a malicious platform that requests a new signature', () => {
  it.each<[string, () => Envelope]>([
    ['a manifest signed with a stolen, replaced key', () => evil(thief)],
    ['a manifest with a borrowed signature', borrowed],
  ])('cannot get %s signed unless the check is disabled', async (_, made) => {
    const refused = {
      code: 'AIOT_SIGNATURE_INVALID',
      next: expect.stringContaining('aiot model sign tiny@1'),
    };
    const { client, published } = liar(made());
    await expect(releaseOf(how(client), 'model', asked)).rejects.toMatchObject(refused);
    const back = { ...how(client), model: 'tiny@1', rollbackTo: 'tiny@1', selector: 'all', policy: {} };
    await expect(rolloutRequest(back)).rejects.toMatchObject(refused);
    expect(published).toEqual([]);

    await releaseOf({ ...how(client), unchecked: new Set(['own'] as const) }, 'model', asked);
    expect(published).toMatchObject([{ artifacts }]);
  });

  it.each<[string, () => Envelope]>([
    ['another version', () => evil(own.key, { version: 2 })],
    ['another name', () => evil(own.key, { name: 'other' })],
    ['another kind', () => evil(own.key, { kind: 'firmware' })],
  ])('cannot substitute %s', async (_, made) => {
    const { client, published } = liar(made());
    const refused = { code: 'AIOT_UPDATE_MISMATCH' };
    await expect(releaseOf(how(client), 'model', asked)).rejects.toMatchObject(refused);
    const sign = { client, model: asked, privatePem: own.key, agree: async () => true };
    await expect(signModel(sign)).rejects.toMatchObject(refused);
    expect(published).toEqual([]);
  });

  it('gets a new signature for content that this user signed before', async () => {
    const { client, published } = liar(genuine);
    await releaseOf(how(client), 'model', asked);
    expect(published).toMatchObject([{ ...asked, artifacts: peekManifest(genuine).artifacts }]);
  });

  it('gets content from other signers signed only after the user confirms its digest and signers', async () => {
    const { client, published } = liar(evil(thief));
    const seen: unknown[] = [];
    const sign = (yes: boolean) =>
      signModel({
        ...{ client, model: asked, privatePem: own.key },
        agree: async (what) => {
          seen.push(what);
          return yes;
        },
      });
    await expect(sign(false)).rejects.toMatchObject({ code: 'AIOT_INTERRUPTED' });
    expect(published).toEqual([]);
    const [by] = evil(thief).signatures;
    expect(seen).toMatchObject([{ artifacts, signers: [{ keyid: by?.keyid, counts: false }] }]);
    await sign(true);
    expect(published).toHaveLength(1);
  });

  it('gets a colleague’s release signed only on explicit request, not automatically', async () => {
    const { client, published } = liar(evil(thief));
    const [mine, theirs] = [own.key, thief].map((key) => trustRootOf(publicKeyOf(key)));
    const keys = { ...mine?.keys, ...theirs?.keys };
    const root = { ...mine!, keys, roles: { release: { keyids: Object.keys(keys), threshold: 1 } } };
    const both = { ...client, trust: { ...client.trust, get: async () => root } };
    await expect(releaseOf(how(both), 'model', asked)).rejects.toMatchObject({
      code: 'AIOT_SIGNATURE_INVALID',
    });
    const agree = async () => true;
    const signed = await signModel({ client: both, model: asked, privatePem: own.key, agree });
    expect(signed.unchanged).toBe(false);
    expect(published).toHaveLength(1);
  });
});
