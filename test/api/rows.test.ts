import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { writeContexts } from '../../src/lib/core/contexts.js';
import { unpackBundle } from '../../src/lib/model/bundle/pack.js';
import type { PushResult } from '../../src/lib/model/publish/push.js';
import { columns, tableRows } from '../support/any-bundle.js';
import { runCli } from '../support/cli.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';

let own: TestPlatform;
const before = process.env.AIOT_CONFIG_DIR;

beforeAll(async () => {
  own = await testPlatform();
  process.env.AIOT_CONFIG_DIR = join(own.folder, 'config');
  await mkdir(join(own.folder, 'config', 'keys'), { recursive: true });
  await writeFile(join(own.folder, 'config', 'keys', 'here.pem'), own.key);
  const { url } = own.client;
  await writeContexts({
    current: 'here',
    contexts: { here: { url, ca: own.platform.ca, token: own.token } },
  });
});
afterAll(async () => {
  if (before === undefined) delete process.env.AIOT_CONFIG_DIR;
  else process.env.AIOT_CONFIG_DIR = before;
  await own.stop();
});

/** A project whose labels are a function of the inputs that the model can learn. */
async function rowsProject(
  name: string,
  model: string,
  value: boolean,
): Promise<{ dir: string; data: string }> {
  const dir = join(own.folder, name);
  await mkdir(dir);
  await writeFile(join(dir, 'aiot.yaml'), `name: ${name}\nmodel:\n${model}\n`);
  const data = join(dir, 'rows.csv');
  const rows = tableRows(400, 3).map((row) =>
    [...row, value ? row[2]! * 2 + row[0]! : Number(row[2]! > 2)].join(','),
  );
  await writeFile(data, `${[...columns, 'label'].join(',')}\n${rows.join('\n')}\n`);
  return { dir, data };
}

const kinds = {
  classes: '  kind: mlp',
  probability: '  kind: mlp\n  output: probability',
  value: '  kind: mlp\n  output: value',
  reconstruction: '  kind: autoencoder\n  labels: { normal: ["0"], anomaly: ["1"] }',
};

it.each([
  ['classes', 'int8', 'int8'],
  ['classes', 'int16x8', 'int16'],
  ['classes', 'float32', 'float32'],
  ['probability', 'int8', 'int8'],
  ['probability', 'int16x8', 'int16'],
  ['value', 'int8', 'int8'],
  ['value', 'float32', 'float32'],
  ['reconstruction', 'int8', 'int8'],
] as const)(
  'a table model trained for %s and quantized as %s is pushed with its golden vectors, lineage and metrics',
  async (kind, mode, type) => {
    const name = `rows-${kind}-${mode}`;
    const { dir, data } = await rowsProject(name, `${kinds[kind]}\n  quantize: ${mode}`, kind === 'value');
    const steps = [
      ['model', 'train', '--project', dir, '--data', data, '--epochs', '4'],
      ['model', 'quantize', '--project', dir, '--data', data],
      ['model', 'evaluate', '--project', dir],
    ];
    for (const step of steps) {
      const { code, stdout } = await runCli([...step, '--json']);
      expect(code, `${step.join(' ')}\n${stdout}`).toBe(0);
    }
    const { code, json, stdout } = await runCli(['model', 'push', name, '--project', dir, '--json']);
    expect(code, stdout).toBe(0);
    const { version, digest } = json as PushResult;
    const { info, golden, lineage } = unpackBundle(await (await own.client.blobs.get(digest)).bytes());
    expect(info).toMatchObject({
      name,
      answer: { kind },
      quantization: { mode },
      input: { type },
      signal: { fields: columns, windowSamples: 1, features: 'raw' },
    });
    expect(golden.length).toBe(6);
    for (const { samples, output, answer } of golden) {
      expect(samples).toHaveLength(1);
      expect(output).toHaveLength({ classes: 2, probability: 1, value: 1, reconstruction: 4 }[kind]);
      expect(answer.label === null).toBe(kind === 'value');
    }
    expect(lineage).toMatchObject({ dataset: { source: 'table', name: 'rows' }, recordings: null });
    const card = await own.client.models.get(name, version);
    expect(card.metrics?.int8.windows).toBeGreaterThan(50);
    const verified = await runCli(['model', 'verify', `${name}@${version}`, '--json']);
    expect(verified.json).toMatchObject({ golden: { vectors: 6, passed: 6 } });
  },
);

it('tampered metrics are not signed', async () => {
  const { readFile } = await import('node:fs/promises');
  const file = join(own.folder, 'rows-value-int8', 'build', 'evaluation.json');
  const evaluation = JSON.parse(await readFile(file, 'utf8'));
  evaluation.int8.mae /= 2;
  await writeFile(file, JSON.stringify(evaluation));
  const { json, code } = await runCli([
    'model',
    'push',
    '--project',
    join(own.folder, 'rows-value-int8'),
    '--json',
  ]);
  expect([(json as { error: { code: string } }).error.code, code]).toEqual(['AIOT_MODEL_STALE', 6]);
});
