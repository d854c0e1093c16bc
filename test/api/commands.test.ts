import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ZodType } from 'zod';
import { listSchemas, modelVersionSchema, removedModelSchema } from '../../src/lib/api/api.js';
import { shownModelSchema } from '../../src/lib/api/show.js';
import { writeContexts } from '../../src/lib/core/contexts.js';
import { digestOf } from '../../src/lib/core/crypto.js';
import { unpackAny } from '../../src/lib/model/bundle/pack.js';
import { comparisonSchema } from '../../src/lib/model/inspect/comparison.js';
import { type FetchClient, fetchModel, pullResultSchema } from '../../src/lib/model/publish/pull.js';
import { pushResultSchema } from '../../src/lib/model/publish/push.js';
import { verifyResultSchema } from '../../src/lib/model/publish/verify.js';
import { whySchema } from '../../src/lib/model/publish/why.js';
import { tinyBundle } from '../support/bundle.js';
import { runCli } from '../support/cli.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { oneWave } from '../support/rollout.js';

let own: TestPlatform;
let bundle: string;
let network: string;
const before = process.env.AIOT_CONFIG_DIR;

beforeAll(async () => {
  own = await testPlatform();
  const config = join(own.folder, 'config');
  process.env.AIOT_CONFIG_DIR = config;
  await mkdir(join(config, 'keys'), { recursive: true });
  await writeFile(join(config, 'keys', 'here.pem'), own.key);
  const { url } = own.client;
  await writeContexts({
    current: 'here',
    contexts: { here: { url, ca: own.platform.ca, token: own.token } },
  });
  bundle = join(own.folder, 'tiny.aiot');
  network = join(own.folder, 'bare.tflite');
  await writeFile(bundle, tinyBundle());
  await writeFile(network, unpackAny(tinyBundle()).model);
});
afterAll(async () => {
  if (before === undefined) delete process.env.AIOT_CONFIG_DIR;
  else process.env.AIOT_CONFIG_DIR = before;
  await own.stop();
});

async function ok<T>(schema: ZodType<T>, argv: string[]): Promise<T> {
  const { code, json, stdout, stderr } = await runCli([...argv, '--json']);
  expect(code, stdout + stderr).toBe(0);
  return schema.parse(json);
}

async function refused(argv: string[], code: string, exit: number): Promise<string> {
  const answer = await runCli([...argv, '--json']);
  const { error } = answer.json as { error: { code: string; message: string } };
  expect([error.code, answer.code], error.message).toEqual([code, exit]);
  return error.message;
}

/** The same bytes, with one bit flipped in the last occurrence of `text`. */
function altered(good: Buffer, text: string): Buffer {
  const bad = Buffer.from(good);
  const at = bad.lastIndexOf(text);
  bad[at] = bad[at]! ^ 1;
  return bad;
}

const blobs = async () => {
  const files = await readdir(join(own.folder, 'data', 'blobs', 'sha256'), { recursive: true });
  return files.filter((name) => /[0-9a-f]{64}$/.test(name));
};

describe('aiot model push FILE', () => {
  it('pushes a bundle unchanged, with a new signature', async () => {
    const pushed = await ok(pushResultSchema, ['model', 'push', bundle]);
    expect(pushed).toMatchObject({ name: 'tiny', version: 1, digest: digestOf(tinyBundle()), sameAs: null });
  });

  it('stores content shared by several versions only once', async () => {
    const pushed = await ok(pushResultSchema, ['model', 'push', bundle]);
    expect(pushed).toMatchObject({ version: 2, digest: digestOf(tinyBundle()), sameAs: 1 });
    expect(await blobs()).toHaveLength(1);
    const { stdout } = await runCli(['model', 'push', bundle]);
    expect(stdout).toContain('identical to tiny@2 and stored once');
  });

  it('accepts a different name, which changes the bundle’s content', async () => {
    const pushed = await ok(pushResultSchema, ['model', 'push', bundle, '--name', 'other']);
    expect(pushed).toMatchObject({ name: 'other', version: 1, sameAs: null });
    expect(await blobs()).toHaveLength(2);
  });

  it('names a bare model after the project of its build folder, or else after its file', async () => {
    const build = join(own.folder, 'build');
    await mkdir(build, { recursive: true });
    const file = join(build, 'model.int8.tflite');
    await writeFile(file, await readFile(network));
    const training = join(build, 'training.json');
    await writeFile(training, JSON.stringify({ spec: 'aiot-training/2', model: 'pump-watch' }));
    expect(await ok(pushResultSchema, ['model', 'push', file])).toMatchObject({ name: 'pump-watch' });
    await writeFile(training, 'something else');
    expect(await ok(pushResultSchema, ['model', 'push', file])).toMatchObject({ name: 'model.int8' });
    for (const model of ['pump-watch@1', 'model.int8@1'])
      await ok(removedModelSchema, ['model', 'remove', '--yes', model]);
  });

  it('warns that a bare model was not evaluated', async () => {
    const { stderr, code } = await runCli(['model', 'push', network, '--name', 'warned']);
    expect([code, stderr]).toEqual([0, expect.stringContaining('is a model without an evaluation')]);
    expect((await runCli(['model', 'push', bundle, '--name', 'warned'])).stderr).toBe('');
    for (const model of ['warned@1', 'warned@2'])
      await ok(removedModelSchema, ['model', 'remove', '--yes', model]);
  });

  it('stores versions that aiot model compare can compare', async () => {
    const compared = await ok(comparisonSchema, ['model', 'compare', 'tiny@1', 'tiny@latest']);
    expect(compared).toMatchObject({ a: { file: 'tiny@1' }, b: { file: 'tiny@latest' } });
    expect(compared.a.digest).not.toBe('');
    await refused(['model', 'compare', 'tiny@1', 'tiny@99'], 'AIOT_NOT_FOUND', 4);
    const { stdout } = await runCli(['model', 'compare', 'tiny@1', 'tiny@2']);
    expect(stdout).toContain('aiot model lineage tiny@2');
  });

  it('stores a bare model, which can be verified but not deployed', async () => {
    const pushed = await ok(pushResultSchema, ['model', 'push', network]);
    expect(pushed).toMatchObject({ name: 'bare', version: 1, kind: 'network' });
    expect(await ok(verifyResultSchema, ['model', 'verify', 'bare@1'])).toMatchObject({
      kind: 'network',
      mode: 'int8',
      golden: null,
    });
    expect(await refused(['model', 'deploy', 'bare@1', '--selector', 'all'], 'AIOT_MODEL_UNFIT', 2)).toBe(
      'bare@1 contains only a model without a project, so its inputs are unknown and no device can run it',
    );
    const { version, sequence } = { version: 1, sequence: pushed.sequence };
    await expect(
      own.client.rollouts.start(oneWave({ name: 'bare', version, sequence })),
    ).rejects.toMatchObject({ code: 'AIOT_MODEL_UNFIT' });
    const { unknown } = await ok(whySchema, ['model', 'lineage', 'bare@1']);
    expect(unknown).toEqual([
      'the float model',
      'the training',
      'the evaluation',
      'the dataset',
      'the recordings',
    ]);
    expect((await runCli(['model', 'lineage', 'bare@1'])).stdout).toContain('training  unknown');
    expect((await runCli(['model', 'show', 'bare'])).stdout).toContain('not evaluated');
  });

  it.each([
    ['nowhere.aiot', 'AIOT_FILE_NOT_FOUND', 4],
    ['nowhere.tflite', 'AIOT_FILE_NOT_FOUND', 4],
    ['text.aiot', 'AIOT_BUNDLE_MALFORMED', 2],
    ['text.tflite', 'AIOT_TFLITE_MALFORMED', 2],
    ['a b.tflite', 'AIOT_USAGE', 2],
  ])('rejects %s, and stores nothing', async (name, code, exit) => {
    const stored = await blobs();
    const file = join(own.folder, name);
    if (name.startsWith('text')) await writeFile(file, 'no model at all'.repeat(100));
    if (name.startsWith('a b')) await writeFile(file, await readFile(network));
    await refused(['model', 'push', file], code, exit);
    expect(await blobs()).toEqual(stored);
  });
});

describe('aiot model pull', () => {
  it('unpacks the signed bundle into a folder, and writes nothing if it is already there', async () => {
    const out = join(own.folder, 'tiny-2');
    const pulled = await ok(pullResultSchema, ['model', 'pull', 'tiny@2', '--out', out]);
    expect(pulled).toMatchObject({
      name: 'tiny',
      version: 2,
      digest: digestOf(tinyBundle()),
      unchanged: false,
    });
    expect((await readdir(out)).sort()).toEqual([...pulled.files].sort());
    expect(await readFile(join(out, 'model.tflite'))).toEqual(Buffer.from(unpackAny(tinyBundle()).model));
    expect(await ok(pullResultSchema, ['model', 'pull', 'tiny@2', '--out', out])).toMatchObject({
      unchanged: true,
    });
    await refused(['model', 'pull', 'tiny@1', '--out', out], 'AIOT_FOLDER_NOT_EMPTY', 2);
    expect(await ok(verifyResultSchema, ['model', 'verify', join(out, 'tiny-2.aiot')])).toMatchObject({
      version: 2,
    });
    expect(await ok(verifyResultSchema, ['model', 'verify', out])).toMatchObject({ version: 2 });
    expect((await readdir(own.folder)).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it.each([
    [['tiny@99', '--out', 'x'], 'AIOT_NOT_FOUND', 4],
    [['nobody', '--out', 'x'], 'AIOT_NOT_FOUND', 4],
    [['tiny', '--out', 'x'], 'AIOT_USAGE', 2],
    [['tiny@1'], 'AIOT_USAGE', 2],
    [['tiny@1', '--out', '.'], 'AIOT_FOLDER_NOT_EMPTY', 2],
    [['tiny@1', '--out', 'bare.tflite'], 'AIOT_FILE_NOT_WRITABLE', 1],
  ])('rejects %j, and writes nothing', async (argv, code, exit) => {
    const places = argv.map((arg, i) => (argv[i - 1] === '--out' ? join(own.folder, arg) : arg));
    await refused(['model', 'pull', ...places], code, exit);
    await expect(stat(join(own.folder, 'x'))).rejects.toThrow();
  });

  it('rejects a blob altered on the platform’s disk, and writes nothing', async () => {
    const hex = digestOf(tinyBundle()).slice('sha256:'.length);
    const path = join(own.folder, 'data', 'blobs', 'sha256', hex.slice(0, 2), hex);
    const good = await readFile(path);
    const out = join(own.folder, 'x');
    try {
      await writeFile(path, altered(good, 'wrist-1'));
      await refused(['model', 'pull', 'tiny@1', '--out', out], 'AIOT_BLOB_DAMAGED', 1);
    } finally {
      await writeFile(path, good);
    }
    await expect(stat(out)).rejects.toThrow();
  });

  it.each([
    ['"arenaBytes"', 'bundle.json'],
    ['"recording":"c"', 'golden.json'],
    ['wrist-1', 'lineage.json'],
    ['  bundle.json', 'SHA256SUMS'],
  ])('rejects a bundle in which the server has changed %j, and names the file', async (text, name) => {
    const { manifests, models, trust, blobs } = own.client;
    const get = async (digest: string) => {
      const { body, ...rest } = await blobs.get(digest);
      const chunks: Uint8Array[] = [];
      for await (const chunk of body) chunks.push(chunk);
      return { ...rest, body: Readable.from([altered(Buffer.concat(chunks), text)]) };
    };
    const client = { manifests, models, trust, blobs: { get } } as unknown as FetchClient;
    await expect(fetchModel(client, { name: 'tiny', version: 1 }, null)).rejects.toMatchObject({
      code: 'AIOT_BUNDLE_TAMPERED',
      message: expect.stringContaining(`tiny@1: ${name}`),
    });
  });
});

describe('aiot model verify', () => {
  it('works offline with a public key or a trust root, and rejects another key', async () => {
    const out = join(own.folder, 'offline');
    await ok(pullResultSchema, ['model', 'pull', 'tiny@1', '--out', out]);
    const file = join(out, 'tiny-1.aiot');
    const key = join(own.folder, 'operator.pem');
    await writeFile(key, own.key);
    const trust = join(own.folder, 'trust.json');
    await writeFile(trust, JSON.stringify(await own.client.trust.get()));
    const config = process.env.AIOT_CONFIG_DIR;
    process.env.AIOT_CONFIG_DIR = join(own.folder, 'nobody');
    try {
      await ok(verifyResultSchema, ['model', 'verify', file, '--public-key', key]);
      await ok(verifyResultSchema, ['model', 'verify', file, '--trust', trust]);
      await refused(['model', 'verify', file], 'AIOT_CONTEXT_NOT_FOUND', 4);
    } finally {
      process.env.AIOT_CONFIG_DIR = config;
    }
    await refused(['model', 'verify', file, '--public-key', file], 'AIOT_FILE_MALFORMED', 2);
    await refused(['model', 'verify', file, '--trust', key], 'AIOT_FILE_MALFORMED', 2);
    await refused(['model', 'verify', bundle, '--public-key', key], 'AIOT_SIGNATURE_INVALID', 5);
    await refused(['model', 'verify', join(own.folder, 'nowhere.aiot')], 'AIOT_FILE_NOT_FOUND', 4);
    const table = join(own.folder, 'rows.csv');
    await writeFile(table, 'a,b,label\n1,2,x\n');
    for (const [verb, wanted] of [
      ['verify', 'a signed .aiot file'],
      ['inspect', 'a .aiot or .tflite file'],
      ['push', 'a .aiot or .tflite file'],
    ]) {
      const argv = ['model', verb!, table, ...(verb === 'verify' ? ['--public-key', key] : [])];
      expect(await refused(argv, 'AIOT_BUNDLE_MALFORMED', 2)).toContain(`expected ${wanted}, got something`);
    }
    const { generateKeyPair } = await import('../../src/lib/core/crypto.js');
    await writeFile(key, generateKeyPair().publicPem);
    await refused(['model', 'verify', file, '--public-key', key], 'AIOT_SIGNATURE_INVALID', 5);
  });
});

describe('aiot model lineage', () => {
  it('lists exactly the devices that made the recordings', async () => {
    const why = await ok(whySchema, ['model', 'lineage', 'tiny@1']);
    expect(why.devices).toEqual([
      { name: 'wrist-1', recordings: ['a', 'b'], state: null },
      { name: null, recordings: ['c'], state: null },
    ]);
    expect(why.unknown).toEqual(['the device of 1 of 3 recordings']);
    expect(why.dataset).toMatchObject({ name: 'imu', digest: digestOf('data 0') });
    const { stdout } = await runCli(['model', 'lineage', 'tiny@1']);
    expect(stdout).toContain('2 recordings by wrist-1: a, b');
    expect(stdout).toContain('1 recording by an unknown device: c');
    await refused(['model', 'lineage', 'tiny@99'], 'AIOT_NOT_FOUND', 4);
  });
});

describe('a model version', () => {
  const stagesOf = async () =>
    (await own.client.models.versions('tiny')).map(({ version, stage }) => `${version} ${stage}`);

  it('is promoted one stage at a time through its gates, and its history records the author and the reason', async () => {
    const promote = (model: string, ...flags: string[]) =>
      ok(modelVersionSchema, ['model', 'promote', model, ...flags]);
    await refused(['model', 'promote', 'tiny@1', '--to', 'production'], 'AIOT_REQUEST_INVALID', 2);
    expect(await promote('tiny@1', '--to', 'staging')).toMatchObject({ stage: 'staging' });
    await refused(['model', 'promote', 'tiny@1', '--to', 'production'], 'AIOT_GATE_FAILED', 6);
    await promote('tiny@staging', '--to', 'production', '--reason', 'seen on the bench');
    await refused(['model', 'promote', 'bare@1', '--to', 'staging'], 'AIOT_GATE_FAILED', 6);
    await promote('tiny@2', '--to', 'staging');
    await promote('tiny@2', '--to', 'production', '--reason', 'better');
    expect(await stagesOf()).toEqual(['3 dev', '2 production', '1 staging']);
    const { history } = await ok(shownModelSchema, ['model', 'show', 'tiny@1']);
    expect(history.map(({ action, detail }) => [action, detail.to, detail.reason])).toEqual([
      ['model.demote', 'staging', undefined],
      ['model.promote', 'production', 'seen on the bench'],
      ['model.promote', 'staging', undefined],
      ['model.push', undefined, undefined],
    ]);
    for (const { who, at } of history) {
      expect(who).toMatch(/^operator [0-9a-f]{12}$/);
      expect(Math.abs(Date.now() - at)).toBeLessThan(60_000);
    }
    expect((await own.client.audit.list('tiny')).length).toBeGreaterThan(history.length);
    expect((await runCli(['model', 'show', 'tiny@1'])).stdout).toContain('seen on the bench');
    await promote('tiny@production', '--to', 'dev');
    expect(await stagesOf()).toEqual(['3 dev', '2 dev', '1 staging']);
    await promote('tiny@1', '--to', 'production', '--reason', 'back again');
  });

  it('can be removed only while it is unused; its content is removed with the last version that shares it', async () => {
    const digest = digestOf(tinyBundle());
    expect(await refused(['model', 'remove', '--yes', 'tiny@1'], 'AIOT_MODEL_IN_USE', 6)).toContain(
      'it is in production',
    );
    const remove = (model: string) => ok(removedModelSchema, ['model', 'remove', '--yes', model]);
    expect(await remove('tiny@3')).toEqual({ name: 'tiny', version: 3, digest, blobRemoved: false });
    expect(await remove('tiny@2')).toMatchObject({ blobRemoved: false });
    await ok(modelVersionSchema, ['model', 'promote', 'tiny@1', '--to', 'dev']);
    const { sequence } = await own.client.models.get('tiny', 1);
    expect(await remove('tiny@1')).toMatchObject({ blobRemoved: true });
    await expect(own.client.blobs.get(digest)).rejects.toMatchObject({ code: 'AIOT_NOT_FOUND' });
    await expect(own.client.manifests.get(sequence)).rejects.toMatchObject({ code: 'AIOT_NOT_FOUND' });
    await refused(['model', 'remove', '--yes', 'tiny@1'], 'AIOT_NOT_FOUND', 4);
    await refused(['model', 'remove', '--yes', 'tiny'], 'AIOT_USAGE', 2);
    await refused(['model', 'show', 'tiny@1'], 'AIOT_NOT_FOUND', 4);
    const list = await ok(listSchemas.models.shape.models, ['model', 'list']);
    expect(list.map(({ name }) => name)).toEqual(['bare', 'other']);
    // Version numbers and sequences are never reused.
    const again = await ok(pushResultSchema, ['model', 'push', bundle]);
    expect(again).toMatchObject({ version: 4, sameAs: null });
    expect(again.sequence).toBeGreaterThan(sequence);
    expect(await ok(verifyResultSchema, ['model', 'verify', 'tiny'])).toMatchObject({ version: 4 });
  });
});
