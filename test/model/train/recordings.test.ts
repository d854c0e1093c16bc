import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readTrained } from '../../../src/lib/model/build-folder.js';
import { readTraining } from '../../../src/lib/model/files.js';
import { trainProject } from '../../../src/lib/model/train/train-project.js';
import { runCli } from '../../support/cli.js';
import { toyCsv, toyProject } from '../support.js';

const without = (text: string) => text.replace(/ {2}labels: .*\n/, '');

describe('training on recordings', () => {
  it('rejects a split by window as a leak, or with --force warns first', async () => {
    const project = await toyProject();
    const at = ['model', 'train', '--project', project.dir, '--split', 'window'];
    const refused = await runCli([...at, '--json']);
    expect(refused.json).toMatchObject({ error: { code: 'AIOT_DATA_LEAK' } });
    expect(refused.code).toBe(6);
    await expect(readFile(join(project.dir, 'build/model.float.tflite'))).rejects.toThrow('ENOENT');
    const report = join(project.dir, 'report.html');
    const forced = await runCli([...at, '--force', '--report', report]);
    expect(forced.code).toBe(0);
    expect(forced.stdout).toMatch(/^✗ Leaking split, metrics are too optimistic: The split is by window/);
    const training = await readTraining(project);
    expect(training).toMatchObject({
      split: { by: 'window' },
      leaks: [expect.stringContaining('by window')],
    });
    const page = await readFile(report, 'utf8');
    expect(page).toMatch(/<main>\s*<p class="bad"><b>Leaking split:<\/b> The split is by window/);
    // All parts contain windows from each recording, and no window occurs twice.
    const { examples } = await readTrained(project, {});
    const counts = (['train', 'validation', 'test'] as const).map((part) => examples(part).classes.length);
    expect(counts.reduce((a, b) => a + b, 0)).toBe(15 * 11);
    expect(new Set(examples('test').recordings).size).toBe(15);
  });

  it('learns normal behavior from unlabeled recordings', async () => {
    const files = Object.fromEntries(
      [1, 2, 3, 4, 5, 6].map((take) => [`7${take}.csv`, toyCsv('calm', take)]),
    );
    const project = await toyProject(
      (text) => without(text).replace('kind: mlp', 'kind: autoencoder').replace('[8]', '[8, 2]'),
      files,
    );
    const result = await trainProject({ project });
    expect(result).toMatchObject({ output: 'reconstruction', classes: ['normal', 'anomaly'] });
    const { examples, training } = await readTrained(project, {});
    expect(training.threshold).toBeGreaterThan(0);
    expect(new Set(examples('test').classes)).toEqual(new Set([0]));
  });

  it('holds out every labeled anomaly for evaluation', async () => {
    const project = await toyProject((text) =>
      text
        .replace('kind: mlp', 'kind: autoencoder')
        .replace('calm: [calm], slow: [slow], fast: [fast]', 'calm: [calm], moving: [slow, fast]'),
    );
    const result = await trainProject({ project });
    expect(result.classes).toEqual(['calm', 'moving']);
    const { training, examples } = await readTrained(project, {});
    expect(training.split.train.every((id) => id.startsWith('calm'))).toBe(true);
    expect(training.split.test.filter((id) => !id.startsWith('calm'))).toHaveLength(10);
    expect(training.labels).toEqual({ calm: ['calm'], moving: ['slow', 'fast'] });
    expect(examples('test').classes.filter((c) => c === 1)).toHaveLength(110);
  });

  it('learns values from recordings with numeric labels', async () => {
    const files = Object.fromEntries(
      [1, 2, 3, 4, 5, 6, 7, 8].map((take) => [`take${take}.csv`, toyCsv(take % 2 ? 'slow' : 'fast', take)]),
    );
    const project = await toyProject(
      (text) => without(text).replace('kind: mlp', 'kind: mlp\n  output: value'),
      files,
    );
    const { datasetOf, openDataset } = await import('../../../src/lib/data/dataset/open.js');
    const opened = await openDataset(project);
    const recordings = opened.recordings.map((recording, i) => ({
      ...recording,
      label: i % 2 ? '20' : '10',
    }));
    const dataset = datasetOf('toy', opened, recordings);
    const result = await trainProject({ project, dataset });
    expect(result).toMatchObject({ output: 'value', classes: [] });
    expect(result.metrics.valRmse).toBeLessThan(4);
    const named = {
      ...dataset,
      recordings: recordings.map((recording) => ({ ...recording, label: 'warm' })),
    };
    await expect(trainProject({ project, dataset: named })).rejects.toMatchObject({
      message: expect.stringContaining('expected a number as its label'),
    });
  });

  it.each(['cnn1d', 'ds-cnn'])('augments raw windows of three axes while training a %s', async (kind) => {
    const project = await toyProject(
      (text) =>
        text
          .replace('kind: mlp', `kind: ${kind}`)
          .replace('y: { unit: g }', 'y: { unit: g }\n    z: { unit: g }')
          .replace('epochs: 12', 'epochs: 6')
          .replace('seed: 8', 'seed: 8, augment: { rotation: 20, timeWarp: 0.1, gain: 0.1, noise: 0.05 }'),
      Object.fromEntries(
        ['calm', 'slow', 'fast'].flatMap((label) =>
          [1, 2, 3, 4].map((take) => [
            `${label}${take}.csv`,
            toyCsv(label, take)
              .split('\n')
              .map((line, i) => (line === '' ? '' : `${line},${i === 0 ? 'z' : '1'}`))
              .join('\n'),
          ]),
        ),
      ),
    );
    const result = await trainProject({ project });
    expect(result.metrics.loss).toBeLessThan(1);
    const plain = await trainProject({
      project: {
        ...project,
        config: {
          ...project.config,
          model: {
            ...project.config.model,
            train: {
              ...project.config.model.train,
              augment: {
                ...project.config.model.train.augment,
                ...{ rotation: 0, timeWarp: 0, gain: 0, noise: 0 },
              },
            },
          },
        },
      },
    });
    expect(plain.digest).not.toBe(result.digest);
  });

  it('rejects the rotation of windows with two axes', async () => {
    const project = await toyProject((text) => text.replace('seed: 8', 'seed: 8, augment: { rotation: 20 }'));
    await expect(trainProject({ project })).rejects.toMatchObject({
      code: 'AIOT_MODEL_UNFIT',
      message: expect.stringContaining('needs fields in groups of three'),
    });
  });

  it('trains dense models of every kind on a named subset of features', async () => {
    const set = 'features: [x_deviation, y_deviation, x_peak_hz]';
    for (const kind of ['mlp', 'autoencoder']) {
      const project = await toyProject((text) =>
        text.replace('features: raw', set).replace('kind: mlp', `kind: ${kind}`),
      );
      expect((await trainProject({ project })).metrics.loss).toBeLessThan(2);
      expect((await readTraining(project)).network.inputShape).toEqual([3]);
    }
  });
});
