import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { buildFiles } from '../../../src/lib/model/files.js';
import { tInterval, tQuantile } from '../../../src/lib/model/train/folds.js';
import type { FoldsFile } from '../../../src/lib/model/train/result.js';
import { trainModel } from '../../../src/lib/model/train/train-model.js';
import { runCli } from '../../support/cli.js';
import { toyProject } from '../support.js';
import { rowsCsv, rowsFolder } from './support.js';

async function folds(request: Parameters<typeof trainModel>[0]): Promise<FoldsFile> {
  const result = await trainModel(request);
  if (!('folds' in result) || result.folds === null || typeof result.folds === 'number')
    throw new Error('no folds');
  return result.folds;
}

describe('cross-validation', () => {
  it('tests each recording once, and never trains on part of it', async () => {
    const project = await toyProject();
    const found = await folds({ project: project.dir, folds: 5, epochs: 12 });
    expect(found.folds).toHaveLength(5);
    const groups = found.folds.flatMap((fold) => fold.groups);
    expect(groups).toHaveLength(15);
    expect(new Set(groups).size).toBe(15);
    // Each fold contains one recording of each class.
    for (const fold of found.folds)
      expect(fold.groups.map((id) => id.replace(/\d/, '')).sort()).toEqual(['calm', 'fast', 'slow']);
    const { accuracy } = found.pooled;
    expect(found.confusion!.flat().reduce((a, b) => a + b, 0)).toBe(165);
    expect(accuracy!.value).toBeCloseTo(found.mean.accuracy!.mean, 9);
    expect(accuracy!.interval![0]).toBeLessThanOrEqual(accuracy!.value);
    expect(found.together).toMatchObject({
      ...{ folds: 5, windows: 165, groups: 15, accuracy: accuracy!.value, interval: accuracy!.interval },
      ...{ macroF1: found.pooled.macroF1!.value, rmse: null },
    });
    expect(found).toMatchObject({ vote: 'majority:3', configDigest: expect.stringMatching(/^sha256:/) });
    // Smoothing corrects single windows within a recording.
    expect(found.together.voted!.accuracy).toBeGreaterThanOrEqual(accuracy!.value);
    expect(JSON.parse(await readFile(buildFiles(project).folds, 'utf8'))).toEqual(found);
  });

  it('leaves out one recording at a time', async () => {
    const project = await toyProject();
    const found = await folds({ project: project.dir, leaveOneOut: 'recording', epochs: 3 });
    expect(found.folds.map((fold) => fold.groups)).toEqual(
      ['calm', 'fast', 'slow'].flatMap((label) => [1, 2, 3, 4, 5].map((take) => [`${label}${take}`])),
    );
    // A recording has only one class, so only all of them together have a macro-F1.
    expect(found.mean.macroF1).toBeNull();
    expect(found.pooled.macroF1!.value).toBeGreaterThan(0.3);
  });

  it('names the labels that a fold does not test', async () => {
    let row = 0;
    // Only the first three of eight pumps have the label.
    const label = (c: number) => (row++ % 8 < 3 ? 'rare' : c === 1 ? 'high' : 'low');
    const { dir, file } = await rowsFolder(rowsCsv({ groups: true, label }));
    const options = ['-p', dir, '--data', file, '--epochs', '3', '--folds', '5'];
    const { stdout, code } = await runCli(['model', 'train', ...options]);
    expect(code).toBe(0);
    const { folds: all, classes }: FoldsFile = JSON.parse(
      await readFile(join(dir, 'build', 'folds.json'), 'utf8'),
    );
    expect(classes).toContain('rare');
    const lacking = all.filter(({ untested }) => untested.includes('rare'));
    expect(lacking.length).toBeGreaterThan(1);
    expect(stdout).toContain(`not tested: rare in ${lacking.length} of 5 folds. The macro-F1`);
  });

  it('leaves out groups of rows, and requires a group column', async () => {
    const { dir, file } = await rowsFolder(rowsCsv({ groups: true }));
    const found = await folds({ project: dir, data: file, leaveOneOut: 'device', epochs: 20 });
    expect(found).toMatchObject({ by: 'group', folds: { length: 8 } });
    expect(found.pooled.accuracy!.value).toBeGreaterThan(0.6);
    const plain = await rowsFolder(rowsCsv());
    const { json, code } = await runCli([
      ...['model', 'train', '-p', plain.dir, '--data', plain.file, '--leave-one-out', 'device', '--json'],
    ]);
    expect(json).toMatchObject({ error: { code: 'AIOT_USAGE', next: expect.stringContaining('--folds') } });
    expect(code).toBe(2);
  });

  it('reports regression errors in the unit of the labels', async () => {
    const { dir, file } = await rowsFolder(rowsCsv({ label: (_, value) => value.toFixed(3) }));
    const found = await folds({ project: dir, data: file, folds: 3, output: 'value', epochs: 20 });
    expect(found.pooled).toMatchObject({ accuracy: null, rmse: { value: expect.any(Number) } });
    expect(found.confusion).toBeNull();
  });

  it('prints each fold, the mean, and its interval', async () => {
    const { dir, file } = await rowsFolder(rowsCsv());
    const { stdout } = await runCli([
      'model',
      'train',
      '-p',
      dir,
      '--data',
      file,
      '--folds',
      '3',
      '--epochs',
      '5',
    ]);
    expect(stdout).toMatch(/fold +examples +accuracy +macroF1\n +1 +80 /);
    expect(stdout).toMatch(/accuracy, mean +0\.\d{4}, 95 % interval 0\.\d{4} to [01]\.\d{4}/);
    expect(stdout).toContain("Student's t over 3 folds");
  });

  it('rejects more folds than recordings', async () => {
    const project = await toyProject();
    await expect(trainModel({ project: project.dir, folds: 16, epochs: 1 })).rejects.toMatchObject({
      code: 'AIOT_DATA_TOO_FEW',
    });
  });
});

describe('the confidence interval of a mean', () => {
  // NIST/SEMATECH e-Handbook of Statistical Methods, table 1.3.6.7.2
  it.each([
    [1, 12.706],
    [4, 2.776],
    [10, 2.228],
    [11, 2.201],
    [29, 2.045],
    [100, 1.984],
  ])('with %d degrees of freedom uses t = %d', (freedom, expected) => {
    expect(tQuantile(freedom)).toBeCloseTo(expected, 3);
  });

  it('matches a manual calculation, and is null for a single value', () => {
    // Calculated by hand: the squared deviations sum to 0.00548, so s/√n = √(0.00548 / 4 / 5) = 0.016553; times 2.776.
    const { mean, interval } = tInterval([0.9, 0.95, 0.97, 0.88, 0.94])!;
    expect(mean).toBeCloseTo(0.928, 9);
    expect(interval![0]).toBeCloseTo(0.88204, 4);
    expect(interval![1]).toBeCloseTo(0.97396, 4);
    expect(tInterval([0.5])).toEqual({ mean: 0.5, interval: null });
    expect(tInterval([])).toBeNull();
    expect(tInterval([0.99, 1, 1], 1)!.interval![1]).toBe(1);
  });
});
