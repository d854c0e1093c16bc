import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { foldsText } from '../../src/lib/core/figures.js';
import { seededRandom } from '../../src/lib/core/numbers.js';
import type { Project } from '../../src/lib/core/project.js';
import { type EvaluateResult, evaluateResultSchema } from '../../src/lib/model/evaluate/result.js';
import { runCli } from '../support/cli.js';
import { temporaryFolder, toyProject } from './support.js';

async function build(dir: string, ...data: string[]): Promise<EvaluateResult> {
  const at = ['--project', dir, ...data, '--json'];
  for (const step of ['train', 'quantize', 'evaluate']) {
    const result = await runCli(['model', step, ...at]);
    if (result.code !== 0) throw new Error(`${step}: ${result.stdout}`);
    if (step === 'evaluate') return result.json as EvaluateResult;
  }
  throw new Error('not evaluated');
}

/** Creates a folder with an aiot.yaml and rows with two inputs, the first of which determines the class. */
async function tableProject(
  model: string,
  labelOf: (x: number) => string,
): Promise<{ dir: string; data: string }> {
  const dir = await temporaryFolder();
  const random = seededRandom(3);
  const lines = Array.from({ length: 240 }, () => {
    const [x, y] = [random() * 4 - 2, random()];
    return `${x},${y},${labelOf(x)}`;
  });
  await writeFile(join(dir, 'aiot.yaml'), `name: rows\nmodel:\n  kind: mlp\n  layers: [8]\n${model}`);
  const data = join(dir, 'rows.csv');
  await writeFile(data, `x,y,label\n${lines.join('\n')}\n`);
  return { dir, data };
}

describe('aiot model evaluate of a project', () => {
  it('names the commands that evaluate the model on other recordings, and these work', async () => {
    const project = await toyProject();
    await build(project.dir);
    const fresh = join(project.dir, 'fresh');
    await cp(join(project.dir, 'data'), fresh, { recursive: true });
    await rm(join(fresh, 'calm1.csv'));
    const { json } = await runCli(['model', 'evaluate', '--project', project.dir, '--data', fresh, '--json']);
    const { code, message, next } = (json as { error: { code: string; message: string; next: string } })
      .error;
    expect([code, message]).toEqual([
      'AIOT_MODEL_STALE',
      `the recordings in ${fresh} are not those that the model was trained and tested on`,
    ]);
    const out = join(project.dir, 'features.csv');
    const commands = [...next.matchAll(/`aiot ([^`]+)`/g)].map(([, line]) =>
      line!.replaceAll('features.csv', out).split(' '),
    );
    expect(commands).toHaveLength(2);
    expect(await runCli([...commands[0]!, '--json'])).toMatchObject({ code: 0 });
    const evaluated = await runCli([...commands[1]!, '--json']);
    expect(evaluated).toMatchObject({ code: 0 });
    expect((evaluated.json as { accuracy: number }).accuracy).toBeGreaterThan(0.8);
  });

  it('reports all metrics of a classifier on both runtimes, and its worst errors', async () => {
    const project: Project = await toyProject((text) =>
      text.replace('epochs: 12', 'epochs: 1').replace(/ +accept:.*\n/, ''),
    );
    const value = await build(project.dir);
    expect(evaluateResultSchema.parse(value)).toEqual(value);
    expect(value).toMatchObject({ output: 'classes', runtime: 'device', precision: 'int8', mae: null });
    expect(value.n).toBe(value.int8.windows);
    expect(value.accuracy).toBe(value.int8.accuracy);
    expect(value.macroF1).toBe(value.int8.macroF1);
    expect(value.auc).toBe(value.int8.auc);
    expect(value.calibration.reduce((sum, { rows }) => sum + rows, 0)).toBe(value.n);
    expect(value.groups).toBe(3);
    expect(value.interval![0]).toBeLessThan(value.accuracy!);
    // Each class has one test recording, so resampling recordings within their classes changes nothing and yields no
    // interval.
    expect(value.intervals.macroF1).toBeNull();
    expect(value.folds).toBeNull();
    const wrong = value.confusion.reduce((sum, row, c) => sum + row.reduce((a, b) => a + b, 0) - row[c]!, 0);
    expect(value.worst).toHaveLength(Math.min(6, wrong));
    for (const { recording, window, startS, samples } of value.worst) {
      expect(recording).toMatch(/^(calm|slow|fast)\d$/);
      expect(startS).toBeCloseTo(window! * 0.5, 6);
      expect(samples).toMatchObject({ fields: ['x', 'y'], seconds: 1 });
    }
    const litert = await runCli([
      'model',
      'evaluate',
      '--project',
      project.dir,
      '--runtime',
      'litert',
      '--json',
    ]);
    expect(litert.json).toMatchObject({ runtime: 'litert', accuracy: value.litert!.accuracy });
  });

  it('applies --gate limits in addition to those in aiot.yaml', async () => {
    const project = await toyProject();
    await build(project.dir);
    const flags = ['--project', project.dir, '--gate', 'auc=1.1', '--gate', 'macs=10', '--json'];
    const { json, code } = await runCli(['model', 'evaluate', ...flags]);
    expect(code).toBe(6);
    const { gates } = json as EvaluateResult;
    expect(gates.filter(({ passed }) => !passed).map(({ name }) => name)).toEqual(['auc', 'macs']);
    const misplaced = await runCli([
      'model',
      'evaluate',
      '--project',
      project.dir,
      '--classes',
      'a,b',
      '--json',
    ]);
    expect(misplaced.json).toMatchObject({ error: { code: 'AIOT_USAGE' } });
  });

  it('evaluates a probability model trained on table rows', async () => {
    const model = '  output: probability\n  train: { epochs: 30, batch: 16, seed: 3, learningRate: 0.02 }\n';
    const { dir, data } = await tableProject(model, (x) => (x > 0 ? '1' : '0'));
    const value = await build(dir, '--data', data);
    expect(value).toMatchObject({ output: 'probability', threshold: 0.5, classes: ['0', '1'] });
    expect(value.accuracy).toBeGreaterThan(0.9);
    expect(value.auc).toBeGreaterThan(0.97);
    expect(value.worst.every(({ samples, window }) => samples === null && window === null)).toBe(true);
    const report = join(dir, 'report.html');
    const { code, stdout } = await runCli([
      'model',
      'evaluate',
      '--project',
      dir,
      '--data',
      data,
      '--report',
      report,
    ]);
    expect(code).toBe(0);
    // Independent rows have no recordings and no windows, so nothing is smoothed.
    expect(value.voted).toBeNull();
    expect(stdout).not.toMatch(/voted|recording|window| –/);
    expect(await readFile(report, 'utf8')).toContain('Calibration');
  });

  it('shows cross-validation metrics only while they match the data and settings', async () => {
    const { dir } = await toyProject();
    const train = async (...flags: string[]) =>
      expect((await runCli(['model', 'train', '--project', dir, ...flags])).code).toBe(0);
    await train('--folds', '5');
    expect((await runCli(['model', 'quantize', '--project', dir])).code).toBe(0);
    const report = join(dir, 'report.html');
    const { stdout } = await runCli(['model', 'evaluate', '--project', dir, '--report', report]);
    const { folds } = await build(dir);
    expect(folds).toMatchObject({ folds: 5, windows: 165, groups: 15, rmse: null });
    expect(folds!.voted!.macroF1).toBeGreaterThan(0.5);
    const sentence = foldsText(folds!, 'window');
    expect(sentence).toMatch(/^[\d.]+ % of 165 windows in 15 recordings \(95 %: .*smoothed; 5 folds, float$/);
    expect(stdout).toContain(sentence);
    const page = await readFile(report, 'utf8');
    expect(page).toContain(`Cross-validation: ${sentence}`);
    const [, accuracy = ''] = /^Accuracy +(.+ \(95 %: .+\))$/m.exec(stdout) ?? [];
    expect(accuracy).toMatch(/ windows in \d+ recordings /);
    expect(page).toContain(`Accuracy: ${accuracy}`);
    expect(page).toContain('<h2>Cross-validation');
    await train('--epochs', '13');
    await runCli(['model', 'quantize', '--project', dir]);
    const other = await runCli(['model', 'evaluate', '--project', dir, '--json']);
    expect(other.json).toMatchObject({ folds: null, n: expect.any(Number) });
  });

  it('measures a regression output by its errors', async () => {
    const model = '  output: value\n  train: { epochs: 40, batch: 16, seed: 3, learningRate: 0.02 }\n';
    const { dir, data } = await tableProject(model, (x) => String(3 * x + 1));
    const value = await build(dir, '--data', data);
    expect(value).toMatchObject({
      output: 'value',
      accuracy: null,
      voted: null,
      agreement: null,
      classes: [],
    });
    expect(value.mae).toBeLessThan(1);
    expect(value.r2).toBeGreaterThan(0.8);
    expect(value.interval![0]).toBeLessThan(value.mae!);
    const report = join(dir, 'report.html');
    const flags = [
      '--project',
      dir,
      '--data',
      data,
      '--report',
      report,
      '--gate',
      'mae=1',
      '--gate',
      'r2=0.8',
    ];
    const people = await runCli(['model', 'evaluate', ...flags]);
    expect(people.code).toBe(0);
    expect(people.stdout).toContain('mean abs. error');
    expect(await readFile(report, 'utf8')).toContain('Mean absolute error');
  });
});
