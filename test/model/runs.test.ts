import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/lib/core/crypto.js';
import type { Project } from '../../src/lib/core/project.js';
import { bestRunSchema, runsComparisonSchema } from '../../src/lib/model/runs/compare.js';
import {
  listTrainingRuns,
  readTrainingRuns,
  runFolder,
  runsToRemove,
  type TrainingRun,
  trainingRunSchema,
  writeTrainingRun,
} from '../../src/lib/model/runs/record.js';
import type { TrainResult } from '../../src/lib/model/train/result.js';
import { trainModel } from '../../src/lib/model/train/train-model.js';
import { root, runCli } from '../support/cli.js';
import { toyProject } from './support.js';
import { rowsCsv, rowsFolder } from './train/support.js';

async function train(project: Project, more: object = {}): Promise<TrainResult> {
  return (await trainModel({ project: project.dir, epochs: 4, ...more })) as TrainResult;
}

/** Trains a run, and replaces it with copies that have these changes, in the given order. */
async function runsWith(project: Project, changes: Partial<TrainingRun>[]): Promise<TrainingRun[]> {
  await train(project);
  const [real] = await readTrainingRuns(project.dir);
  const runs = changes.map((change, i) => ({
    ...real!,
    run: `tr_${String(i).padStart(26, '0')}`,
    ...change,
  }));
  for (const run of runs) await writeTrainingRun(project.dir, run);
  await runCli(['model', 'runs', 'remove', real!.run, '-p', project.dir, '--yes', '-q']);
  return runs;
}

const valAccuracy = (value: number, interval: [number, number] | null = null) => ({
  metrics: { valAccuracy: { value, interval, folds: null } },
});

describe('a training run', () => {
  it('records settings, data, seed, metrics by fold, environment and files', async () => {
    const project = await toyProject();
    const result = await train(project, { folds: 3, seed: 5, layers: '6' });
    const runs = await listTrainingRuns(project.dir, 10);
    expect(runs).toHaveLength(1);
    const [run] = runs;
    expect(run).toMatchObject({
      run: result.run,
      kind: 'training',
      state: 'done',
      model: 'toy',
      seed: 5,
      params: { 'model.kind': 'mlp', 'model.layers': '6', 'model.train.epochs': 4, 'signal.window': 50 },
      data: { recordings: 15, samples: 15 * 300 },
      environment: { node: process.version, backend: result.backend },
      error: null,
    });
    expect(run!.environment.cpu).not.toBe('');
    const { foldsAccuracy, valAccuracy, floatBytes } = run!.metrics;
    expect(foldsAccuracy).toEqual({
      value: result.folds!.mean.accuracy!.mean,
      interval: result.folds!.mean.accuracy!.interval,
      folds: result.folds!.folds.map(({ accuracy }) => accuracy),
    });
    expect(valAccuracy).toMatchObject({
      value: result.metrics.valAccuracy,
      interval: result.metrics.valInterval,
    });
    expect(floatBytes!.value).toBe((await stat(result.file)).size);
    const folder = runFolder(project.dir, run!.run);
    expect((await readdir(folder)).sort()).toEqual([
      'folds.json',
      'model.float.tflite',
      'run.json',
      'training.json',
    ]);
    for (const { name, digest } of run!.files)
      expect(digestOf(await readFile(join(folder, name)))).toBe(digest);
    expect(run!.files[0]).toMatchObject({ name: 'model.float.tflite', digest: result.digest });
  });

  it('is listed newest first, and shown by the first characters of its id', async () => {
    const project = await toyProject();
    const first = await train(project);
    const second = await train(project, { layers: '6' });
    const list = await runCli(['model', 'runs', 'list', '-p', project.dir, '--json']);
    const runs = trainingRunSchema.array().parse(list.json);
    expect(runs.map(({ run }) => run)).toEqual([second.run, first.run]);
    const { json } = await runCli(['model', 'runs', 'list', '-p', project.dir, '-n', '1', '--json']);
    expect(json).toEqual([runs[0]]);
    const shown = await runCli([
      'model',
      'runs',
      'show',
      first.run!.slice(0, 20),
      '-p',
      project.dir,
      '--json',
    ]);
    expect(shown.json).toEqual({ ...runs[1], folder: runFolder(project.dir, first.run!) });
    const text = await runCli(['model', 'runs', 'show', '-p', project.dir]);
    expect(text.stdout).toContain(second.run);
    expect(text.stdout).toMatch(/model\.layers +6\n/);
    const table = await runCli(['model', 'runs', 'list', '-p', project.dir]);
    expect(table.stdout).toMatch(/^run +started \(UTC\) +kind +state /);
    expect(table.stdout).toMatch(/training +done +mlp 6 +valAccuracy/);
    const ambiguous = await runCli(['model', 'runs', 'show', 'tr_', '-p', project.dir, '--json']);
    expect(ambiguous).toMatchObject({
      code: 4,
      json: { error: { code: 'AIOT_NOT_FOUND', message: 'tr_ matches 2 training runs' } },
    });
  });

  it('records training on a table without aiot.yaml, and without signal settings', async () => {
    const { dir, file } = await rowsFolder(rowsCsv());
    const { choice } = (await trainModel({ project: dir, data: file, epochs: 3 })) as TrainResult;
    const [run] = await readTrainingRuns(dir);
    expect(choice!.kept).toBe('linear');
    expect(run!.params.chosen).toBe('linear');
    expect((await runCli(['model', 'runs', 'list', '-p', dir])).stdout).toMatch(/done +linear /);
    expect(run).toMatchObject({ state: 'done', data: { samples: 240 }, split: { by: 'row' } });
    expect(Object.keys(run!.params).filter((name) => name.startsWith('signal'))).toEqual([]);
  });

  it('is not created if training is rejected', async () => {
    const project = await toyProject((text) => text.replace('window: 50', 'window: 400'));
    await expect(train(project)).rejects.toMatchObject({ code: 'AIOT_TRAINING_DATA_UNFIT' });
    expect(await readdir(project.dir)).not.toContain('build');
  });

  it('is interrupted by Ctrl-C, and keeps the current model', async () => {
    const project = await toyProject();
    const stop = new AbortController();
    const training = train(project, {
      signal: stop.signal,
      onEpoch: ({ epoch }: { epoch: number }) => epoch === 2 && stop.abort(new Error('Ctrl-C')),
    });
    await expect(training).rejects.toMatchObject({ code: 'AIOT_INTERRUPTED' });
    const [run] = await readTrainingRuns(project.dir);
    expect(run).toMatchObject({ state: 'interrupted', files: [{ name: 'model.float.tflite' }, {}] });
  });

  it('is unfinished if its process was killed', async () => {
    const project = await toyProject();
    const words = [join(root, 'bin/run.js'), 'model', 'train', '-p', project.dir, '--epochs', '10000', '-q'];
    const child = spawn(process.execPath, words, { stdio: 'ignore' });
    const ended = once(child, 'exit');
    const runs = async () =>
      existsSync(join(project.dir, 'build', 'runs')) ? readTrainingRuns(project.dir) : [];
    const deadline = performance.now() + 60_000;
    while ((await runs()).length === 0 && performance.now() < deadline) await delay(20);
    expect(await runs()).toMatchObject([{ state: 'running' }]);
    const [run] = await runs();
    const busy = await runCli(['model', 'runs', 'remove', run!.run, '-p', project.dir, '--yes', '--json']);
    expect(busy).toMatchObject({ code: 2, json: { error: { code: 'AIOT_USAGE' } } });
    expect(await runsToRemove(project.dir, { keep: 0 })).toEqual([]);
    child.kill('SIGKILL');
    await ended;
    expect(await runs()).toMatchObject([{ state: 'unfinished', ended: null, metrics: {} }]);
    expect(await runsToRemove(project.dir, { keep: 0 })).toEqual([run!.run]);
  }, 90_000);

  it('fails, with the reason, if the training diverges', async () => {
    const project = await toyProject((text) => text.replace('learningRate: 0.01', 'learningRate: 1e30'));
    await expect(train(project)).rejects.toMatchObject({ code: 'AIOT_TRAINING_DIVERGED' });
    expect(await readTrainingRuns(project.dir)).toMatchObject([
      { state: 'failed', error: { code: 'AIOT_TRAINING_DIVERGED' }, files: [] },
    ]);
  });
});

describe('aiot model runs remove', () => {
  it('removes one run, all but the newest, or old ones', async () => {
    const project = await toyProject();
    const runs = await runsWith(project, [{}, {}, {}, {}]);
    const remove = async (...words: string[]) =>
      (await runCli(['model', 'runs', 'remove', ...words, '-p', project.dir, '--yes', '--json'])).json;
    expect(await remove(runs[1]!.run)).toEqual({ removed: [runs[1]!.run], left: 3 });
    expect(await remove('--keep', '2')).toEqual({ removed: [runs[0]!.run], left: 2 });
    // The times in these ids are in 1970.
    expect(await remove('--older-than', '24h')).toEqual({ removed: [runs[2]!.run, runs[3]!.run], left: 0 });
    expect(await readdir(join(project.dir, 'build', 'runs'))).toEqual([]);
    expect(await readdir(join(project.dir, 'build'))).toContain('model.float.tflite');
  });

  it('requires exactly one criterion, and a confirmation', async () => {
    const project = await toyProject();
    const [run] = await runsWith(project, [{}]);
    for (const words of [[], [run!.run, '--keep', '1'], ['--keep', '1', '--older-than', '1h']]) {
      const { json, code } = await runCli(['model', 'runs', 'remove', ...words, '-p', project.dir, '--json']);
      expect(json).toMatchObject({ error: { code: 'AIOT_USAGE', message: /exactly one/ } });
      expect(code).toBe(2);
    }
    const silent = await runCli(['model', 'runs', 'remove', run!.run, '-p', project.dir, '--json']);
    expect(silent).toMatchObject({ code: 2, json: { error: { code: 'AIOT_USAGE' } } });
    expect(await readTrainingRuns(project.dir)).toHaveLength(1);
  });

  it('removes a damaged record that `list` reports', async () => {
    const project = await toyProject();
    const runs = await runsWith(project, [{}, {}]);
    const file = join(runFolder(project.dir, runs[0]!.run), 'run.json');
    for (const [text, what] of [
      ['{', 'is not valid JSON'],
      [JSON.stringify({ ...runs[0], seed: 'x' }), 'seed: '],
    ] as const) {
      await writeFile(file, text);
      const { json, code } = await runCli(['model', 'runs', 'list', '-p', project.dir, '--json']);
      expect(code).toBe(2);
      expect(json).toMatchObject({
        error: {
          code: 'AIOT_FILE_MALFORMED',
          message: expect.stringContaining(what),
          next: expect.stringContaining(`aiot model runs remove ${runs[0]!.run}`),
        },
      });
    }
    await runCli(['model', 'runs', 'remove', runs[0]!.run, '-p', project.dir, '--yes', '-q']);
    expect((await readTrainingRuns(project.dir)).map(({ run }) => run)).toEqual([runs[1]!.run]);
  });

  it('rejects a missing project folder and an unknown run', async () => {
    const project = await toyProject();
    const missing = await runCli(['model', 'runs', 'list', '-p', join(project.dir, 'none'), '--json']);
    expect(missing).toMatchObject({ code: 4, json: { error: { code: 'AIOT_FILE_NOT_FOUND' } } });
    const none = await runCli(['model', 'runs', 'show', '-p', project.dir, '--json']);
    expect(none).toMatchObject({
      code: 4,
      json: { error: { code: 'AIOT_NOT_FOUND', next: expect.stringContaining('aiot model train') } },
    });
    const empty = await runCli(['model', 'runs', 'list', '-p', project.dir]);
    expect(empty).toMatchObject({ code: 0, stdout: expect.stringContaining('No training runs yet.') });
  });
});

describe('aiot model runs compare', () => {
  it('shows the settings that differ, and the best run by each metric', async () => {
    const project = await toyProject();
    const a = await train(project);
    const b = await train(project, { layers: '6', folds: 3 });
    const { json } = await runCli(['model', 'runs', 'compare', a.run!, b.run!, '-p', project.dir, '--json']);
    const comparison = runsComparisonSchema.parse(json);
    expect(comparison).toMatchObject({ sameData: true, sameSplit: true });
    expect(comparison.params).toEqual([{ name: 'model.layers', values: ['8', '6'] }]);
    const metric = (name: string) => comparison.metrics.find((each) => each.name === name);
    expect(metric('foldsMacroF1')).toMatchObject({ values: [null, {}], best: null, higherIsBetter: true });
    const losses = metric('loss')!.values.map((each) => each!.value);
    expect(metric('loss')).toMatchObject({ higherIsBetter: false, best: losses[0]! < losses[1]! ? 0 : 1 });
    const all = await runCli(['model', 'runs', 'compare', '-p', project.dir]);
    expect(all.stdout).toContain('model.layers');
  });

  it('warns about different data and a different split', async () => {
    const project = await toyProject();
    const runs = await runsWith(project, [{}, { split: { by: 'recording', digest: 'sha256:1' } }]);
    const { stdout } = await runCli(['model', 'runs', 'compare', '-p', project.dir]);
    expect(stdout).toContain('different splits');
    const data = { ...runs[1]!.data, digest: 'sha256:2' };
    await writeTrainingRun(project.dir, { ...runs[1]!, data });
    const words = ['model', 'runs', 'compare', runs[0]!.run, runs[1]!.run, '-p', project.dir];
    expect((await runCli(words)).stdout).toContain('different data');
    const alone = await runCli(['model', 'runs', 'compare', '-p', project.dir, '--json']);
    expect(alone).toMatchObject({ code: 4, json: { error: { code: 'AIOT_NOT_FOUND' } } });
  });

  it.each([
    ['one run', (run: string) => [run], 'AIOT_USAGE'],
    ['the same run twice', (run: string) => [run, run], 'AIOT_USAGE'],
    ['an unknown run', (run: string) => [run, 'tr_zz'], 'AIOT_NOT_FOUND'],
  ])('rejects %s', async (_name, words, code) => {
    const project = await toyProject();
    const [run] = await runsWith(project, [{}]);
    const { json } = await runCli([
      ...['model', 'runs', 'compare', ...words(run!.run)],
      ...['-p', project.dir, '--json'],
    ]);
    expect(json).toMatchObject({ error: { code } });
  });
});

describe('aiot model runs best', () => {
  const best = async (project: Project, ...words: string[]) => {
    const result = await runCli(['model', 'runs', 'best', ...words, '-p', project.dir, '--json']);
    return result.code === 0 ? bestRunSchema.parse(result.json) : result.json;
  };

  it('selects the highest accuracy or the lowest loss, and lists equally good runs', async () => {
    const project = await toyProject();
    const runs = await runsWith(project, [
      valAccuracy(0.9, [0.85, 0.95]),
      valAccuracy(0.96, [0.93, 0.98]),
      valAccuracy(0.7, [0.6, 0.8]),
    ]);
    expect(await best(project)).toMatchObject({
      metric: 'valAccuracy',
      higherIsBetter: true,
      best: { run: runs[1]!.run },
      folder: runFolder(project.dir, runs[1]!.run),
      compared: 3,
      close: [runs[0]!.run],
      excluded: [],
    });
    const { stdout } = await runCli(['model', 'runs', 'best', '-p', project.dir]);
    expect(stdout).toContain('0.9600 (95 %: 0.9300–0.9800)');
    const loss = (value: number) => ({ metrics: { valLoss: { value, interval: null, folds: null } } });
    const other = await toyProject();
    const [, low] = await runsWith(other, [loss(0.5), loss(0.2), loss(0.3)]);
    expect(await best(other)).toMatchObject({ metric: 'valLoss', best: { run: low!.run }, close: [] });
  });

  it('excludes leaking, rejected and incomparable runs, with the reason', async () => {
    const project = await toyProject();
    const runs = await runsWith(project, [
      { ...valAccuracy(0.99), leaks: ['a copy'] },
      { ...valAccuracy(0.98), refused: ['arena, bytes: expected at most 10, got 20'] },
      { ...valAccuracy(0.97), split: { by: 'recording', digest: 'sha256:1' } },
      { ...valAccuracy(0.96), state: 'interrupted' },
      { metrics: { foldsMacroF1: { value: 0.95, interval: null, folds: null } } },
      valAccuracy(0.5),
    ]);
    expect(await best(project)).toMatchObject({
      best: { run: runs[5]!.run },
      compared: 1,
      excluded: [
        { run: runs[0]!.run, reason: 'its split leaks' },
        { run: runs[1]!.run, reason: expect.stringContaining('model.accept: arena') },
        { run: runs[2]!.run, reason: 'another split' },
        { run: runs[4]!.run, reason: 'it has no valAccuracy' },
      ],
    });
    expect(await best(project, '--metric', 'valAcuracy')).toMatchObject({
      error: {
        code: 'AIOT_USAGE',
        message: expect.stringContaining('Did you mean valAccuracy?'),
        next: 'Choose one of foldsMacroF1, valAccuracy.',
      },
    });
  });

  it('rejects a project without comparable runs', async () => {
    const project = await toyProject();
    expect(await best(project)).toMatchObject({ error: { code: 'AIOT_NOT_FOUND' } });
    await runsWith(project, [{ ...valAccuracy(0.9), leaks: ['a copy'] }]);
    expect(await best(project)).toMatchObject({
      error: { code: 'AIOT_NOT_FOUND', message: expect.stringContaining('its split leaks') },
    });
  });

  it('names each run that cannot be compared, and compares earlier runs if a search has only rejected candidates', async () => {
    const project = await toyProject();
    const candidate = (value: number) => ({
      metrics: { innerMacroF1: { value, interval: null, folds: null } },
      refused: ['macroF1: expected at least 0.9'],
    });
    const rejected = await runsWith(project, [candidate(0.5), candidate(0.6)]);
    expect(await best(project)).toMatchObject({
      error: {
        code: 'AIOT_NOT_FOUND',
        message: `none of 2 finished training runs can be compared by innerMacroF1. ${rejected.map(({ run }) => `${run}: it violates model.accept: macroF1: expected at least 0.9`).join('. ')}`,
        next: expect.stringContaining('model.accept'),
      },
    });
    const other = await toyProject();
    const runs = await runsWith(other, [valAccuracy(0.93), candidate(0.5)]);
    expect(await best(other)).toMatchObject({
      metric: 'valAccuracy',
      best: { run: runs[0]!.run },
      excluded: [{ run: runs[1]!.run, reason: 'it violates model.accept: macroF1: expected at least 0.9' }],
    });
  });
});

describe('the trials of a search', () => {
  it('are runs with inner-fold metrics and costs, and share the search’s ID', async () => {
    const project = await toyProject((text) => text.replace('macroF1: 0.9', 'macroF1: 0.1'));
    const found = await trainModel({ project: project.dir, search: 3, epochs: 3 });
    if (!('candidates' in found)) throw new Error('no search');
    const runs = await readTrainingRuns(project.dir);
    expect(runs.map(({ run }) => run)).toEqual(found.runs);
    expect(new Set(runs.map(({ search }) => search)).size).toBe(1);
    for (const [i, run] of runs.entries()) {
      const candidate = found.candidates[i]!;
      expect(run).toMatchObject({
        kind: 'trial',
        params: { 'model.kind': candidate.kind, 'model.layers': candidate.layers.join('-') },
        files: [],
      });
      if (candidate.score === null) {
        expect(run).toMatchObject({ state: 'failed', error: { message: candidate.refused[0] } });
        continue;
      }
      const { innerMacroF1, arenaBytes } = run.metrics;
      expect(innerMacroF1).toMatchObject({ value: candidate.score, interval: candidate.interval });
      const { folds } = innerMacroF1!;
      expect(folds!.reduce((sum, value) => sum + value, 0) / folds!.length).toBeCloseTo(candidate.score, 10);
      expect(arenaBytes!.value).toBe(candidate.arenaBytes);
      expect(run.refused).toEqual(candidate.refused);
    }
    const { json } = await runCli(['model', 'runs', 'best', '-p', project.dir, '--json']);
    expect(found.best).not.toBeNull();
    expect(json).toMatchObject({ metric: 'innerMacroF1', best: { run: found.runs[found.best!] } });
  });
});

describe('the report of training runs', () => {
  it('has a table and a parallel-coordinates plot, with the best run highlighted', async () => {
    const project = await toyProject();
    const runs = await runsWith(project, [
      { ...valAccuracy(0.8), params: { 'model.kind': 'mlp', 'model.layers': '8', 'model.train.epochs': 4 } },
      {
        ...valAccuracy(0.9),
        params: { 'model.kind': 'mlp', 'model.layers': '<b>', 'model.train.epochs': 8 },
      },
      { ...valAccuracy(1), leaks: ['a copy'], params: { 'model.kind': 'cnn1d', 'model.train.epochs': 6 } },
    ]);
    const file = join(project.dir, 'runs.html');
    const { stderr } = await runCli(['model', 'runs', 'compare', '-p', project.dir, '--report', file]);
    expect(stderr).toContain('report: ');
    const page = await readFile(file, 'utf8');
    const lines = [
      ...page.matchAll(/<polyline class="line ([^"]+)" points="([^"]+)"><title>(tr_\w+)<\/title>/g),
    ];
    expect(lines.map(([, kind, , run]) => [run, kind])).toEqual([
      [runs[0]!.run, 'series-1 faint'],
      [runs[2]!.run, 'series-1 faint'],
      [runs[1]!.run, 'series-2'],
    ]);
    // Kind, layers, epochs and accuracy; the run without layers has no point on that axis.
    expect(lines.map(([, , points]) => points!.split(' ').length)).toEqual([4, 3, 4]);
    const heights = (line: number) => lines[line]![2]!.split(' ').map((point) => Number(point.split(',')[1]));
    expect(heights(2).at(-2)).toBeLessThan(heights(0).at(-2)!);
    expect(heights(1).at(-1)).toBeLessThan(heights(2).at(-1)!);
    expect(page).toContain('&lt;b&gt;');
    expect(page).not.toContain('<b>&');
    expect(page).toMatch(/<td[^>]*>best<\/td>/);
  });

  it('is part of a training’s report if there are several runs on the same data', async () => {
    const project = await toyProject();
    const file = join(project.dir, 'training.html');
    await train(project, { report: file });
    expect(await readFile(file, 'utf8')).not.toContain('Training runs');
    const { run } = await train(project, { report: file, layers: '4' });
    const page = await readFile(file, 'utf8');
    expect(page).toContain('<h2>Training runs</h2>');
    expect(page).toMatch(new RegExp(`series-2" points="[^"]+"><title>${run}<`));
    await writeFile(join(runFolder(project.dir, run!), 'run.json'), '{');
    await runCli(['model', 'train', '-p', project.dir, '--epochs', '2', '--report', file, '-q']);
    expect(await readFile(file, 'utf8')).not.toContain('Training runs');
  });
});
