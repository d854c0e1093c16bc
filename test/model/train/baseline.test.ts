import { readFile, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { trainingText } from '../../../src/lib/cli/render/training.js';
import { digestOf } from '../../../src/lib/core/crypto.js';
import { gaussian, seededRandom } from '../../../src/lib/core/numbers.js';
import { readTrained } from '../../../src/lib/model/build-folder.js';
import type { EvaluateResult } from '../../../src/lib/model/evaluate/result.js';
import { buildFiles, readTraining } from '../../../src/lib/model/files.js';
import { openModelProject } from '../../../src/lib/model/material.js';
import type { NetworkOutput } from '../../../src/lib/model/network/layers.js';
import type { QuantizeResult } from '../../../src/lib/model/quantize/result.js';
import { trainModel } from '../../../src/lib/model/train/train-model.js';
import { figuresOf, linearModel } from '../../../src/lib/model/train/train-project.js';
import type { Lesson } from '../../../src/lib/model/train/types.js';
import { runCli } from '../../support/cli.js';
import { rowsFolder } from './support.js';

/** Three overlapping classes, as Gaussian clouds in ten columns, with few rows, as in small tables. */
function clouds(rows: number, seed: number): string {
  const random = seededRandom(seed);
  const centers = [0, 1, 2].map(() => Array.from({ length: 10 }, () => 0.9 * gaussian(random)));
  const lines = Array.from({ length: rows }, (_, i) => {
    const values = centers[i % 3]!.map((x) => (x + gaussian(random)).toFixed(4));
    return [...values, 'abc'[i % 3]].join(',');
  });
  return `${Array.from({ length: 10 }, (_, i) => `x${i}`).join(',')},label\n${lines.join('\n')}\n`;
}

async function trained(csv: string, more: Partial<Parameters<typeof trainModel>[0]> = {}) {
  const { dir, file } = await rowsFolder(csv);
  const result = await trainModel({ project: dir, data: file, epochs: 40, batch: 16, ...more });
  if (!('metrics' in result)) throw new Error('a search');
  return { result, dir, file, training: await readTraining(await openModelProject(dir, file)) };
}

const lesson = (rows: number[][], classes: number[], values: number[] | null = null) => ({
  inputs: Float32Array.from(rows.flat()),
  inputSize: rows[0]!.length,
  classes: Int32Array.from(classes),
  values: values && Float32Array.from(values),
});

function linearBaseline(train: Lesson, asked: Lesson, output: NetworkOutput) {
  const plan = { network: { kind: 'mlp' as const, inputShape: [train.inputSize], layers: [], output } };
  return figuresOf(linearModel(train, plan, 'none')!, plan, [asked]);
}

describe('the linear baseline of a training run', () => {
  it('separates linearly separable classes in any unit, and leaves the examples unchanged', () => {
    const random = seededRandom(1);
    const rows = Array.from({ length: 80 }, () => [1000 * gaussian(random), 0.01 * gaussian(random)]);
    const classes = rows.map(([x, y]) => (x! / 1000 + y! / 0.01 > 0 ? 1 : 0));
    const own = lesson(rows, classes);
    const before = own.inputs.slice();
    const { accuracy, rmse } = linearBaseline(own, own, { kind: 'probability' });
    expect(accuracy).toBeGreaterThan(0.97);
    expect(rmse).toBeNull();
    expect(own.inputs).toEqual(before);
  });

  it('is little better than chance if no line separates the classes', () => {
    const random = seededRandom(2);
    const rows = Array.from({ length: 400 }, () => [gaussian(random), gaussian(random)]);
    const classOf = ([x = 0, y = 0]: number[]) => (x * y > 0 ? 1 : 0);
    const own = lesson(rows, rows.map(classOf));
    const others = Array.from({ length: 400 }, () => [gaussian(random), gaussian(random)]);
    const unseen = lesson(others, others.map(classOf));
    const { accuracy } = linearBaseline(own, unseen, { kind: 'classes', count: 2 });
    expect(accuracy).toBeLessThan(0.62);
  });

  it('reports regression errors in the unit of the labels', () => {
    const random = seededRandom(3);
    const rows = Array.from({ length: 300 }, () => [gaussian(random), gaussian(random)]);
    const values = rows.map(([x, y]) => 5000 + 300 * x! - 100 * y! + 20 * gaussian(random));
    const own = lesson(
      rows,
      rows.map(() => 0),
      values,
    );
    const { accuracy, rmse } = linearBaseline(own, own, { kind: 'value', count: 1 });
    expect(rmse).toBeGreaterThan(17);
    expect(rmse).toBeLessThan(23);
    expect(accuracy).toBeNull();
  });

  it('appears in the result, the training file, and the printed output', async () => {
    const { result, training, dir, file } = await trained(clouds(150, 1));
    expect(result.baseline!.valAccuracy).toBeGreaterThan(0.8);
    expect(training.baseline).toEqual(result.baseline);
    const { stdout } = await runCli([
      ...['model', 'train', '--project', dir, '--data', file, '--epochs', '5', '--kind', 'mlp'],
    ]);
    expect(stdout).toMatch(/Linear model\s+\d+\.\d % on the same examples/);
    expect(stdout).toMatch(/Retrained\s+on 1\d\d rows, including the validation rows/);
  });
});

describe('advice on a linear model that is better than the network', () => {
  it('explains for rows how to keep the better of the two', async () => {
    const { result } = await trained(clouds(150, 1), { kind: 'mlp', epochs: 5 });
    const better = {
      ...result,
      baseline: { ...result.baseline!, valAccuracy: result.metrics.valAccuracy! + 0.01 },
    };
    expect(trainingText(better)).toContain('A linear model did better than this network');
    expect(trainingText(better)).toContain('train without --kind and --layers');
    const recordings = (bestEpoch: number) =>
      trainingText(
        { ...better, split: 'recording', metrics: { ...better.metrics, bestEpoch } },
        ' --project fan',
      );
    expect(recordings(3)).toContain('`aiot model train --project fan --search 30`');
    expect(recordings(5)).toContain('Train longer: `aiot model train --project fan --epochs 20`');
    const equal = { ...result, baseline: { ...result.baseline!, valAccuracy: result.metrics.valAccuracy } };
    expect(trainingText(equal)).not.toContain('did better');
    const { result: chosen } = await trained(clouds(150, 1));
    expect(trainingText({ ...chosen, baseline: { valAccuracy: 1, valRmse: null } })).not.toContain(
      'did better',
    );
  });

  it('compares errors for a regression model', async () => {
    const { result } = await trained(rings(60, 1), { label: 'x', output: 'value', kind: 'mlp', epochs: 5 });
    const rmse = result.metrics.valRmse!;
    const withError = (valRmse: number) =>
      trainingText({ ...result, baseline: { valAccuracy: null, valRmse } });
    expect(withError(rmse * 0.9)).toContain('A linear model did better than this network');
    expect(withError(rmse * 1.1)).not.toContain('did better');
  });
});

/** Concentric rings, which no line separates. */
function rings(rows: number, seed: number): string {
  const random = seededRandom(seed);
  const lines = Array.from({ length: rows }, (_, i) => {
    const [a, b] = [gaussian(random), gaussian(random)];
    const radius = (i % 2 === 0 ? 1 : 3) / Math.hypot(a, b);
    return `${a * radius + 0.2 * gaussian(random)},${b * radius + 0.2 * gaussian(random)},${i % 2}`;
  });
  return `x,y,label\n${lines.join('\n')}\n`;
}

describe('the choice between a network and a linear model', () => {
  it('picks the linear model if the network is no better on unseen rows, and reports it', async () => {
    const { result, training, dir, file } = await trained(clouds(150, 1));
    expect(result.choice).toMatchObject({
      kept: 'linear',
      folds: 5,
      rows: result.windows.train + result.windows.validation,
    });
    expect(result.choice!.linear.accuracy).toBeGreaterThan(0.8);
    expect(training.network.layers).toEqual([]);
    expect(training.choice).toEqual(result.choice);
    // Ten inputs and three classes: 30 weights and 3 biases.
    const { float } = await readTrained(await openModelProject(dir, file), {});
    expect(float.graph.operators.map(({ op }) => op)).toEqual(['FULLY_CONNECTED', 'SOFTMAX']);
    const { stdout } = await runCli(['model', 'train', '--project', dir, '--data', file, '--epochs', '5']);
    expect(stdout).toMatch(/Network\s+a linear model, one dense layer/);
    expect(stdout.replace(/\s+/g, ' ')).toMatch(
      /Chosen linear model: \d+\.\d % on \d+ rows in 5 folds, with hidden layers \d+\.\d % Requested mlp \(model\.kind\), but a linear model is (better|as good, and simpler) on this small table; to force the mlp, use --kind mlp or set model\.layers/,
    );
  });

  it('keeps the network if no line separates the classes', async () => {
    const { result, training } = await trained(rings(200, 1), { epochs: 100 });
    expect(result.choice).toMatchObject({ kept: 'network', folds: 5 });
    expect(result.choice!.linear.accuracy).toBeLessThan(0.7);
    expect(result.choice!.network.accuracy).toBeGreaterThan(0.9);
    expect(training.network.layers).toHaveLength(2);
  });

  it('is skipped if a kind or layers are given', async () => {
    expect((await trained(clouds(150, 1), { kind: 'mlp' })).result.choice).toBeNull();
    const { result, training } = await trained(clouds(150, 1), { layers: '8' });
    expect(result.choice).toBeNull();
    expect(training.network.layers).toHaveLength(1);
  });

  it('produces a model that quantizes to int8 and is evaluated alongside the linear baseline', async () => {
    const { dir, file } = await trained(clouds(240, 2));
    const at = ['--project', dir, '--data', file];
    expect((await runCli(['model', 'quantize', ...at])).code).toBe(0);
    const { json } = await runCli(['model', 'evaluate', ...at, '--json']);
    const result = json as EvaluateResult;
    expect(result.int8.accuracy).toBeGreaterThan(0.75);
    expect(result.baseline!.accuracy).toBeCloseTo(result.float.accuracy!, 10);
    const { stdout } = await runCli(['model', 'evaluate', ...at]);
    expect(stdout).toMatch(/Linear model\s+\d+\.\d % of the same rows/);
  });

  it('measures quantization loss with a model trained without the validation rows', async () => {
    const { dir, file, training } = await trained(clouds(150, 3), { kind: 'mlp' });
    const project = await openModelProject(dir, file);
    const chosen = await readFile(buildFiles(project).chosen);
    expect(training.chosen!.digest).toBe(digestOf(chosen));
    const at = ['model', 'quantize', '--project', dir, '--data', file, '--max-loss', '100'];
    const { json } = await runCli([...at, '--json']);
    const last = training.history[training.bestEpoch - 1]!;
    // The final model was trained on these rows, so its accuracy on them would be too high.
    expect((json as QuantizeResult).loss!.float).toBeCloseTo(last.valAccuracy!, 10);
    await writeFile(buildFiles(project).chosen, 'x');
    const refused = await runCli(at);
    expect(refused.stderr).toContain('model.validated.tflite');
    expect(refused.code).not.toBe(0);
  });
});

describe('training on a small table', () => {
  it('finally trains on all rows except the test rows, and reports the earlier metrics', async () => {
    const { result, training } = await trained(clouds(150, 1));
    const { train, validation } = result.windows;
    expect(result.refitted).toBe(train + validation);
    expect(training.refitted).toBe(result.refitted);
    expect(result.metrics.valAccuracy).toBe(training.history[result.metrics.bestEpoch - 1]!.valAccuracy);
    // A second run yields the same bytes.
    expect((await trained(clouds(150, 1))).result.digest).toBe(result.digest);
  });

  it('is more accurate on unseen rows than training without the validation rows', async () => {
    const seeds = [1, 2, 3, 4, 5, 6];
    const { learn } = await import('../../../src/lib/model/train/learn.js');
    const accuracies = { all: 0, some: 0 };
    const { openMaterial } = await import('../../../src/lib/model/material.js');
    const { planTraining } = await import('../../../src/lib/model/train/plan.js');
    const { divide } = await import('../../../src/lib/model/train/examples/divide.js');
    const { examplesOfPart, lessonsOf } = await import('../../../src/lib/model/train/examples/parts.js');
    for (const seed of seeds) {
      const { dir, file } = await rowsFolder(clouds(120, seed));
      const project = await openModelProject(dir, file);
      const material = await openMaterial(project, { data: file });
      const plan = planTraining(project, material, 'mlp');
      const division = divide(project, material, plan);
      const learned = await learn(lessonsOf(material, division, undefined), {
        ...{ plan, train: { ...project.config.model.train, epochs: 40, batch: 16 } },
        ...{ backend: 'auto', description: 'test', folder: dir, refit: true },
      });
      const right = (answers: typeof learned.answers) => {
        const test = examplesOfPart(material, division, 'test');
        return (
          test.classes.filter((c, i) => answers({ ...test, inputs: test.inputs.slice() }).classes[i] === c)
            .length / test.classes.length
        );
      };
      accuracies.all += right(learned.answers) / seeds.length;
      accuracies.some += right(learned.chosen.answers) / seeds.length;
      learned.dispose();
    }
    expect(accuracies.all).toBeGreaterThan(accuracies.some);
  }, 60_000);
});
