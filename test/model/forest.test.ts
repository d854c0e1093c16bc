import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { addContext } from '../../src/lib/core/contexts.js';
import { gaussian, seededRandom } from '../../src/lib/core/numbers.js';
import type { Project } from '../../src/lib/core/project.js';
import { createVirtualDevice } from '../../src/lib/device/virtual/device.js';
import {
  forestGraph,
  forestIn,
  keyValue,
  orderKey,
  type RealTree,
} from '../../src/lib/formats/tflite/forest.js';
import type { Graph } from '../../src/lib/formats/tflite/graph.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { bundleProject } from '../../src/lib/model/bundle/bundle-project.js';
import { createPredictor } from '../../src/lib/model/bundle/predictor.js';
import { interfaceOf } from '../../src/lib/model/bundle/signed-bundle.js';
import type { Bundle } from '../../src/lib/model/bundle/types.js';
import { emitted } from '../../src/lib/model/emit/emit.js';
import { evaluateProject } from '../../src/lib/model/evaluate/evaluate-project.js';
import type { EvaluateResult } from '../../src/lib/model/evaluate/result.js';
import { buildFiles } from '../../src/lib/model/files.js';
import { fitModel, quantizedFile } from '../../src/lib/model/fit/fit-model.js';
import { inspectModel } from '../../src/lib/model/inspect/inspect.js';
import { quantizeProject } from '../../src/lib/model/quantize/quantize-project.js';
import { type ForestRows, growForest } from '../../src/lib/model/train/fit/grow-forest.js';
import type { TrainResult } from '../../src/lib/model/train/result.js';
import { searchProject } from '../../src/lib/model/train/search.js';
import { trainProject } from '../../src/lib/model/train/train-project.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { runCli } from '../support/cli.js';
import { testPlatform } from '../support/platform.js';
import { temporaryFolder, toyCsv, toyProject } from './support.js';
import { rowsCsv, rowsFolder } from './train/support.js';

/** x0 ≤ 1 → a, else x1 ≤ −2 → b, else c. */
const tree: RealTree = {
  feature: [0, 1],
  key: [orderKey(1), orderKey(-2)],
  low: [-1, -2],
  high: [1, -3],
  leaves: [1, 0, 0, 1, 0.25, 0.75],
  root: 0,
};

const graphOf = (trees: RealTree[], base = [0, 0]) =>
  forestGraph({ trees, inputs: 2, base, description: 'test' });

const answers = (graph: Graph, ...row: number[]) => [
  ...createInterpreter(graph).invoke(Float32Array.from(row)),
];

describe('keys of floats', () => {
  it('preserve the order of the floats, and convert back to them', () => {
    const random = seededRandom(5);
    const chance = Array.from({ length: 2000 }, () =>
      Math.fround(gaussian(random) * 10 ** (20 * random() - 10)),
    );
    const special = [0, -0, 1, -1, 1e-45, -1e-45, 3.4e38, -3.4e38, 2 ** -126, -(2 ** -126)].map(Math.fround);
    const all = [...chance, ...special].sort((a, b) => a - b);
    const keys = all.map(orderKey);
    for (let i = 1; i < all.length; i++)
      expect(Math.sign(keys[i]! - keys[i - 1]!), `${all[i - 1]}, ${all[i]}`).toBe(
        all[i] === all[i - 1] ? 0 : 1,
      );
    expect(keys.map(keyValue)).toEqual(all.map((value) => value + 0));
    expect(orderKey(1 + 2 ** -23) - orderKey(1)).toBe(1);
    expect(orderKey(-0)).toBe(0);
  });
});

describe('a forest as a graph', () => {
  it('adds up the leaves that a row reaches, with thresholds inclusive', () => {
    const graph = graphOf([tree, tree], [0.5, 0]);
    expect(answers(graph, 1, 0)).toEqual([2.5, 0]);
    expect(answers(graph, 1 + 2 ** -23, -2)).toEqual([0.5, 2]);
    expect(answers(graph, 5, -1.9999999)).toEqual([1, 1.5]);
  });

  it('survives a .tflite file, as a custom operator', () => {
    const graph = graphOf([tree]);
    const bytes = writeTflite(graph);
    expect(Buffer.from(bytes).includes('AIOT_FOREST')).toBe(true);
    expect(readTflite(bytes)).toEqual(graph);
  });

  it('can consist of leaves alone', () => {
    const leaf = { feature: [], key: [], low: [], high: [], leaves: [3, 4], root: -1 };
    expect(answers(readTflite(writeTflite(graphOf([leaf, leaf]))), 7, 7)).toEqual([6, 8]);
  });

  it('keeps sums exact: at most 24 bits, whatever the order', () => {
    const random = seededRandom(2);
    const trees = Array.from({ length: 300 }, () => ({
      ...tree,
      leaves: Array.from({ length: 6 }, () => gaussian(random)),
    }));
    const graph = graphOf(trees);
    for (const row of [
      [0, 0],
      [2, -3],
      [2, 3],
    ])
      expect(answers(graph, ...row)).toEqual(answers(graphOf([...trees].reverse()), ...row));
    const { scale } = forestIn(graph, graph.operators[0]!);
    const real = trees.reduce((sum, { leaves: own }) => sum + own[0]!, 0);
    expect(Math.abs(answers(graph, 0, 0)[0]! - real)).toBeLessThanOrEqual((scale / 2) * 300);
  });

  const changed = (place: number, at: number, value: number): Graph => {
    const graph = graphOf([tree, tree]);
    const data = (graph.tensors[place]!.data as Int32Array).slice();
    data[at] = value;
    return { ...graph, tensors: graph.tensors.map((own, i) => (i === place ? { ...own, data } : own)) };
  };

  it.each([
    ['a traversal that never ends', 1, 6, 0],
    ['a node that does not exist', 1, 3, 9],
    ['a leaf that does not exist', 1, 2, -9],
    ['a feature that does not exist', 1, 0, 2],
    ['a root that does not exist', 3, 0, 4],
    ['sums beyond 24 bits', 2, 0, 2 ** 24],
  ])('is rejected with %s', (_, place, at, value) => {
    expect(() => createInterpreter(changed(place, at, value))).toThrow(
      expect.objectContaining({ code: 'AIOT_TFLITE_MALFORMED' }),
    );
  });

  it('is rejected if a node has two parents', () => {
    expect(() => graphOf([{ ...tree, low: [1, -2] }])).toThrow(/several parents/);
  });

  it('is not confused with other custom operators', () => {
    const bytes = Buffer.from(writeTflite(graphOf([tree])));
    bytes.write('OTHER_TREES', bytes.indexOf('AIOT_FOREST'));
    expect(() => readTflite(bytes)).toThrow(/CUSTOM OTHER_TREES is not supported/);
  });
});

/** Random rows of two features x and y, with a class (whether x · y > 0) and a value (|x| + y). */
function rowsOf(count: number, seed: number): ForestRows & { values: Float32Array } {
  const random = seededRandom(seed);
  const inputs = new Float32Array(2 * count);
  const of = new Int32Array(count);
  const values = new Float32Array(count);
  for (let row = 0; row < count; row++) {
    const [x, y] = [4 * random() - 2, 4 * random() - 2];
    inputs.set([x, y], 2 * row);
    of[row] = x * y > 0 ? 1 : 0;
    values[row] = Math.abs(x) + y;
  }
  return { inputs, inputSize: 2, classes: { of, count: 2 }, values, factors: null };
}

const settings = { trees: 20, leaf: 1, seed: 4 };

/** Returns the depth of a tree, and the number of rows that reach each leaf. */
function walked({ feature, key, low, high, root }: RealTree, { inputs, inputSize }: ForestRows) {
  const reached = new Map<number, number>();
  let deepest = 0;
  for (let row = 0; row * inputSize < inputs.length; row++) {
    let [at, depth] = [root, 0];
    for (; at >= 0; depth++)
      at = orderKey(inputs[row * inputSize + feature[at]!]!) <= key[at]! ? low[at]! : high[at]!;
    reached.set(at, (reached.get(at) ?? 0) + 1);
    deepest = Math.max(deepest, depth);
  }
  return { deepest, smallest: Math.min(...reached.values()) };
}

describe('growing trees', () => {
  it('grows the same trees from the same seed, and different trees from different seeds', async () => {
    const rows = rowsOf(200, 1);
    const [one, same, other] = await Promise.all(
      [4, 4, 5].map((seed) => growForest(rows, { ...settings, seed })),
    );
    expect(same).toEqual(one);
    expect(other).not.toEqual(one);
  });

  it('grows a single tree on all rows until every leaf is pure', async () => {
    const rows = rowsOf(300, 2);
    const [only] = await growForest(rows, { ...settings, trees: 1 });
    expect(new Set(only!.leaves as number[])).toEqual(new Set([0, 1]));
    const graph = forestGraph({ trees: [only!], inputs: 2, base: [0, 0], description: '' });
    const interpreter = createInterpreter(graph);
    for (let row = 0; row < 300; row++) {
      const [zero, one] = interpreter.invoke(rows.inputs.subarray(2 * row, 2 * row + 2));
      expect(one! > zero! ? 1 : 0).toBe(rows.classes!.of[row]);
    }
  });

  it('observes the limits on depth and leaves', async () => {
    const rows = rowsOf(300, 3);
    const [deep] = await growForest(rows, { ...settings, trees: 1 });
    expect(walked(deep!, rows).deepest).toBeGreaterThan(3);
    const [flat] = await growForest(rows, { ...settings, trees: 1, depth: 3 });
    expect(walked(flat!, rows).deepest).toBe(3);
    const [wide] = await growForest(rows, { ...settings, trees: 1, leaf: 20 });
    expect(walked(wide!, rows).smallest).toBeGreaterThanOrEqual(20);
  });

  it('predicts the mean of the values in a leaf for regression', async () => {
    const rows = { ...rowsOf(400, 4), classes: null };
    const trees = await growForest(rows, { ...settings, trees: 40 });
    const test = rowsOf(200, 5);
    let [squares, spread] = [0, 0];
    const mean = test.values.reduce((a, b) => a + b, 0) / 200;
    const graph = forestGraph({
      trees: trees.map((own) => ({ ...own, leaves: Array.from(own.leaves, (value) => value / 40) })),
      ...{ inputs: 2, base: [0], description: '' },
    });
    const interpreter = createInterpreter(graph);
    test.values.forEach((value, row) => {
      squares += (interpreter.invoke(test.inputs.subarray(2 * row, 2 * row + 2))[0]! - value) ** 2;
      spread += (mean - value) ** 2;
    });
    expect(1 - squares / spread).toBeGreaterThan(0.95);
  });

  it('stops when it is aborted', async () => {
    const stop = new AbortController();
    const grown = growForest(rowsOf(200, 1), {
      ...settings,
      onTree: (n) => n === 3 && stop.abort(),
      signal: stop.signal,
    });
    await expect(grown).rejects.toMatchObject({ name: 'AbortError' });
  });
});

const forestYaml = (text: string) =>
  text
    .replace('features: raw', 'features: spectral')
    .replace('kind: mlp\n  layers: [8]', 'kind: forest')
    .replace('epochs: 12', 'forest: { trees: 15 }, epochs: 12');

describe('a project with kind: forest', () => {
  let project: Project;
  let trained: TrainResult;
  let evaluated: EvaluateResult;
  let bundle: Bundle;
  beforeAll(async () => {
    project = await toyProject(forestYaml);
    trained = await trainProject({ project });
    await quantizeProject({ project });
    evaluated = await evaluateProject({ project });
    ({ bundle } = await bundleProject({ project }));
  });

  it('produces the same file when it is trained again', async () => {
    expect(trained).toMatchObject({ backend: 'forest', epochs: 1, refitted: null, choice: null });
    expect(trained.metrics.valAccuracy).toBe(1);
    const again = await toyProject(forestYaml);
    await trainProject({ project: again });
    expect(await readFile(buildFiles(again).float)).toEqual(await readFile(buildFiles(project).float));
  });

  it('is evaluated on the test set as it runs on a device, with a warning that LiteRT cannot run it', () => {
    expect(evaluated).toMatchObject({ precision: 'forest', arenaBytes: 0, agreement: null, passed: true });
    expect(evaluated.accuracy).toBe(1);
    expect(evaluated.int8).toEqual(evaluated.float);
    expect(evaluated.warnings).toContainEqual(expect.stringMatching(/^LiteRT cannot run a forest/));
  });

  it('is bundled for interface 3, with exact golden vectors and predictions', () => {
    expect(interfaceOf(bundle)).toBe(3);
    expect(bundle.info).toMatchObject({ arenaBytes: 0, quantization: { mode: 'float32' } });
    expect(new Set(bundle.info.standardization.mean)).toEqual(new Set([0]));
    const predictor = createPredictor(bundle);
    for (const { samples, answer, output } of bundle.golden) {
      predictor.reset();
      const found = samples.flatMap((sample) => predictor.push(sample) ?? []);
      expect(found.map(({ label }) => label)).toEqual([answer.label]);
      expect(found[0]!.scores).toEqual(output);
    }
  });

  it('is pushed, installed by a virtual device, and predicts there and in a loop', async () => {
    const own = await testPlatform();
    vi.stubEnv('AIOT_CONFIG_DIR', join(own.folder, 'config'));
    await addContext(
      'own',
      { url: own.platform.urls.http, ca: own.platform.ca, token: own.token },
      { use: true },
    );
    await mkdir(join(own.folder, 'config', 'keys'), { recursive: true });
    await writeFile(join(own.folder, 'config', 'keys', 'own.pem'), own.key, { mode: 0o600 });
    const identityDir = join(own.folder, 'toy-1');
    await mkdir(identityDir);
    await provisionDevice({ client: own.client, name: 'toy-1', type: 'virtual', out: identityDir });
    const labels: (string | null)[] = [];
    const device = await createVirtualDevice({
      identityDir,
      onEvent: (event) => event.event === 'inference' && labels.push(event.inference.label),
    });
    try {
      await device.connect();
      const pushed = await runCli([
        'model',
        'push',
        '--project',
        project.dir,
        '--types',
        'virtual',
        '--json',
      ]);
      expect(pushed, pushed.stderr).toMatchObject({ code: 0, json: { name: 'toy', version: 1 } });
      const deployed = await runCli(['model', 'deploy', 'toy@1', '--selector', 'name=toy-1', '--json']);
      expect(deployed).toMatchObject({ code: 0, json: { devices: [{ state: 'committed', error: null }] } });
      const text = toyCsv('slow', 9);
      const samples = text
        .trim()
        .split('\n')
        .slice(1)
        .map((row) => row.split(',').map(Number));
      const predictor = createPredictor(bundle);
      const expected = samples.flatMap((sample) => predictor.push(sample)?.label ?? []);
      expect(expected).toEqual(Array.from(expected, () => 'slow'));
      await device.replay(
        {
          ...{ id: 'slow9', label: 'slow', device: null, rateHz: 50, startedAt: 1_700_000_000_000 },
          fields: ['x', 'y'],
          columns: [0, 1].map((f) => Float64Array.from(samples, (sample) => sample[f]!)),
        },
        { stream: 'motion', speed: 'max', predict: true },
      );
      expect(labels).toEqual(expected);
      expect((await own.client.models.live('toy', 1)).devices).toEqual({ 'toy-1': expected.length });
      await writeFile(join(own.folder, 'slow9.csv'), text);
      const sensor = `file:${join(own.folder, 'slow9.csv')}?rate=50&speed=max`;
      const loop = await runCli(['loop', 'run', '--project', project.dir, '--sensor', sensor, '--json']);
      expect(loop, loop.stderr).toMatchObject({
        ...{ code: 0, json: { samples: samples.length, windows: expected.length, lost: 0 } },
      });
      expect((loop.json as { classes: Record<string, number> }).classes.slow).toBe(expected.length);
    } finally {
      await device.stop();
      vi.unstubAllEnvs();
      await own.stop();
    }
  });

  it('is emitted as C that needs no memory of its own', async () => {
    const out = await temporaryFolder();
    const { emitted: files, mode } = await quantizeProject({ project, emit: 'c', out });
    expect(mode).toBe('float32');
    expect(files.map((file) => file.slice(out.length + 1)).sort()).toEqual([
      'golden.json',
      'model.c',
      'model.h',
    ]);
    const header = await readFile(join(out, 'model.h'), 'utf8');
    expect(header).toContain('#define MODEL_ARENA_BYTES 0\n#define MODEL_TREES 15\n');
    expect(header).toContain('int model_class(const int32_t *sums);');
    const { output, vectors } = JSON.parse(await readFile(join(out, 'golden.json'), 'utf8'));
    const interpreter = createInterpreter(readTflite(await readFile(join(out, 'model.tflite'))));
    for (const { input, output: sums } of vectors)
      expect([...interpreter.invoke(Float32Array.from(input as number[]))]).toEqual(
        (sums as number[]).map((sum) => sum * output.scale),
      );
  });

  it('can be inspected, but is rejected where only neural networks are accepted', async () => {
    const file = buildFiles(project).float;
    expect(await inspectModel(file)).toMatchObject({ precision: 'forest', arena: null, arenaBytes: 0 });
    const { stdout } = await runCli(['model', 'inspect', file]);
    expect(stdout).toContain(`Next: aiot model quantize ${file} --emit c`);
    const shown = stdout.split('Next: aiot ')[1]!.trim().split(' ');
    const emitted = await runCli([...shown, '--out', join(project.dir, 'emitted')]);
    expect(emitted).toMatchObject({ code: 0 });
    // Trees need flash for their tables, and no arena.
    const fit = await fitModel({ file });
    const { bytes, arenaBytes, chips, fits } = fit;
    expect({ arenaBytes, fits }).toEqual({ arenaBytes: 0, fits: true });
    expect(
      chips.every(
        ({ flash, ram, latency }) => flash.need === bytes + 2048 && ram.need === 0 && latency === null,
      ),
    ).toBe(true);
    await expect(fitModel({ file, latency: '5' })).rejects.toMatchObject({ code: 'AIOT_USAGE' });
    await expect(fitModel({ file, chip: 'esp32', flash: '1KiB' })).resolves.toMatchObject({
      fits: false,
      error: { code: 'AIOT_GATE_FAILED', message: expect.stringContaining('flash: needs') },
    });
    const one = await runCli(['model', 'fit', '--project', project.dir, '--chip', 'esp32']);
    expect(one.stdout).toContain('not predicted for decision trees');
    const quantized = await runCli(['model', 'quantize', '--project', project.dir]);
    expect(quantized.stdout).not.toMatch(/Calibrated|signal to quantization noise/);
    // The kind is that of the trained file, not the one in aiot.yaml, because --kind may have replaced it.
    expect(await quantizedFile(project.dir)).toBe(file);
    const text = await readFile(project.file, 'utf8');
    await writeFile(project.file, text.replace('kind: forest', 'kind: mlp'));
    expect(await quantizedFile(project.dir)).toBe(file);
    await writeFile(project.file, text);
    await expect(quantizeProject({ project, mode: 'int8' })).rejects.toMatchObject({
      code: 'AIOT_QUANTIZE_UNFIT',
    });
    await expect(quantizeProject({ project, maxLoss: 1 })).rejects.toMatchObject({
      code: 'AIOT_QUANTIZE_UNFIT',
    });
    await expect(quantizeProject({ project, emit: 'tflm' })).rejects.toMatchObject({
      code: 'AIOT_QUANTIZE_UNFIT',
    });
    await expect(searchProject({ project, count: 2 })).rejects.toMatchObject({ code: 'AIOT_USAGE' });
  });

  it.each([
    ['raw windows', (text: string) => text.replace('features: spectral', 'features: raw'), /raw windows/],
    [
      'layers',
      (text: string) => text.replace('kind: forest', 'kind: forest\n  layers: [8]'),
      /has no layers/,
    ],
  ])('is rejected with %s', async (_, edit, message) => {
    const other = await toyProject((text) => edit(forestYaml(text)));
    await expect(trainProject({ project: other })).rejects.toMatchObject({
      code: 'AIOT_MODEL_UNFIT',
      message: expect.stringMatching(message),
    });
  });

  it('leaves nothing behind if it is stopped', async () => {
    const other = await toyProject(forestYaml);
    const stop = new AbortController();
    const stopped = trainProject({
      project: other,
      onStep: (text) => text.startsWith('tree 4') && stop.abort(),
      signal: stop.signal,
    });
    await expect(stopped).rejects.toMatchObject({ code: 'AIOT_INTERRUPTED' });
    await expect(readFile(buildFiles(other).float)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('can be cross-validated', async () => {
    const { folds } = await trainProject({ project: await toyProject(forestYaml), folds: { folds: 3 } });
    expect(folds!.folds).toHaveLength(3);
    expect(folds!.together.accuracy).toBe(1);
  });
});

describe('a forest on the rows of a table', () => {
  it.each(['classes', 'probability'] as const)(
    'predicts %s, after growing its trees again with the validation rows',
    async (output) => {
      const { dir, file } = await rowsFolder(rowsCsv());
      const common = ['--project', dir, '--data', file];
      const train = await runCli([
        'model',
        'train',
        ...common,
        '--kind',
        'forest',
        '--output',
        output,
        '--json',
      ]);
      expect(train).toMatchObject({ code: 0, json: { backend: 'forest', refitted: 180 } });
      expect((await runCli(['model', 'quantize', ...common, '--json'])).code).toBe(0);
      const evaluated = await runCli(['model', 'evaluate', ...common, '--json']);
      expect(evaluated).toMatchObject({ code: 0, json: { precision: 'forest', output } });
      expect((evaluated.json as EvaluateResult).accuracy).toBeGreaterThan(0.9);
    },
  );

  it('predicts values', async () => {
    const { dir, file } = await rowsFolder(rowsCsv({ label: (_, value) => value.toFixed(4) }));
    const common = ['--project', dir, '--data', file];
    const train = await runCli([
      'model',
      'train',
      ...common,
      '--kind',
      'forest',
      '--output',
      'value',
      '--json',
    ]);
    expect(train.code, train.stderr).toBe(0);
    const { metrics, baseline } = train.json as TrainResult;
    expect(metrics.valRmse! / baseline!.valRmse!).toBeLessThan(20);
  });
});

describe('generated C', () => {
  it('is rejected for trees with other operators around them', () => {
    const graph = graphOf([tree]);
    const relu = { op: 'RELU' as const, inputs: [5], outputs: [6], options: {} };
    const more: Graph = {
      ...graph,
      tensors: [...graph.tensors, { name: 'y', shape: [1, 2], type: 'float32' }],
      operators: [...graph.operators, relu],
      outputs: [6],
    };
    expect(() =>
      emitted('c', { out: 'x', graph: more, contents: writeTflite(more), name: 'x', classes: [] }),
    ).toThrow(
      expect.objectContaining({
        code: 'AIOT_QUANTIZE_UNFIT',
        message: expect.stringContaining('operator 1 (RELU)'),
      }),
    );
  });
});
