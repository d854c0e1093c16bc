import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pino from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeContexts } from '../../src/lib/core/contexts.js';
import { digestOf } from '../../src/lib/core/crypto.js';
import { packBundle, unpackBundle } from '../../src/lib/model/bundle/pack.js';
import { fetchModel } from '../../src/lib/model/publish/pull.js';
import { signModel, signResultSchema } from '../../src/lib/model/publish/push.js';
import { Lifecycle } from '../../src/lib/platform/lifecycle.js';
import type { Upload } from '../../src/lib/platform/releases/models.js';
import { openState } from '../../src/lib/platform/state.js';
import { pushTiny, tinyBundle } from '../support/bundle.js';
import { runCli } from '../support/cli.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { oneWave } from '../support/rollout.js';

let own: TestPlatform;
const network = Buffer.from(unpackBundle(tinyBundle('guide')).model);

beforeAll(async () => {
  own = await testPlatform();
});
afterAll(() => own.stop());

/** While the platform is stopped, stores uploads like the services without signatures. */
async function upload(...contents: { name: string; file?: string; content: Uint8Array }[]): Promise<void> {
  await own.platform.stop();
  const parts = new Lifecycle();
  const options = { dataDir: join(own.folder, 'data'), now: Date.now, log: pino({ enabled: false }) };
  const state = await openState(options, parts);
  for (const { content, ...named } of contents) {
    const digest = digestOf(content);
    await state.blobs.put(
      digest,
      (async function* () {
        yield content;
      })(),
    );
    const given: Upload = { ...named, digest, bytes: content.length, source: 'architects-guide', at: 1234 };
    await state.models.addUntrusted(given);
  }
  await parts.end();
  await own.restart();
}

describe('an unsigned version', () => {
  it('can be listed and downloaded, but not promoted, fetched as trusted or rolled out', async () => {
    await upload({ name: 'guide', file: '2026-11-21-01:02:03-model.tflite', content: network });
    const card = await own.client.models.get('guide', 1);
    expect(card).toMatchObject({
      trusted: false,
      sequence: 0,
      stage: 'dev',
      kind: 'upload',
      pushed: 1234,
      origin: {
        source: 'architects-guide',
        file: '2026-11-21-01:02:03-model.tflite',
        digest: digestOf(network),
        bytes: network.length,
      },
    });
    expect(await (await own.client.blobs.get(card.digest)).bytes()).toEqual(network);
    const refused = {
      code: 'AIOT_MODEL_UNTRUSTED',
      exit: 5,
      next: 'Inspect the version, then sign it with `aiot model sign guide@1`.',
    };
    const { promote } = own.client.models;
    await expect(promote('guide', 1, { to: 'staging', reason: 'because' })).rejects.toMatchObject(refused);
    const other = await pushTiny(own.client, own.key, { name: 'other' });
    for (const sequence of [1, other.sequence]) {
      const rollout = oneWave({ name: 'guide', version: 1, sequence });
      await expect(own.client.rollouts.start(rollout)).rejects.toMatchObject(refused);
    }
    await expect(fetchModel(own.client, card, null)).rejects.toMatchObject(refused);
  });

  it('becomes a bundle around the same model when it is signed, once, and can then be promoted', async () => {
    const sign = () =>
      signModel({ client: own.client, model: { name: 'guide', version: 1 }, privatePem: own.key });
    const signed = await sign();
    expect(signed).toMatchObject({
      trusted: true,
      kind: 'network',
      unchanged: false,
      origin: { digest: digestOf(network) },
    });
    expect(await sign()).toMatchObject({ digest: signed.digest, unchanged: true });
    const fetched = await fetchModel(own.client, signed, null);
    const inside = fetched.members.find(({ name }) => name === 'model.tflite');
    expect(digestOf(inside?.data ?? '')).toBe(digestOf(network));
    const reason = 'known from the guide';
    expect(await own.client.models.promote('guide', 1, { to: 'staging', reason })).toMatchObject({
      stage: 'staging',
    });
    const [, entry] = await own.client.audit.list('guide@1');
    expect(entry).toMatchObject({ action: 'model.sign', detail: { digest: signed.digest } });
  });

  it('is not signed if the content served differs from the upload', async () => {
    await upload({ name: 'guide', file: 'second.tflite', content: network });
    const other = Buffer.from(unpackBundle(tinyBundle('other', 9)).model);
    const client = {
      ...own.client,
      blobs: { ...own.client.blobs, get: async () => ({ bytes: async () => other }) as never },
    };
    await expect(
      signModel({ client, model: { name: 'guide', version: 2 }, privatePem: own.key }),
    ).rejects.toMatchObject({ code: 'AIOT_DIGEST_MISMATCH' });
    expect(await own.client.models.get('guide', 2)).toMatchObject({ trusted: false });
  });

  it('is signed unchanged if it is a bundle, and rejected if it is neither a bundle nor a model', async () => {
    const bundle = packBundle(unpackBundle(tinyBundle('whole', 3)));
    await upload(
      { name: 'whole', content: bundle },
      { name: 'zip', file: '2026-11-21-01:02:03-model.zip', content: Buffer.from('PK and so on') },
    );
    const sign = (name: string) =>
      signModel({ client: own.client, model: { name, version: 1 }, privatePem: own.key });
    expect(await sign('whole')).toMatchObject({ digest: digestOf(bundle), kind: 'model', trusted: true });
    await expect(sign('zip')).rejects.toMatchObject({
      code: 'AIOT_MODEL_UNFIT',
      message: '2026-11-21-01:02:03-model.zip is neither a .tflite model nor a .aiot bundle',
    });
  });

  it('is removed together with both of its blobs', async () => {
    await own.client.models.remove('guide', 2);
    const { digest } = await own.client.models.get('guide', 1);
    await own.client.models.promote('guide', 1, { to: 'dev' });
    expect(await own.client.models.remove('guide', 1)).toMatchObject({ blobRemoved: true });
    for (const gone of [digest, digestOf(network)]) {
      await expect(own.client.blobs.get(gone)).rejects.toMatchObject({ code: 'AIOT_NOT_FOUND' });
    }
  });
});

describe('aiot model sign', () => {
  it('signs with the operator’s key, once, and requires a version', async () => {
    const before = { ...process.env };
    process.env.AIOT_CONFIG_DIR = join(own.folder, 'config');
    await mkdir(join(process.env.AIOT_CONFIG_DIR, 'keys'), { recursive: true });
    await upload({ name: 'command', file: 'a.tflite', content: network });
    await writeFile(join(process.env.AIOT_CONFIG_DIR, 'keys', 'here.pem'), own.key);
    const context = { url: own.platform.urls.http, ca: own.platform.ca, token: own.token };
    await writeContexts({ current: 'here', contexts: { here: context } });
    const deploy = await runCli(['model', 'deploy', 'command@1', '--selector', 'all', '--json']);
    expect([deploy.code, (deploy.json as { error: { code: string } }).error.code]).toEqual([
      5,
      'AIOT_MODEL_UNTRUSTED',
    ]);
    const { code, stdout } = await runCli(['model', 'sign', 'command@1', '--no-color']);
    expect(code).toBe(0);
    expect(stdout).toContain('command@1 is signed.');
    const { json } = await runCli(['model', 'sign', 'command@1', '--json']);
    expect(signResultSchema.parse(json)).toMatchObject({ unchanged: true, trusted: true });
    expect((await runCli(['model', 'verify', 'command@1', '--json'])).code).toBe(0);
    expect((await runCli(['model', 'sign', 'command', '--json'])).code).toBe(2);
    process.env = before;
  });
});
