import { setImmediate } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createClient } from '../../src/lib/api/client.js';
import { largestModelFile, type ModelFile } from '../../src/lib/api/contract/model-files.js';
import { digestOf, generateKeyPair, keyIdOf, publicKeyOf } from '../../src/lib/core/crypto.js';
import { type Envelope, type TrustRoot, trustRootOf } from '../../src/lib/formats/manifest/envelope.js';
import { signManifest } from '../../src/lib/formats/manifest/manifest.js';
import { cosign } from '../../src/lib/formats/manifest/root.js';
import { packBundle, unpackBundle } from '../../src/lib/model/bundle/pack.js';
import { packSigned } from '../../src/lib/model/bundle/signed-bundle.js';
import { networkBundle, unpackAny } from '../../src/lib/model/index.js';
import { manifestOf, signModel } from '../../src/lib/model/publish/push.js';
import { ModelFiles } from '../../src/lib/platform/releases/model-files.js';
import { pushTiny, tinyBundle } from '../support/bundle.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';

let own: TestPlatform;
beforeAll(async () => {
  own = await testPlatform();
});
afterAll(() => own.stop());

const other = generateKeyPair().privatePem;
const contentOf = (name: string, seed = 0) => packBundle(unpackBundle(tinyBundle(name, seed)));

/** The manifest of a bundle as it is signed on another computer. */
function envelopeOf(
  content: Uint8Array,
  at: { name: string; version: number; sequence: number; floor?: number },
  key = own.key,
): Envelope {
  const { floor = 0, ...named } = at;
  const options = { ...named, issued: 1000, expires: null, deviceTypes: ['esp32', 'virtual'] };
  return signManifest({ ...manifestOf(content, options), floor }, key);
}

async function upload(data: Uint8Array | string): Promise<string> {
  const bytes = Buffer.from(data);
  const digest = digestOf(bytes);
  await own.client.blobs.put(digest, bytes);
  return digest;
}

const inspect = async (data: Uint8Array | string, described = {}): Promise<ModelFile> =>
  own.client.modelFiles.inspect(await upload(data), described);

describe('a signed bundle', () => {
  it('is shown with its signers, and published as the next version, once', async () => {
    const content = contentOf('signed');
    const next = await own.client.models.next('signed');
    const envelope = envelopeOf(content, { name: 'signed', ...next, floor: 1 });
    const file = packSigned(content, envelope);
    const digest = await upload(file);
    const found = await own.client.modelFiles.inspect(digest, { file: 'signed.aiot' });
    expect(found).toEqual({
      ...{ digest, bytes: file.length, form: 'signed-bundle', name: 'signed', kind: 'model', mode: 'int8' },
      classes: ['resting', 'walking'],
      release: {
        ...{ kind: 'model', name: 'signed', ...next, floor: 1, deviceTypes: ['esp32', 'virtual'] },
        ...{ issued: 1000, expires: null },
        artifacts: [{ name: 'model.aiot', digest: digestOf(content), bytes: content.length, blob: 'right' }],
        signers: [{ keyid: keyIdOf(publicKeyOf(own.key)), counts: true }],
      },
      signatures: { valid: 1, required: 1 },
      publish: { version: next.version, adds: 'version' },
      store: { version: 1 },
      ...{ existing: null, problem: null },
    });
    const card = await own.client.modelFiles.add(digest, { action: 'publish', file: 'signed.aiot' });
    expect(card).toMatchObject({ name: 'signed', version: 1, trusted: true, digest: digestOf(content) });
    expect(await own.client.modelFiles.add(digest, { action: 'publish' })).toEqual(card);
    expect(await own.client.modelFiles.inspect(digest)).toMatchObject({
      ...{ publish: null, store: null, existing: 1, problem: null },
    });
    expect(await (await own.client.blobs.get(card.digest)).bytes()).toEqual(Buffer.from(content));
    expect((await own.client.audit.list('signed@1'))[0]).toMatchObject({ action: 'model.push' });
  });

  it('is not published with the signature of an unknown key, but can wait for one of a known key', async () => {
    const content = contentOf('stranger');
    const next = await own.client.models.next('stranger');
    const digest = await upload(
      packSigned(content, envelopeOf(content, { name: 'stranger', ...next }, other)),
    );
    const found = await own.client.modelFiles.inspect(digest);
    expect(found.release?.signers).toEqual([{ keyid: keyIdOf(publicKeyOf(other)), counts: false }]);
    expect(found).toMatchObject({
      ...{ signatures: { valid: 0, required: 1 }, publish: null, store: { version: 1 } },
      problem: { code: 'AIOT_SIGNATURE_INVALID' },
    });
    expect(found.problem?.next).toContain('aiot trust status');
    await expect(own.client.modelFiles.add(digest, { action: 'publish' })).rejects.toMatchObject({
      code: 'AIOT_SIGNATURE_INVALID',
    });
    const card = await own.client.modelFiles.add(digest, { action: 'store', file: 'from-afar.aiot' });
    expect(card).toMatchObject({
      ...{ version: 1, trusted: false, digest: digestOf(content) },
      origin: { source: 'dashboard', file: 'from-afar.aiot' },
    });
    await expect(own.client.models.promote('stranger', 1, { to: 'staging' })).rejects.toMatchObject({
      code: 'AIOT_MODEL_UNTRUSTED',
      message: 'stranger@1 was uploaded on the dashboard and has not been signed',
    });
    const [entry] = await own.client.audit.list('stranger@1');
    expect(entry).toMatchObject({ action: 'model.upload', detail: { file: 'from-afar.aiot' } });
    expect(entry?.who).not.toBe('dashboard');
    const model = { name: 'stranger', version: 1 };
    expect(await signModel({ client: own.client, model, privatePem: own.key })).toMatchObject({
      trusted: true,
    });
  });

  it('is rejected if it was changed after signing, whoever signed it', async () => {
    const [content, changed] = [contentOf('changed'), contentOf('changed', 7)];
    const next = await own.client.models.next('changed');
    for (const key of [own.key, other]) {
      const file = packSigned(changed, envelopeOf(content, { name: 'changed', ...next }, key));
      await expect(inspect(file, { file: 'changed.aiot' })).rejects.toMatchObject({
        code: 'AIOT_BUNDLE_TAMPERED',
        message: expect.stringContaining('changed.aiot: '),
      });
      await expect(own.client.modelFiles.add(digestOf(file), { action: 'store' })).rejects.toMatchObject({
        code: 'AIOT_BUNDLE_TAMPERED',
      });
    }
    await expect(own.client.models.versions('changed')).rejects.toMatchObject({ code: 'AIOT_NOT_FOUND' });
  });

  it('is not published if it was signed for another version', async () => {
    const content = contentOf('late');
    const { sequence } = await own.client.models.next('late');
    const envelope = envelopeOf(content, { name: 'late', version: 4, sequence });
    const digest = await upload(packSigned(content, envelope));
    const found = await own.client.modelFiles.inspect(digest);
    expect(found).toMatchObject({
      ...{ publish: null, store: { version: 1 } },
      problem: {
        code: 'AIOT_VERSION_CONFLICT',
        message: `expected version 1 with sequence number ${sequence}, got version 4 with ${sequence}`,
      },
    });
    expect(found.problem?.next).toContain('aiot model sign late@1');
    await expect(own.client.modelFiles.add(digest, { action: 'publish' })).rejects.toMatchObject({
      code: 'AIOT_VERSION_CONFLICT',
    });
  });
});

describe('a signed file of a version that is here already', () => {
  it('adds its signatures to an unsigned version, and to a version signed before', async () => {
    const content = contentOf('later');
    await own.client.modelFiles.add(await upload(content), { action: 'store' });
    for (const floor of [0, 1]) {
      const { sequence } = await own.client.models.next('later');
      const envelope = envelopeOf(content, { name: 'later', version: 1, sequence, floor });
      const digest = await upload(packSigned(content, envelope));
      expect(await own.client.modelFiles.inspect(digest)).toMatchObject({
        ...{ publish: { version: 1, adds: 'signature' }, store: null, existing: null, problem: null },
      });
      expect(await own.client.modelFiles.add(digest, { action: 'publish' })).toMatchObject({
        ...{ version: 1, sequence, trusted: true },
      });
      expect(await own.client.modelFiles.inspect(digest)).toMatchObject({ publish: null, existing: 1 });
    }
    const next = await own.client.models.next('later');
    expect(await inspect(packSigned(content, envelopeOf(content, { name: 'later', ...next })))).toMatchObject(
      {
        ...{ publish: { version: 2, adds: 'version' }, store: null, existing: null },
      },
    );
    const late = envelopeOf(content, { name: 'later', version: 7, sequence: next.sequence });
    expect(await inspect(packSigned(content, late))).toMatchObject({
      ...{ publish: null, store: null, existing: 1 },
      problem: {
        code: 'AIOT_VERSION_CONFLICT',
        next: 'Sign the model again with `aiot model sign later@1`.',
      },
    });
  });

  it('is not offered for other content than was uploaded', async () => {
    const waiting = contentOf('swapped');
    await own.client.modelFiles.add(await upload(waiting), { action: 'store' });
    const content = contentOf('swapped', 5);
    const { sequence } = await own.client.models.next('swapped');
    const envelope = envelopeOf(content, { name: 'swapped', version: 1, sequence });
    const found = await inspect(packSigned(content, envelope));
    expect(found).toMatchObject({ publish: null, store: { version: 2 }, existing: null });
    expect(found.problem).toEqual({
      code: 'AIOT_DIGEST_MISMATCH',
      message: `swapped@1 has the digest ${digestOf(waiting)}, but the signed content has another one`,
      next: 'Store the model without these signatures, then sign it with `aiot model sign swapped@2`.',
    });
    const alone = await inspect(JSON.stringify(envelope));
    expect(alone.problem?.code).toBe('AIOT_NOT_FOUND');
    await upload(content);
    expect((await inspect(JSON.stringify(envelope))).problem).toMatchObject({
      ...{ code: 'AIOT_DIGEST_MISMATCH', next: expect.stringContaining('Store its .aiot file') },
    });
  });

  it('may be the bundle of a .tflite file that was stored', async () => {
    const bundle = networkBundle('wrapped', unpackBundle(tinyBundle('wrapped')).model, 'm.tflite');
    const network = await upload(unpackAny(bundle).model);
    await own.client.modelFiles.add(network, { action: 'store', name: 'wrapped' });
    const { sequence } = await own.client.models.next('wrapped');
    const digest = await upload(
      packSigned(bundle, envelopeOf(bundle, { name: 'wrapped', version: 1, sequence })),
    );
    expect(await own.client.modelFiles.inspect(digest)).toMatchObject({
      publish: { version: 1, adds: 'signature' },
    });
    expect(await own.client.modelFiles.add(digest, { action: 'publish' })).toMatchObject({ trusted: true });
  });
});

it('the reason why no signature counts is an unknown key, a key without the role, or an altered manifest', async () => {
  const content = contentOf('reasons');
  const envelope = envelopeOf(content, { name: 'reasons', version: 1, sequence: 1 });
  const altered = envelopeOf(content, { name: 'reasons', version: 1, sequence: 1, floor: 9 });
  const { signatures } = envelope;
  const [mine, idle] = [own.key, other].map(publicKeyOf).map(trustRootOf) as [TrustRoot, TrustRoot];
  const both = { ...mine, keys: { ...mine.keys, ...idle.keys } };
  const reason = async (trust: TrustRoot | null, of: Envelope) => {
    const { files, put } = alone(trust);
    return (await files.inspect(put(packSigned(content, of)), {})).problem?.message;
  };
  const name = (key: string) => `reasons@1 is signed with ${keyIdOf(publicKeyOf(key)).slice(0, 8)}`;
  expect([
    await reason(mine, envelopeOf(content, { name: 'reasons', version: 1, sequence: 1 }, other)),
    await reason(both, envelopeOf(content, { name: 'reasons', version: 1, sequence: 1 }, other)),
    await reason(both, { ...altered, signatures }),
    await reason(null, envelope),
  ]).toEqual([
    `${name(other)}, which the trust root does not contain`,
    `${name(other)}, which may not sign releases`,
    `${name(own.key)}, but the signature does not match: the manifest was altered after signing`,
    'the platform has no trust root yet',
  ]);
});

it('a platform without a trust root also rejects a signed bundle that was changed after signing', async () => {
  const { files, put } = alone(null);
  const [content, changed] = [contentOf('early'), contentOf('early', 7)];
  const digest = put(packSigned(changed, envelopeOf(content, { name: 'early', version: 1, sequence: 1 })));
  const rejected = { code: 'AIOT_BUNDLE_TAMPERED' };
  await expect(files.inspect(digest, {})).rejects.toMatchObject(rejected);
  await expect(files.store(digest, {}, 'me')).rejects.toMatchObject(rejected);
});

it('bundles larger than the limit are not read, and files are read one at a time', async () => {
  const { files, put, reads, blobs } = alone(null);
  const content = contentOf('huge');
  const manifest = put(JSON.stringify(envelopeOf(content, { name: 'huge', version: 1, sequence: 1 })));
  blobs.set(digestOf(content), { length: largestModelFile + 1 } as Buffer);
  await expect(files.inspect(manifest, { file: 'huge.json' })).rejects.toMatchObject({
    code: 'AIOT_REQUEST_TOO_LARGE',
    message: 'the bundle of huge.json has 67108865 bytes; expected at most 67108864',
  });
  expect(reads).toEqual({ digests: [manifest], most: 1 });
  const digests = [1, 2, 3].map((seed) => put(contentOf('many', seed)));
  await Promise.all(digests.map((digest) => files.inspect(digest, {})));
  expect(reads).toEqual({ digests: [manifest, ...digests], most: 1 });
});

/** Files of a platform without versions, whose blobs are in memory. */
function alone(trust: TrustRoot | null) {
  const blobs = new Map<string, Buffer>();
  const reads = { digests: [] as string[], most: 0 };
  let reading = 0;
  const store = {
    size: async (digest: string) => blobs.get(digest)?.length ?? null,
    async bytes(digest: string) {
      reads.digests.push(digest);
      reads.most = Math.max(reads.most, ++reading);
      await setImmediate();
      reading--;
      return blobs.get(digest);
    },
  };
  const models = {
    next: async () => ({ version: 1, sequence: 1 }),
    withContent: async () => null,
  };
  const files = new ModelFiles({
    blobs: store,
    models,
    trust: { get: async () => trust },
    now: () => 0,
  } as never);
  const put = (data: Uint8Array | string) => {
    const bytes = Buffer.from(data);
    blobs.set(digestOf(bytes), bytes);
    return digestOf(bytes);
  };
  return { files, put, reads, blobs };
}

describe('a manifest file', () => {
  it('publishes its bundle, which was uploaded before', async () => {
    const content = contentOf('pair');
    const next = await own.client.models.next('pair');
    const file = JSON.stringify(envelopeOf(content, { name: 'pair', ...next }));
    expect(await inspect(file, { file: 'pair.manifest.json' })).toMatchObject({
      ...{ form: 'manifest', name: 'pair', publish: null, store: null },
      release: { artifacts: [{ blob: 'missing' }] },
      problem: { code: 'AIOT_NOT_FOUND', next: 'Choose the .aiot file together with its manifest.' },
    });
    await upload(content);
    expect(await inspect(file)).toMatchObject({
      publish: { version: 1, adds: 'version' },
      ...{ problem: null, classes: ['resting', 'walking'], release: { artifacts: [{ blob: 'right' }] } },
    });
    await expect(own.client.modelFiles.add(digestOf(file), { action: 'store' })).rejects.toMatchObject({
      code: 'AIOT_REQUEST_INVALID',
    });
    expect(await own.client.modelFiles.add(digestOf(file), { action: 'publish' })).toMatchObject({
      ...{ name: 'pair', version: 1, trusted: true },
    });
  });

  it('signs a version that waits for a signature, and rejects another content', async () => {
    const content = contentOf('waiting');
    await own.client.modelFiles.add(await upload(content), { action: 'store' });
    const at = async () => ({ ...(await own.client.models.next('waiting')), name: 'waiting', version: 1 });
    const wrong = contentOf('waiting', 5);
    await upload(wrong);
    const strange = await upload(JSON.stringify(envelopeOf(wrong, await at())));
    await expect(own.client.modelFiles.add(strange, { action: 'publish' })).rejects.toMatchObject({
      code: 'AIOT_DIGEST_MISMATCH',
    });
    expect(await own.client.modelFiles.inspect(strange)).toMatchObject({ publish: null });
    const right = await upload(JSON.stringify(envelopeOf(content, await at())));
    expect(await own.client.modelFiles.inspect(right)).toMatchObject({
      publish: { version: 1, adds: 'signature' },
    });
    expect(await own.client.modelFiles.add(right, { action: 'publish' })).toMatchObject({
      ...{ version: 1, trusted: true, digest: digestOf(content) },
    });
  });

  it('of another content than its bundle is rejected', async () => {
    const content = contentOf('described');
    const next = await own.client.models.next('described');
    const made = manifestOf(contentOf('described', 3), {
      ...{ name: 'described', ...next, issued: 1, expires: null, deviceTypes: ['virtual'] },
    });
    const artifacts = [{ name: 'model.aiot', digest: await upload(content), bytes: content.length }];
    const file = JSON.stringify(signManifest({ ...made, artifacts }, own.key));
    await expect(inspect(file)).rejects.toMatchObject({ code: 'AIOT_BUNDLE_TAMPERED' });
  });

  it('of firmware, without a manifest, or with duplicate fields is rejected', async () => {
    const content = contentOf('odd');
    const next = await own.client.models.next('odd');
    const manifest = manifestOf(content, {
      ...{ name: 'odd', ...next, issued: 1, expires: null, deviceTypes: ['virtual'] },
    });
    const { model: _, files: __, ...others } = manifest;
    const firmware = JSON.stringify(signManifest({ ...others, kind: 'firmware' }, own.key));
    await expect(inspect(firmware, { file: 'a.json' })).rejects.toMatchObject({
      code: 'AIOT_REQUEST_INVALID',
      message: 'a.json is the manifest of the firmware odd, not of a model',
    });
    const envelope = signManifest(manifest, own.key);
    const twice = Buffer.from(envelope.payload, 'base64').toString().replace('{', '{"floor":9,');
    const payload = Buffer.from(twice).toString('base64');
    for (const text of ['{"a":1}', '{', JSON.stringify({ ...envelope, payload })])
      await expect(inspect(text)).rejects.toMatchObject({ code: 'AIOT_MANIFEST_MALFORMED' });
  });
});

describe('an unsigned file', () => {
  it('becomes a version that waits for a signature, once', async () => {
    const content = contentOf('plain');
    const digest = await upload(content);
    expect(await own.client.modelFiles.inspect(digest)).toMatchObject({
      ...{ form: 'bundle', name: 'plain', release: null, publish: null, store: { version: 1 } },
    });
    await expect(own.client.modelFiles.add(digest, { action: 'publish' })).rejects.toMatchObject({
      code: 'AIOT_SIGNATURE_INVALID',
    });
    const card = await own.client.modelFiles.add(digest, { action: 'store' });
    expect(await own.client.modelFiles.add(digest, { action: 'store' })).toEqual(card);
    expect(await own.client.modelFiles.inspect(digest)).toMatchObject({ existing: 1, store: null });
    const again = await upload(contentOf('plain', 2));
    const made = await Promise.all(
      [1, 2, 3].map(() => own.client.modelFiles.add(again, { action: 'store', file: 'again.aiot' })),
    );
    expect(made.map(({ version }) => version)).toEqual([2, 2, 2]);
    await expect(
      own.client.modelFiles.add(digest, { action: 'store', name: 'renamed' }),
    ).rejects.toMatchObject({ code: 'AIOT_REQUEST_INVALID' });
  });

  it('may be a .tflite file, which needs a name', async () => {
    const network = unpackBundle(tinyBundle('bare')).model;
    const digest = await upload(network);
    await expect(own.client.modelFiles.inspect(digest, { file: 'm.tflite' })).rejects.toMatchObject({
      code: 'AIOT_REQUEST_INVALID',
      message: 'm.tflite does not contain the name of its model',
      field: 'name',
    });
    const described = { file: 'm.tflite', name: 'bare' };
    expect(await own.client.modelFiles.inspect(digest, described)).toMatchObject({
      ...{ form: 'network', kind: 'network', name: 'bare', mode: 'int8', store: { version: 1 } },
    });
    await own.client.modelFiles.add(digest, { action: 'store', ...described });
    const model = { name: 'bare', version: 1 };
    await signModel({ client: own.client, model, privatePem: own.key });
    expect(await own.client.modelFiles.inspect(digest, described)).toMatchObject({ existing: 1 });
  });

  it('is rejected if it is no model, damaged, too large or missing', async () => {
    const damaged = Buffer.from(contentOf('damaged'));
    damaged[600] = (damaged[600] ?? 0) ^ 1;
    for (const data of [damaged, Buffer.from('PK and so on')])
      await expect(inspect(data)).rejects.toMatchObject({ code: 'AIOT_BUNDLE_MALFORMED' });
    const cut = unpackBundle(tinyBundle('cut')).model.slice(0, 64);
    await expect(inspect(cut, { name: 'cut' })).rejects.toMatchObject({ code: 'AIOT_TFLITE_MALFORMED' });
    const large = { blobs: { size: async () => largestModelFile + 1 } };
    await expect(new ModelFiles(large as never).inspect(digestOf('large'), {})).rejects.toMatchObject({
      code: 'AIOT_REQUEST_TOO_LARGE',
      message: 'the file has 67108865 bytes; expected at most 67108864',
    });
    await expect(own.client.modelFiles.inspect(digestOf('nothing'))).rejects.toMatchObject({
      code: 'AIOT_NOT_FOUND',
    });
  });

  it('is neither inspected nor stored by viewers', async () => {
    const digest = await upload(contentOf('mine'));
    const { token } = await own.client.tokens.create({ name: 'wall', role: 'viewer' });
    const viewer = createClient({ url: own.platform.urls.http, ca: own.ca, token });
    const refused = { code: 'AIOT_NOT_ALLOWED' };
    await expect(viewer.modelFiles.inspect(digest)).rejects.toMatchObject(refused);
    await expect(viewer.modelFiles.add(digest, { action: 'store' })).rejects.toMatchObject(refused);
    await viewer.close();
  });
});

it('files are inspected with the right to read models, and added with the right to push them', async () => {
  const card = await pushTiny(own.client, own.key);
  const { token } = await own.client.tokens.create({ name: 'reads', role: 'ci', scopes: ['models:read'] });
  const reader = createClient({ url: own.platform.urls.http, ca: own.ca, token });
  expect(await reader.modelFiles.inspect(card.digest)).toMatchObject({ existing: 1 });
  await expect(reader.modelFiles.add(card.digest, { action: 'store' })).rejects.toMatchObject({
    code: 'AIOT_NOT_ALLOWED',
  });
  await reader.close();
});

it('two signatures are required if the trust root requires them', async () => {
  const publicKeys = [own.key, other].map(publicKeyOf);
  const roots = publicKeys.map(trustRootOf);
  const keyids = publicKeys.map(keyIdOf);
  await own.client.trust.put({
    ...{ spec: 'aiot-trust/1', version: 2, roles: { release: { keyids, threshold: 2 } } },
    keys: Object.assign({}, ...roots.map(({ keys }) => keys)),
  });
  const content = contentOf('both');
  await upload(content);
  const envelope = envelopeOf(content, { name: 'both', ...(await own.client.models.next('both')) });
  const half = await inspect(JSON.stringify(envelope), { file: 'both.json' });
  expect(half).toMatchObject({ signatures: { valid: 1, required: 2 }, publish: null });
  expect(half.problem).toEqual({
    code: 'AIOT_SIGNATURES_MISSING',
    message: 'both@1 has 1 of 2 signatures',
    next: 'Send both.json to another signer, who runs `aiot trust sign FILE`.',
  });
  const inOneFile = await inspect(packSigned(content, envelope));
  expect(inOneFile).toMatchObject({ store: { version: 1 }, problem: { code: 'AIOT_SIGNATURES_MISSING' } });
  const whole = await upload(JSON.stringify(cosign(envelope, other)));
  expect(await own.client.modelFiles.add(whole, { action: 'publish' })).toMatchObject({ trusted: true });
});
