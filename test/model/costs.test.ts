import { readFile, writeFile } from 'node:fs/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { gaussian, seededRandom } from '../../src/lib/core/numbers.js';
import { loadProject, type Project, parseProject } from '../../src/lib/core/project.js';
import { bundleProject } from '../../src/lib/model/bundle/bundle-project.js';
import { checkGolden } from '../../src/lib/model/bundle/golden.js';
import { packBundle, unpackBundle } from '../../src/lib/model/bundle/pack.js';
import { createPredictor } from '../../src/lib/model/bundle/predictor.js';
import { interfaceOf, modelPartOf } from '../../src/lib/model/bundle/signed-bundle.js';
import type { Bundle } from '../../src/lib/model/bundle/types.js';
import { evaluateProject } from '../../src/lib/model/evaluate/evaluate-project.js';
import type { EvaluateResult } from '../../src/lib/model/evaluate/result.js';
import { readTraining } from '../../src/lib/model/files.js';
import { certainty } from '../../src/lib/model/report/figures.js';
import { runCli } from '../support/cli.js';
import { toyProject, yaml } from './support.js';

/** A part that leans to one side; the more worn it is, the more it leans. Parts of neighboring classes overlap. */
function leaningCsv(label: string, take: number): string {
  const random = seededRandom(100 * take + label.length);
  const own = { calm: 0, slow: 1, fast: 2 }[label]! + 0.5 * gaussian(random);
  const rows = Array.from({ length: 75 }, () =>
    [own, 0].map((value) => (value + 0.3 * gaussian(random)).toFixed(4)).join(','),
  );
  return `x,y\n${rows.join('\n')}\n`;
}

const files = Object.fromEntries(
  ['calm', 'slow', 'fast'].flatMap((label) =>
    Array.from({ length: 80 }, (_, take) => [`${label}${take}.csv`, leaningCsv(label, take)]),
  ),
);

const costs = { fast: { calm: 6, slow: 3 } };
/** Rows are the true classes calm, slow and fast. */
const matrix = [0, 1, 1, 1, 0, 1, 6, 3, 0];
const priced = (text: string) =>
  `${text.replace(/accept:.*/, 'accept: {}')}  costs: { fast: { calm: 6, slow: 3 } }\n`;

async function build({ dir }: Project): Promise<EvaluateResult> {
  for (const step of ['train', 'quantize', 'evaluate']) {
    const result = await runCli(['model', step, '--project', dir, '--json']);
    if (result.code !== 0) throw new Error(`${step}: ${result.stdout}`);
    if (step === 'evaluate') return result.json as EvaluateResult;
  }
  throw new Error('not evaluated');
}

describe('model.costs', () => {
  let project: Project;
  let evaluated: EvaluateResult;
  let bundle: Bundle;
  beforeAll(async () => {
    project = await toyProject(priced, files);
    evaluated = await build(project);
    bundle = (await bundleProject({ project })).bundle;
  });

  it('lowers the mean cost, which follows from the confusion matrix', () => {
    const { cost, confusion, n } = evaluated;
    const sum = confusion.flat().reduce((total, count, i) => total + count * matrix[i]!, 0);
    expect(cost!.mean).toBeCloseTo(sum / n, 9);
    expect(cost!.mean).toBeLessThan(cost!.likeliest);
    const [low, high] = cost!.interval!;
    expect(low).toBeLessThan(cost!.mean);
    expect(high).toBeGreaterThan(cost!.mean);
  });

  it('finds more of the class that is expensive to miss than the largest output does', async () => {
    const plain = await loadProject(project.dir);
    delete plain.config.model.costs;
    const without = await evaluateProject({ project: plain });
    expect(without.cost).toBeNull();
    const recallOf = ({ perClass }: EvaluateResult) => perClass.find((own) => own.class === 'fast')!.recall;
    expect(recallOf(evaluated)).toBeGreaterThan(recallOf(without));
    const sum = without.confusion.flat().reduce((total, count, i) => total + count * matrix[i]!, 0);
    expect(evaluated.cost!.likeliest).toBeCloseTo(sum / without.n, 9);
    await evaluateProject({ project });
  });

  it('calibrates the probabilities, unless the project says otherwise', async () => {
    expect((await readTraining(project)).temperature).toBeGreaterThan(0);
    const calibrateOf = (text: string) => parseProject(text, 'aiot.yaml').model.train.calibrate;
    expect(calibrateOf(priced(yaml))).toBe(true);
    expect(calibrateOf(priced(yaml).replace('seed: 8', 'seed: 8, calibrate: false'))).toBe(false);
    expect(calibrateOf(yaml)).toBeUndefined();
    expect(calibrateOf(priced(yaml).replace('kind: mlp\n  layers: [8]', 'kind: forest'))).toBeUndefined();
  });

  it('is part of the bundle: each prediction has the smallest expected cost, and needs interface 9', () => {
    expect(bundle.info.answer).toEqual({ kind: 'classes', costs: matrix });
    expect(interfaceOf(bundle)).toBe(9);
    expect(modelPartOf(bundle).answer).toMatchObject({ kind: 'classes', costs: matrix });
    expect(checkGolden(bundle)).toMatchObject({ failures: [] });
    const predictor = createPredictor(bundle);
    const samples = [0, 5, 9].flatMap((take) =>
      ['calm', 'slow', 'fast'].flatMap((label) => leaningCsv(label, take).trim().split('\n').slice(1)),
    );
    const answers = samples.flatMap((line) => predictor.push(line.split(',').map(Number)) ?? []);
    for (const { index, scores } of answers) {
      const [calm = 0, slow = 0, fast = 0] = scores;
      const expected = [slow + 6 * fast, calm + 3 * fast, calm + slow];
      expect(expected[index!]).toBe(Math.min(...expected));
    }
    expect(answers.some(({ index, scores }) => scores[index!]! < Math.max(...scores))).toBe(true);
  });

  it('is shown in printed output and in the report, and makes an evaluation outdated if it changes', async () => {
    expect(certainty(evaluated)).toMatch(
      /Mean cost per window: 0\.\d+ \(95 %: 0\.\d+ to 0\.\d+\); without model\.costs, it would be [\d.]+\./,
    );
    const { stdout } = await runCli(['model', 'evaluate', '--project', project.dir]);
    expect(stdout).toMatch(
      /Mean cost +0\.\d+ per window \(95 %: 0\.\d+ to 0\.\d+\); [\d.]+ without model\.costs/,
    );
    const text = await readFile(project.file, 'utf8');
    await writeFile(project.file, text.replace('slow: 3', 'slow: 4'));
    await expect(bundleProject({ project: await loadProject(project.dir) })).rejects.toMatchObject({
      code: 'AIOT_MODEL_STALE',
    });
    await writeFile(project.file, text);
  });

  it('of a bundle must have a cost for each pair of classes', () => {
    const info = { ...bundle.info, answer: { kind: 'classes' as const, costs: [0, 1, 1, 0] } };
    expect(() => unpackBundle(packBundle({ ...bundle, info }))).toThrow('expected 9 costs, got 4');
  });

  it.each([
    ['a class that does not exist', 'costs: { fast: { walk: 2 } }', 'expected a class: calm, slow, fast'],
    [
      'a true class that does not exist',
      'costs: { walk: { fast: 2 } }',
      'expected a class: calm, slow, fast',
    ],
    ['a correct prediction', 'costs: { fast: { fast: 2 } }', 'always costs 0'],
    ['less than nothing', 'costs: { fast: { slow: -1 } }', 'model.costs.fast.slow'],
  ])('of %s are rejected', (_, text, message) => {
    expect(() => parseProject(`${yaml}  ${text}\n`, 'aiot.yaml')).toThrow(message);
  });

  it('needs a model that predicts classes', () => {
    const text = `${yaml.replace('kind: mlp', 'kind: autoencoder')}  costs: ${JSON.stringify(costs)}\n`;
    expect(() => parseProject(text, 'aiot.yaml')).toThrow('model.costs: needs model.output: classes');
  });
});
