import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import type { Tensor } from '@tensorflow/tfjs-core';
import type { Sequential } from '@tensorflow/tfjs-layers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { readZip } from '../../src/lib/formats/zip.js';
import { readSource } from '../../src/lib/model/import/open.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { architectures } from '../support/architectures.js';
import { runCli } from '../support/cli.js';

const folder = mkdtempSync(join(tmpdir(), 'aiot-import-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Tf = typeof import('@tensorflow/tfjs-core');
type Layers = typeof import('@tensorflow/tfjs-layers');
let [tf, layers]: [Tf, Layers] = [undefined as never, undefined as never];
beforeAll(async () => {
  const { loadTfjs } = await import('../../src/lib/model/engine/tfjs/load.js');
  ({ tf } = await loadTfjs('cpu'));
  layers = await import('@tensorflow/tfjs-layers');
});

interface TopologyJson {
  modelTopology: { config: { layers: { class_name: string; config: object }[] } };
}
const settingsOf = (json: TopologyJson, layer: number) => json.modelTopology.config.layers[layer]!.config;

/** Saves a model in the layout of TensorFlow.js, in two shards, so that weights cross their boundary. */
async function save(model: Sequential, name: string): Promise<string> {
  const at = join(folder, name);
  mkdirSync(at, { recursive: true });
  await model.save(
    tf.io.withSaveHandler(async ({ modelTopology, weightSpecs, weightData }) => {
      const bytes = Buffer.from(weightData as ArrayBuffer);
      const cut = Math.floor(bytes.length / 2) - 1;
      writeFileSync(join(at, 'a.bin'), bytes.subarray(0, cut));
      writeFileSync(join(at, 'b.bin'), bytes.subarray(cut));
      const weightsManifest = [{ paths: ['a.bin', 'b.bin'], weights: weightSpecs }];
      const json = {
        format: 'layers-model',
        generatedBy: 'TensorFlow.js tfjs-layers',
        modelTopology,
        weightsManifest,
      };
      writeFileSync(join(at, 'model.json'), JSON.stringify(json));
      return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' } };
    }),
  );
  return at;
}

function gestures(): Sequential {
  const { layers: l } = layers;
  return layers.sequential({
    layers: [
      l.conv1d({ filters: 4, kernelSize: 3, padding: 'same', inputShape: [16, 3] }),
      l.batchNormalization(),
      l.reLU(),
      l.maxPooling1d({ poolSize: 2 }),
      l.dropout({ rate: 0.2 }),
      l.flatten(),
      l.dense({ units: 6, activation: 'tanh' }),
      l.dense({ units: 3, activation: 'softmax' }),
    ],
  });
}

describe('importing a TensorFlow.js layers model', () => {
  it('produces the same outputs as TensorFlow.js', async () => {
    const model = gestures();
    const at = await save(model, 'gestures');
    for (const path of [at, join(at, 'model.json')]) {
      const { graph, format, writer } = await readSource(path);
      expect([format, writer]).toEqual(['tfjs', 'TensorFlow.js tfjs-layers']);
      const x = tf.randomNormal([1, 16, 3], 0, 1, 'float32', 4);
      const expected = (model.predict(x) as Tensor).dataSync();
      const got = createInterpreter(graph).invoke(x.dataSync() as Float32Array);
      expected.forEach((value, i) => {
        expect(got[i]).toBeCloseTo(value, 5);
      });
    }
  });

  it.each(['lstm', 'gru'] as const)(
    'matches TensorFlow.js for the default activations of %s, which include hard_sigmoid',
    async (kind) => {
      // TensorFlow.js's default for recurrent weights needs an operator that aiot does not register.
      const wide = layers.initializers.randomNormal({ stddev: 1, seed: 3 });
      const own = { kernelInitializer: wide, recurrentInitializer: wide, biasInitializer: wide };
      const model = layers.sequential({
        layers: [
          layers.layers[kind]({ units: 3, inputShape: [4, 2], ...own }),
          layers.layers.dense({ units: 2, activation: 'hardSigmoid' }),
        ],
      });
      const { graph } = await readSource(await save(model, `default-${kind}`));
      const x = tf.randomNormal([1, 4, 2], 0, 2, 'float32', 7);
      const expected = [...(model.predict(x) as Tensor).dataSync()];
      const got = [...createInterpreter(graph).invoke(x.dataSync() as Float32Array)];
      expect(got).toEqual(expected.map((value) => expect.closeTo(value, 5)));
    },
  );

  it('rejects a recurrent layer whose first axis is the time', async () => {
    const model = layers.sequential({
      layers: [layers.layers.lstm({ units: 3, inputShape: [4, 2], recurrentInitializer: 'zeros' })],
    });
    const at = await save(model, 'time-major');
    const json = JSON.parse(readFileSync(join(at, 'model.json'), 'utf8'));
    Object.assign(settingsOf(json, 0), { time_major: true });
    writeFileSync(join(at, 'model.json'), JSON.stringify(json));
    await expect(readSource(at)).rejects.toMatchObject({
      code: 'AIOT_LAYER_UNSUPPORTED',
      message: expect.stringMatching(
        /LSTM\): time_major is not supported; save the model with time_major=False/,
      ),
    });
  });

  it('dequantizes weights that the converter quantized', async () => {
    const at = await save(
      layers.sequential({ layers: [layers.layers.dense({ units: 2, inputShape: [2] })] }),
      'small',
    );
    const json = JSON.parse(readFileSync(join(at, 'model.json'), 'utf8'));
    json.weightsManifest = [
      {
        paths: ['a.bin'],
        weights: json.weightsManifest[0].weights.map((entry: object, i: number) => ({
          ...entry,
          quantization: i === 0 ? { dtype: 'uint8', scale: 0.5, min: -1 } : { dtype: 'float16' },
        })),
      },
    ];
    writeFileSync(join(at, 'model.json'), JSON.stringify(json));
    // 0, 2, 4, 8 as uint8, then 1 and −2 as binary16.
    writeFileSync(join(at, 'a.bin'), Uint8Array.of(0, 2, 4, 8, 0x00, 0x3c, 0x00, 0xc0));
    const { graph } = await readSource(at);
    // The Keras kernel [in, out] is −1, 0; 1, 3.
    expect([...createInterpreter(graph).invoke(Float32Array.of(1, 10))]).toEqual([-1 + 10 + 1, 30 - 2]);
  });

  it.each<[string, (json: TopologyJson) => unknown, string, RegExp]>([
    [
      'a layer of an unsupported type',
      (json) => (json.modelTopology.config.layers[2]!.class_name = 'ELU'),
      'AIOT_LAYER_UNSUPPORTED',
      /layer 2 \(\S+, ELU\): ELU is not supported; use ReLU or LeakyReLU/,
    ],
    [
      'a graph model',
      (json) => Object.assign(json, { format: 'graph-model' }),
      'AIOT_LAYER_UNSUPPORTED',
      /graph model/,
    ],
    [
      'a file without layers',
      (json) => Object.assign(json, { modelTopology: {} }),
      'AIOT_FILE_MALFORMED',
      /contains no layers model/,
    ],
    [
      'missing weights',
      (json) => Object.assign(json, { weightsManifest: [] }),
      'AIOT_FILE_MALFORMED',
      /the weights \S+\/kernel are missing/,
    ],
    [
      'a layer type named like a property of every object',
      (json) => (json.modelTopology.config.layers[2]!.class_name = 'constructor'),
      'AIOT_LAYER_UNSUPPORTED',
      /constructor is not supported$/,
    ],
    [
      'an activation named like such a property',
      (json) => Object.assign(settingsOf(json, 6), { activation: 'constructor' }),
      'AIOT_LAYER_UNSUPPORTED',
      /the activation "constructor" is not supported$/,
    ],
    [
      'units that do not match the weights',
      (json) => Object.assign(settingsOf(json, 6), { units: 7 }),
      'AIOT_FILE_MALFORMED',
      /layer 6 \(\S+, Dense\): units is 7, but its weights are \[32, 6\]/,
    ],
    [
      'filters that do not match the weights',
      (json) => Object.assign(settingsOf(json, 0), { filters: 5 }),
      'AIOT_FILE_MALFORMED',
      /layer 0 \(\S+, Conv1D\): filters is 5, but its weights are \[3, 3, 4\]/,
    ],
    [
      'a window that does not match the weights',
      (json) => Object.assign(settingsOf(json, 0), { kernel_size: [9] }),
      'AIOT_FILE_MALFORMED',
      /layer 0 \(\S+, Conv1D\): a window of 1 × 9 over 3 channels, but its weights are \[3, 3, 4\]/,
    ],
    [
      'layers that are not objects',
      (json) => Object.assign(json.modelTopology.config, { layers: [null, 5] }),
      'AIOT_FILE_MALFORMED',
      /layer 0 of the model: expected an object with class_name and config, got null/,
    ],
    [
      'a layer whose name is a number',
      (json) => Object.assign(json.modelTopology.config.layers[2]!, { name: 5 }),
      'AIOT_FILE_MALFORMED',
      /layer 2 of the model: expected a string as name, got 5/,
    ],
    [
      'a manifest that is a string',
      (json) => Object.assign(json, { weightsManifest: 'a.bin' }),
      'AIOT_FILE_MALFORMED',
      /model\.json: weightsManifest/,
    ],
    [
      'a manifest whose only entry is null',
      (json) => Object.assign(json, { weightsManifest: [null] }),
      'AIOT_FILE_MALFORMED',
      /weightsManifest\.?\[?0/,
    ],
    [
      'paths that are a string',
      (json) => Object.assign(json, { weightsManifest: [{ paths: 'a.bin', weights: [] }] }),
      'AIOT_FILE_MALFORMED',
      /paths/,
    ],
    [
      'a shape that is null',
      (json) =>
        Object.assign(json, {
          weightsManifest: [{ paths: [], weights: [{ name: 'w', shape: null, dtype: 'float32' }] }],
        }),
      'AIOT_FILE_MALFORMED',
      /shape/,
    ],
    [
      'a data type named like such a property',
      (json) =>
        Object.assign(json, {
          weightsManifest: [{ paths: [], weights: [{ name: 'w', shape: [9], dtype: 'constructor' }] }],
        }),
      'AIOT_FILE_MALFORMED',
      /w: weights of type constructor are not supported/,
    ],
    [
      'a shard above the folder of the model',
      (json) => Object.assign(json, { weightsManifest: [{ paths: ['b/../../a.bin'], weights: [] }] }),
      'AIOT_FILE_MALFORMED',
      /\.\.\/a\.bin, which is outside the model's folder/,
    ],
    [
      'a shard at an absolute path',
      (json) => Object.assign(json, { weightsManifest: [{ paths: ['/etc/passwd'], weights: [] }] }),
      'AIOT_FILE_MALFORMED',
      /\/etc\/passwd, which is outside the model's folder/,
    ],
  ])('rejects %s', async (name, change, code, message) => {
    const at = await save(gestures(), name.replaceAll(' ', '-'));
    const json = JSON.parse(readFileSync(join(at, 'model.json'), 'utf8'));
    change(json);
    writeFileSync(join(at, 'model.json'), JSON.stringify(json));
    await expect(readSource(at)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });

  it('rejects shards that are too short', async () => {
    const at = await save(gestures(), 'short');
    writeFileSync(join(at, 'b.bin'), '');
    await expect(readSource(at)).rejects.toThrow(/bytes too short/);
  });
});

describe('aiot model import', () => {
  it('writes a simplified .tflite file', async () => {
    const at = await save(gestures(), 'whole');
    const out = join(folder, 'whole.tflite');
    const { code, json } = await runCli(['model', 'import', at, '--name', 'wave', '--out', out, '--json']);
    expect(code).toBe(0);
    expect(json).toMatchObject({
      name: 'wave',
      format: 'tfjs',
      layers: 8,
      input: { shape: [1, 16, 3] },
      validation: null,
      file: out,
    });
    const graph = readTflite(readFileSync(out));
    expect(graph.operators.map(({ op }) => op)).toEqual((json as { ops: string[] }).ops);
    expect(graph.operators.map(({ op }) => op)).not.toContain('ADD');
  });

  it('never overwrites its inputs, and rejects a path as a name', async () => {
    const at = await save(gestures(), 'kept');
    const before = readFileSync(join(at, 'a.bin'));
    const own = join(at, 'own.tflite');
    expect((await runCli(['model', 'import', at, '--out', own])).code).toBe(0);
    const cases = [
      [[at, '--out', join(at, 'model.json')], 'AIOT_FILE_IS_INPUT'],
      [[at, '--out', join(at, 'a.bin')], 'AIOT_FILE_IS_INPUT'],
      [[join(at, 'model.json'), '--out', join(at, 'a.bin')], 'AIOT_FILE_IS_INPUT'],
      [[own, '--out', own], 'AIOT_FILE_IS_INPUT'],
      [[at, '--name', '../../evil'], 'AIOT_USAGE'],
    ] as const;
    for (const [argv, code] of cases) {
      const ran = await runCli(['model', 'import', ...argv, '--json']);
      expect(ran.json, argv.join(' ')).toMatchObject({ error: { code } });
    }
    expect(readFileSync(join(at, 'a.bin')).equals(before)).toBe(true);
  });

  it('imports a model into a project for all later steps', async () => {
    const project = join(folder, 'project');
    mkdirSync(project);
    const rows = join(folder, 'rows.csv');
    // The first number determines the class, as in the model below.
    const lines = Array.from(
      { length: 90 },
      (_, i) => `${(i % 9) - 4},${(i * 7) % 5},${i % 9 > 4 ? 'high' : 'low'}`,
    );
    writeFileSync(rows, ['a,b,label', ...lines].join('\n'));
    const dense = layers.layers.dense({ units: 2, inputShape: [2], activation: 'softmax' });
    const model = layers.sequential({ layers: [dense] });
    // Classes are in alphabetical order: high, low.
    dense.setWeights([tf.tensor2d([8, -8, 0, 0], [2, 2]), tf.tensor1d([-4, 4])]);
    const at = await save(model, 'knows');
    const { code, json } = await runCli([
      'model',
      'import',
      at,
      '--project',
      project,
      '--data',
      rows,
      '--json',
    ]);
    expect(code).toBe(0);
    expect(json).toMatchObject({
      file: join(project, 'build', 'model.float.tflite'),
      validation: { accuracy: 1 },
    });
    const shown = await runCli(['model', 'import', at, '--project', project, '--data', rows]);
    expect(shown.stdout).toContain(`Next: aiot model quantize --project ${project} --data ${rows}`);
    const later = ['--project', project, '--data', rows, '--json'];
    expect(await runCli(['model', 'quantize', ...later])).toMatchObject({ code: 0, json: { mode: 'int8' } });
    const int8 = join(project, 'build', 'model.int8.tflite');
    const evaluated = await runCli(['model', 'evaluate', int8, '--data', rows, '--label', 'label', '--json']);
    expect(evaluated).toMatchObject({ code: 0, json: { accuracy: 1, n: 90 } });

    const other = await save(gestures(), 'other');
    const refused = await runCli(['model', 'import', other, '--project', project, '--data', rows]);
    expect(refused.stderr).toMatch(
      /AIOT_MODEL_UNFIT: .*expected one input of 2 numbers, got float32 \[1, 16, 3\].*Pass rows with one column for each of the model's inputs/s,
    );
    expect(refused.code).toBe(2);
  });

  it('accepts a float .tflite file, and keeps a quantized one', async () => {
    const float = join(folder, 'float.tflite');
    writeFileSync(float, writeTflite(architectures.mlp(seededRandom(1))));
    const out = join(folder, 'again.tflite');
    expect(await runCli(['model', 'import', float, '--out', out])).toMatchObject({ code: 0 });
    const { quantized } = await import('../support/architectures.js');
    writeFileSync(float, writeTflite(quantized('mlp', 1)));
    expect(await runCli(['model', 'import', float, '--out', out, '--json'])).toMatchObject({
      code: 0,
      json: { precision: 'int8' },
    });
  });

  it('rejects a model with NaN weights, naming them, and a name that is a path', async () => {
    const graph = architectures.mlp(seededRandom(1));
    const float = join(folder, 'broken.tflite');
    writeFileSync(float, writeTflite(graph));
    const named = await runCli(['model', 'import', float, '--name', '../../evil']);
    expect(named).toMatchObject({ code: 2, stderr: expect.stringContaining('got "../../evil"') });
    const weights = graph.tensors.find(({ data }) => data instanceof Float32Array)!;
    (weights.data as Float32Array)[1] = Number.NaN;
    writeFileSync(float, writeTflite(graph));
    const out = join(folder, 'never.tflite');
    for (const argv of [
      ['import', float],
      ['quantize', float, '--mode', 'float16'],
    ]) {
      const refused = await runCli(['model', ...argv, '--out', out]);
      expect(refused.stderr).toContain(`${weights.name} contains NaN (number 2 of `);
      expect(refused.code).toBe(2);
    }
    expect(existsSync(out)).toBe(false);
    // A model that was trained elsewhere can still be passed to evaluate.
    const rows = join(folder, 'one-row.csv');
    const size = graph.tensors[graph.inputs[0]!]!.shape.reduce((a, b) => a * b, 1);
    const names = Array.from({ length: size }, (_, i) => `x${i}`);
    writeFileSync(
      rows,
      `${names.join()},label\n${names.map(() => 1).join()},0\n${names.map(() => 2).join()},1\n`,
    );
    // RELU can hide a single NaN, but not these.
    for (const { data } of graph.tensors) if (data instanceof Float32Array) data.fill(Number.NaN);
    writeFileSync(float, writeTflite(graph));
    const judged = await runCli(['model', 'evaluate', float, '--data', rows]);
    expect(judged.stderr).toMatch(/the model outputs NaN \(row 1: output 0\): its .* contains NaN/s);
    expect(judged.stderr).toContain('Train the model again');
  });

  it.each([
    ['a missing file', 'missing.keras', 'AIOT_FILE_NOT_FOUND'],
    ['a file of another format', 'text.keras', 'AIOT_FILE_MALFORMED'],
    ['an archive without a model', 'empty.keras', 'AIOT_FILE_MALFORMED'],
    ['a truncated HDF5 file', 'cut.h5', 'AIOT_FILE_MALFORMED'],
    ['an HDF5 file with only a valid signature', 'junk.h5', 'AIOT_FILE_MALFORMED'],
    ['an empty folder', 'nothing', 'AIOT_FILE_MALFORMED'],
    ['a model.json that is null', 'null', 'AIOT_FILE_MALFORMED'],
  ])('rejects %s before writing anything', async (_what, name, code) => {
    writeFileSync(join(folder, 'text.keras'), 'hello');
    writeFileSync(join(folder, 'empty.keras'), zip({ 'metadata.json': '{}' }));
    writeFileSync(
      join(folder, 'cut.h5'),
      Uint8Array.of(0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0),
    );
    const junk = Buffer.alloc(4096, 0xa5);
    Buffer.of(0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a).copy(junk);
    writeFileSync(join(folder, 'junk.h5'), junk);
    mkdirSync(join(folder, 'nothing'), { recursive: true });
    mkdirSync(join(folder, 'null'), { recursive: true });
    writeFileSync(join(folder, 'null', 'model.json'), 'null');
    const out = join(folder, 'never.tflite');
    const refused = await runCli(['model', 'import', join(folder, name), '--out', out]);
    expect(refused.stderr).toContain(code);
    expect(refused.stderr).not.toMatch(/undefined|got (an )?object/);
    expect(refused.code).not.toBe(0);
    expect(existsSync(out)).toBe(false);
  });
});

describe('a zip archive', () => {
  it('is read whether stored or deflated', () => {
    const archive = zip({ 'a.txt': 'alpha', 'dir/b.txt': 'beta '.repeat(50), 'c.txt': 'gamma' });
    const files = readZip(archive, ['a.txt', 'dir/b.txt', 'd.txt']);
    expect([...files].map(([name, data]) => [name, Buffer.from(data).toString()])).toEqual([
      ['a.txt', 'alpha'],
      ['dir/b.txt', 'beta '.repeat(50)],
    ]);
  });

  it('is rejected with the byte offset of the damage', () => {
    const all = ['a.txt', 'b.txt'];
    const whole = zip({ 'a.txt': 'alpha', 'b.txt': 'beta '.repeat(50) });
    expect(() => readZip(whole.subarray(0, 40), all)).toThrow(
      /byte 40 of the archive: the end record is missing/,
    );
    for (let at = 0; at < whole.length; at++) {
      const damaged = Uint8Array.from(whole);
      damaged[at]! ^= 0xff;
      try {
        readZip(damaged, all);
      } catch (error) {
        expect(error).toMatchObject({ code: 'AIOT_FILE_MALFORMED' });
      }
    }
  });
});

describe('a zip bomb', () => {
  it('is rejected if its entries overlap, whichever are requested', () => {
    const whole = zip({ 'a.txt': 'alpha', 'b.txt': 'beta '.repeat(50) });
    const second = Buffer.from(whole).lastIndexOf(Buffer.from([0x50, 0x4b, 1, 2]));
    Buffer.from(whole.buffer).writeUInt32LE(0, second + 42);
    expect(() => readZip(whole, [])).toThrow(/byte 0 of the archive: b\.txt overlaps a\.txt/);
  });

  it('is rejected by its stated size, before unpacking', () => {
    const whole = zip({ 'a.txt': 'alpha', 'b.txt': 'beta '.repeat(50) });
    const second = Buffer.from(whole).lastIndexOf(Buffer.from([0x50, 0x4b, 1, 2]));
    Buffer.from(whole.buffer).writeUInt32LE(0xffff_fff0, second + 24);
    expect(() => readZip(whole, ['b.txt'])).toThrow(/the size of b\.txt is stated as 4294967280 bytes/);
    expect([...readZip(whole, ['a.txt']).keys()]).toEqual(['a.txt']);
  });
});

/** Creates a zip archive in which every second file is deflated. */
function zip(files: Record<string, string>): Uint8Array {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  Object.entries(files).forEach(([name, text], index) => {
    const method = index % 2 === 1 ? 8 : 0;
    const raw = Buffer.from(text);
    const data = method === 8 ? deflateRawSync(raw) : raw;
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(method, 8);
    local.writeUInt32LE(data.length, 18);
    local.writeUInt32LE(raw.length, 22);
    local.writeUInt16LE(name.length, 26);
    const entry = Buffer.alloc(46);
    entry.writeUInt32LE(0x02014b50, 0);
    entry.writeUInt16LE(method, 10);
    entry.writeUInt32LE(data.length, 20);
    entry.writeUInt32LE(raw.length, 24);
    entry.writeUInt16LE(name.length, 28);
    entry.writeUInt32LE(at, 42);
    directory.push(entry, Buffer.from(name));
    parts.push(local, Buffer.from(name), data);
    at += local.length + name.length + data.length;
  });
  const list = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(Object.keys(files).length, 10);
  end.writeUInt32LE(list.length, 12);
  end.writeUInt32LE(at, 16);
  return Uint8Array.from(Buffer.concat([...parts, list, end]));
}
