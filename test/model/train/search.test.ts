import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../../src/lib/core/numbers.js';
import { buildFiles } from '../../../src/lib/model/files.js';
import { type SearchFile, searchFileSchema } from '../../../src/lib/model/train/result.js';
import { bestOf, drawn, paretoFront, spaceOf } from '../../../src/lib/model/train/search.js';
import { trainModel } from '../../../src/lib/model/train/train-model.js';
import { runCli } from '../../support/cli.js';
import { toyProject } from '../support.js';
import { rowsCsv, rowsFolder } from './support.js';

async function search(request: Parameters<typeof trainModel>[0]): Promise<SearchFile> {
  const result = await trainModel(request);
  if (!('candidates' in result)) throw new Error('no search');
  return result;
}

describe('a model search', () => {
  it('tries the configured model and others, and proposes the best within the limits', async () => {
    const project = await toyProject((text) => text.replace('64KiB', '6KiB'));
    const steps: string[] = [];
    const found = await search({
      project: project.dir,
      search: 6,
      epochs: 6,
      onStep: (text) => steps.push(text),
    });
    expect(found.candidates).toHaveLength(6);
    expect(found.candidates[0]).toMatchObject({
      kind: 'mlp',
      layers: [8],
      features: 'raw',
      window: 50,
      stride: 25,
    });
    expect(steps[0]).toBe('candidate 1 of 6: mlp 8, raw, window 50');
    for (const { score, arenaBytes, macs, latencyUs, refused } of found.candidates) {
      if (score === null) expect(refused).toHaveLength(1);
      else {
        expect(arenaBytes).toBeGreaterThan(0);
        expect(macs).toBeGreaterThan(0);
        expect(latencyUs).toBeGreaterThan(0);
        expect(arenaBytes! > 6 * 1024).toBe(refused.some((text) => text.startsWith('arena')));
      }
    }
    const best = found.candidates[found.best!]!;
    expect(best.refused).toEqual([]);
    expect(found.candidates.some((each) => each.pareto)).toBe(true);
    expect(found.yaml).toContain(`  kind: ${best.kind}`);
    expect(JSON.parse(await readFile(buildFiles(project).search, 'utf8'))).toEqual(found);
    const again = await search({ project: project.dir, search: 6, epochs: 6 });
    expect(again.candidates).toEqual(found.candidates);
  });

  it('never looks at the test set', async () => {
    // The same recordings, but with random values in those of the test set. Nothing may change.
    const project = await toyProject();
    const { datasetOf, openDataset } = await import('../../../src/lib/data/dataset/open.js');
    const { searchProject } = await import('../../../src/lib/model/train/search.js');
    const { splitDataset } = await import('../../../src/lib/data/split.js');
    const dataset = await openDataset(project);
    const { test } = splitDataset(dataset, project.config.model);
    const random = seededRandom(5);
    const spoiled = dataset.recordings.map((recording) =>
      test.includes(recording.id)
        ? { ...recording, columns: recording.columns.map((column) => column.map(() => random())) }
        : recording,
    );
    const other = datasetOf('toy', dataset, spoiled);
    expect(splitDataset(other, project.config.model).test).toEqual(test);
    const tried = async (own: typeof dataset) =>
      (await searchProject({ project, dataset: own, count: 2 })).candidates;
    expect(await tried(other)).toEqual(await tried(dataset));
  });

  it('varies only the layers on table rows, and scores regression models by their error', async () => {
    const { dir, file } = await rowsFolder(rowsCsv({ label: (_, value) => value.toFixed(3) }));
    const found = await search({ project: dir, data: file, search: 3, output: 'value', epochs: 5 });
    expect(found.score).toBe('rmse');
    const scores = found.candidates.map(({ score }) => score!);
    expect(scores[found.best!]).toBe(Math.min(...scores));
    expect(found.candidates.every(({ features, kind }) => features === null && kind === 'mlp')).toBe(true);
    expect(found.yaml.join('\n')).not.toContain('signal');
  });

  it('prints the Pareto front and lines for aiot.yaml, and exits with 6 if all are rejected', async () => {
    const { dir, file } = await rowsFolder(rowsCsv());
    const at = ['model', 'train', '-p', dir, '--data', file, '--search', '3', '--epochs', '5'];
    const shown = await runCli(at);
    expect(shown.stdout).toMatch(/network +features +window +macroF1 +95 % interval +arena +esp32s3, µs/);
    expect(shown.stdout).toContain('In aiot.yaml:');
    expect(shown.code).toBe(0);
    const strict = await rowsFolder(rowsCsv(), 'name: pumps\nmodel: { accept: { macs: 1 } }\n');
    const { json, code } = await runCli([
      'model',
      'train',
      '-p',
      strict.dir,
      '--data',
      strict.file,
      '--search',
      '2',
      '--epochs',
      '2',
      '--json',
      '-q',
    ]);
    expect(searchFileSchema.parse(json)).toMatchObject({ best: null, yaml: [] });
    expect(code).toBe(6);
  });

  it('keeps the tried candidates when interrupted', async () => {
    const project = await toyProject((text) => text.replace('epochs: 12', 'epochs: 3'));
    const stop = new AbortController();
    const run = trainModel({
      project: project.dir,
      search: 5,
      signal: stop.signal,
      onStep: (text) => text.startsWith('candidate 3') && stop.abort(new Error('Ctrl-C')),
    });
    await expect(run).rejects.toMatchObject({
      code: 'AIOT_INTERRUPTED',
      message: expect.stringContaining('2 of 5'),
    });
    const file = searchFileSchema.parse(JSON.parse(await readFile(buildFiles(project).search, 'utf8')));
    expect(file).toMatchObject({ interrupted: true, candidates: { length: 2 } });
  });

  it.each([
    ['an autoencoder', ['--kind', 'autoencoder']],
    ['folds', ['--folds', '3']],
  ])('rejects %s', async (_name, flags) => {
    const { dir, file } = await rowsFolder(rowsCsv());
    const { json, code } = await runCli([
      'model',
      'train',
      '-p',
      dir,
      '--data',
      file,
      '--search',
      '2',
      ...flags,
      '--json',
    ]);
    expect(json).toMatchObject({ error: { code: 'AIOT_USAGE' } });
    expect(code).toBe(2);
  });
});

describe('the Pareto front', () => {
  const of = (score: number | null, arenaBytes: number, macs: number) => ({
    score,
    arenaBytes,
    macs,
    latencyUs: null,
  });

  it('contains the candidates that no other dominates in score, arena and cost', () => {
    const found = paretoFront(
      [
        of(0.9, 100, 50),
        of(0.95, 200, 50),
        of(0.9, 120, 40),
        of(0.9, 120, 50),
        of(null, 1, 1),
        of(0.95, 200, 50),
      ],
      false,
    );
    expect(found).toEqual([true, true, true, false, false, true]);
    expect(paretoFront([of(0.2, 1, 1), of(0.1, 1, 1)], true)).toEqual([false, true]);
  });

  it('picks the best accepted candidate, and the smaller of equals', () => {
    const whole = (score: number, arenaBytes: number, refused: string[] = []) => ({
      ...of(score, arenaBytes, 1),
      ...{
        kind: 'mlp',
        layers: [1],
        features: null,
        window: null,
        stride: null,
        interval: null,
        accuracy: null,
      },
      ...{ bytes: 1, refused, pareto: true },
    });
    expect(
      bestOf([whole(0.9, 10), whole(0.99, 10, ['arena']), whole(0.95, 30), whole(0.95, 20)], false),
    ).toBe(3);
    expect(bestOf([whole(0.9, 10, ['x'])], false)).toBeNull();
  });
});

describe('the search space', () => {
  it('has feature sets that fit the fields and the requested kind', async () => {
    const project = await toyProject();
    expect(spaceOf(project, false, undefined).features).toEqual(['raw', 'spectral']);
    expect(spaceOf(project, false, 'cnn1d').features).toEqual(['raw']);
    expect(spaceOf(project, true, undefined).features).toEqual([]);
    const random = seededRandom(1);
    const choices = Array.from({ length: 200 }, () =>
      drawn(project, spaceOf(project, false, undefined), random),
    );
    expect(choices.every(({ kind, signal }) => (signal!.features === 'raw') === (kind !== 'mlp'))).toBe(true);
    expect(new Set(choices.map(({ signal }) => signal!.window))).toEqual(new Set([25, 38, 50, 75]));
  });
});
