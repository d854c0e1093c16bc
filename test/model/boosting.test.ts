import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { gaussian, seededRandom } from '../../src/lib/core/numbers.js';
import type { Project } from '../../src/lib/core/project.js';
import { orderKey } from '../../src/lib/formats/tflite/forest.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { bundleProject } from '../../src/lib/model/bundle/bundle-project.js';
import { checkGolden } from '../../src/lib/model/bundle/golden.js';
import { createPredictor } from '../../src/lib/model/bundle/predictor.js';
import { evaluateProject } from '../../src/lib/model/evaluate/evaluate-project.js';
import { buildFiles } from '../../src/lib/model/files.js';
import { quantizeProject } from '../../src/lib/model/quantize/quantize-project.js';
import { type Boosted, boostForest } from '../../src/lib/model/train/fit/boost-forest.js';
import type { ForestRows } from '../../src/lib/model/train/fit/grow-forest.js';
import { trainProject } from '../../src/lib/model/train/train-project.js';
import { runCli } from '../support/cli.js';
import { temporaryFolder, toyCsv, toyProject } from './support.js';
import { rowsCsv, rowsFolder } from './train/support.js';

/** A table with one feature. Classes are numbered from 0. */
const table = (x: number[], classes: number[] | null, values: number[] | null = null): ForestRows => ({
  inputs: Float32Array.from(x),
  inputSize: 1,
  classes: classes && { of: Int32Array.from(classes), count: Math.max(...classes) + 1 },
  values: values && Float32Array.from(values),
  factors: null,
});

const settings = { boosting: true, trees: 1, leaf: 1, depth: 1, learningRate: 1, seed: 3 };

/** Scores of a row. */
function scoresOf({ trees, base }: Boosted, row: ArrayLike<number>): number[] {
  const scores = [...base];
  for (const { feature, key, low, high, leaves, root } of trees) {
    let at = root;
    while (at >= 0) at = orderKey(row[feature[at]!]!) <= key[at]! ? low[at]! : high[at]!;
    scores.forEach((_, o) => {
      scores[o]! += leaves[(-1 - at) * scores.length + o]!;
    });
  }
  return scores;
}

/** Random rows of three features, with three classes and a value. */
function chanceRows(count: number, seed: number): ForestRows & { values: Float32Array } {
  const random = seededRandom(seed);
  const inputs = Float32Array.from({ length: 3 * count }, () => gaussian(random));
  const values = Float32Array.from(
    { length: count },
    (_, row) => inputs[3 * row]! ** 2 + inputs[3 * row + 1]!,
  );
  const of = Int32Array.from(values, (value) => (value < 0 ? 0 : value < 1 ? 1 : 2));
  return { inputs, inputSize: 3, classes: { of, count: 3 }, values, factors: null };
}

describe('a round of boosting', () => {
  it('adds the mean residual of each leaf, times the learning rate, to the mean', async () => {
    const rows = table([0, 0, 1, 1], null, [1, 3, 7, 9]);
    const whole = await boostForest(rows, settings);
    expect(whole.base).toEqual([5]);
    expect([0, 1].map((x) => scoresOf(whole, [x])[0])).toEqual([2, 8]);
    const half = await boostForest(rows, { ...settings, learningRate: 0.5 });
    expect([0, 1].map((x) => scoresOf(half, [x])[0])).toEqual([3.5, 6.5]);
  });

  it('takes one Newton step from the logit of two classes', async () => {
    const boosted = await boostForest(table([0, 0, 1, 1], [0, 1, 1, 1]), settings);
    expect(boosted.base[0]).toBeCloseTo(Math.log(3), 12);
    // Gradients −3/4 and 1/4 for x = 0, and 1/4 twice for x = 1; the second derivative is 3/16 for each row.
    expect(scoresOf(boosted, [0])[0]).toBeCloseTo(Math.log(3) - 0.5 / (2 * (3 / 16)), 12);
    expect(scoresOf(boosted, [1])[0]).toBeCloseTo(Math.log(3) + 0.5 / (2 * (3 / 16)), 12);
  });

  it('grows a tree for each of three classes, all from the same class probabilities', async () => {
    const boosted = await boostForest(table([0, 1, 2], [0, 1, 2]), { ...settings, depth: 2 });
    expect(boosted.trees).toHaveLength(3);
    expect(boosted.base).toEqual([1, 1, 1].map(() => Math.log(1 / 3)));
    // Gradient 2/3 for the row's own class, and −1/3 for others: steps 2/3 · (2/3) / (2/9) and 2/3 · (−1/3) /
    // (2/9).
    const scores = scoresOf(boosted, [1]).map((score) => score - Math.log(1 / 3));
    [-1, 2, -1].forEach((step, o) => {
      expect(scores[o]).toBeCloseTo(step, 12);
    });
  });

  it('weights the classes', async () => {
    const rows = { ...table([0, 0, 1, 1], [0, 1, 1, 1]), factors: Float32Array.from([3, 1]) };
    const boosted = await boostForest(rows, settings);
    expect(boosted.base[0]).toBeCloseTo(0, 12);
    // Gradients −1/2 with weight 3 and 1/2 with weight 1; the second derivative is 1/4.
    expect(scoresOf(boosted, [0])[0]).toBeCloseTo((-1.5 + 0.5) / (4 / 4), 12);
  });
});

describe('boosting', () => {
  it('grows the same trees from the same seed, which determines the rows that are drawn', async () => {
    const rows = chanceRows(200, 1);
    const drawing = { ...settings, trees: 5, subsample: 0.5 };
    const [one, same, other] = await Promise.all(
      [4, 4, 5].map((seed) => boostForest(rows, { ...drawing, seed })),
    );
    expect(same).toEqual(one);
    expect(other).not.toEqual(one);
  });

  it('lowers the loss on the training rows in every round, for regression and classification', async () => {
    const { values, ...rows } = chanceRows(300, 2);
    const row = (i: number) => rows.inputs.subarray(3 * i, 3 * i + 3);
    const classify = async (trees: number) => {
      const boosted = await boostForest({ ...rows, values: null }, { ...settings, trees, learningRate: 0.1 });
      return Array.from(rows.classes!.of, (own, i) => {
        const scores = scoresOf(boosted, row(i));
        return Math.log(scores.reduce((sum, score) => sum + Math.exp(score), 0)) - scores[own]!;
      }).reduce((a, b) => a + b, 0);
    };
    const regress = async (trees: number) => {
      const boosted = await boostForest({ ...rows, values, classes: null }, { ...settings, trees });
      return Array.from(values, (value, i) => (scoresOf(boosted, row(i))[0]! - value) ** 2).reduce(
        (a, b) => a + b,
        0,
      );
    };
    for (const loss of [classify, regress]) {
      const losses = await Promise.all([1, 2, 4, 8, 16].map(loss));
      losses.slice(1).forEach((own, i) => {
        expect(own).toBeLessThan(losses[i]!);
      });
    }
  });

  it('stops when it is aborted', async () => {
    const stop = new AbortController();
    const boosted = boostForest(chanceRows(50, 1), {
      ...{ ...settings, trees: 50, onTree: (n: number) => n === 3 && stop.abort(), signal: stop.signal },
    });
    await expect(boosted).rejects.toMatchObject({ name: 'AbortError' });
  });
});

const boostingYaml = (text: string) =>
  text
    .replace('features: raw', 'features: spectral')
    .replace('kind: mlp\n  layers: [8]', 'kind: forest')
    .replace(
      'epochs: 12',
      'forest: { boosting: true, trees: 20, learningRate: 0.3, subsample: 0.8 }, epochs: 12',
    );

describe('a project with boosting', () => {
  let project: Project;
  beforeAll(async () => {
    project = await toyProject(boostingYaml);
    await trainProject({ project });
    await quantizeProject({ project });
  });

  it('produces the same file when it is trained again', async () => {
    const again = await toyProject(boostingYaml);
    await trainProject({ project: again });
    expect(await readFile(buildFiles(again).float)).toEqual(await readFile(buildFiles(project).float));
  });

  it('has a tree per class and round, followed by a softmax', async () => {
    const { operators, tensors } = readTflite(await readFile(buildFiles(project).float));
    expect(operators.map(({ op }) => op)).toEqual(['FOREST', 'SOFTMAX']);
    expect(tensors[operators[0]!.inputs[3]!]!.shape).toEqual([60]);
  });

  it('is evaluated, is bundled with valid golden vectors, and predicts class probabilities', async () => {
    const evaluated = await evaluateProject({ project });
    expect(evaluated).toMatchObject({ precision: 'forest', arenaBytes: 0, passed: true, accuracy: 1 });
    const { bundle } = await bundleProject({ project });
    expect(checkGolden(bundle)).toMatchObject({ failures: [], passed: bundle.golden.length });
    const { classes = [], fields = [] } = bundle.lineage.reference ?? {};
    expect(classes).toEqual([...bundle.info.classes].sort());
    expect(fields.map(({ name }) => name)).toEqual(bundle.info.signal.fields);
    const predictor = createPredictor(bundle);
    const samples = toyCsv('fast', 8).trim().split('\n').slice(1);
    const found = samples.flatMap((row) => predictor.push(row.split(',').map(Number)) ?? []);
    expect(new Set(found.map(({ label }) => label))).toEqual(new Set(['fast']));
    for (const { scores } of found) expect(scores.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 6);
  });

  it('is emitted as C', async () => {
    const out = await temporaryFolder();
    await quantizeProject({ project, emit: 'c', out });
    const header = await readFile(join(out, 'model.h'), 'utf8');
    expect(header).toContain('the softmax of sums * MODEL_OUTPUT_SCALE are the outputs of the model');
    expect(header).toContain('#define MODEL_TREES 60\n');
  });

  it.each(['learningRate', 'subsample'])('is required by %s', async (name) => {
    const other = await toyProject((text) =>
      boostingYaml(text).replace(/forest: \{.*?\}/, `forest: { ${name}: 0.5 }`),
    );
    await expect(trainProject({ project: other })).rejects.toMatchObject({
      code: 'AIOT_MODEL_UNFIT',
      message: expect.stringContaining(`model.train.forest.${name} is set, but it applies only to boosting`),
    });
  });
});

const tableYaml = (output: string) => `name: watch
model:
  kind: forest
  output: ${output}
  train: { forest: { boosting: true } }
`;

describe('boosting on the rows of a table', () => {
  it.each([
    ['classes', 'SOFTMAX'],
    ['probability', 'LOGISTIC'],
    ['value', null],
  ])('predicts %s', async (output, ending) => {
    const csv = rowsCsv(output === 'value' ? { label: (_, value) => value.toFixed(4) } : {});
    const { dir, file } = await rowsFolder(csv, tableYaml(output));
    const at = ['--project', dir, '--data', file];
    const trained = await runCli(['model', 'train', ...at, '--json']);
    expect(trained, trained.stderr).toMatchObject({ code: 0, json: { backend: 'forest' } });
    expect((await runCli(['model', 'quantize', ...at, '--json'])).code).toBe(0);
    const evaluated = await runCli(['model', 'evaluate', ...at, '--json']);
    expect(evaluated, evaluated.stderr).toMatchObject({ code: 0, json: { precision: 'forest', output } });
    const { operators } = readTflite(await readFile(join(dir, 'build', 'model.float.tflite')));
    expect(operators.map(({ op }) => op)).toEqual(ending === null ? ['FOREST'] : ['FOREST', ending]);
    const { accuracy, r2 } = evaluated.json as { accuracy: number; r2: number };
    expect(output === 'value' ? r2 : accuracy).toBeGreaterThan(0.9);
  });
});
