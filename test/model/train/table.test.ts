import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readTrained } from '../../../src/lib/model/build-folder.js';
import { readTraining } from '../../../src/lib/model/files.js';
import { openModelProject } from '../../../src/lib/model/material.js';
import { trainedSchema, trainModel } from '../../../src/lib/model/train/train-model.js';
import { createInterpreter } from '../../../src/lib/runtime/interpreter/interpreter.js';
import { runCli } from '../../support/cli.js';
import { rowsCsv, rowsFolder } from './support.js';

const base = { epochs: 20, batch: 16 };

async function trained(csv: string, yaml?: string, more: Partial<Parameters<typeof trainModel>[0]> = {}) {
  const { dir, file } = await rowsFolder(csv, yaml);
  const result = await trainModel({ project: dir, data: file, ...base, ...more });
  if (!('metrics' in result)) throw new Error('a search');
  const project = await openModelProject(dir, file);
  return { dir, file, result, project, training: await readTraining(project) };
}

describe('training on table rows', () => {
  it('needs no aiot.yaml: uses the labels as classes, and reports this', async () => {
    const { result, training } = await trained(rowsCsv());
    expect(result).toMatchObject({ model: 'watch', output: 'classes', classes: ['0', '1'], split: 'row' });
    expect(result.metrics.valAccuracy).toBeGreaterThan(0.95);
    expect(result.notes).toEqual(['classes are taken from the row labels: 0, 1 (aiot.yaml names none)']);
    expect(training.signal).toMatchObject({
      fields: ['current', 'pressure'],
      windowSamples: 1,
      features: 'raw',
    });
    // The units differ by two orders of magnitude, so each column has its own mean and deviation outside the
    // model.
    expect(training.standardization.mean[1]! / training.standardization.mean[0]!).toBeGreaterThan(100);
  });

  it.each(['classes', 'probability'] as const)(
    'asks for more rows if all are of one class (%s)',
    async (output) => {
      const refused = trained('x,y,label\n1,2,a\n2,3,a\n', undefined, { output });
      await expect(refused).rejects.toMatchObject({
        code: 'AIOT_DATA_ONE_CLASS',
        message: expect.stringContaining('in the column "label", got only a (2 rows)'),
        next: expect.stringMatching(/^Add rows/),
      });
    },
  );

  it('does not overwrite the rows with a report', async () => {
    const { dir, file } = await rowsFolder(rowsCsv());
    const report = trainModel({ project: dir, data: file, ...base, report: file });
    await expect(report).rejects.toMatchObject({ code: 'AIOT_FILE_IS_INPUT' });
    expect(await readFile(file, 'utf8')).toBe(rowsCsv());
  });

  it.each(['', 'device'])(
    'puts the same rows into each split whether read in pieces or as a whole (%s)',
    async (group) => {
      // Enough rows for more than one piece of the file.
      const lines = Array.from({ length: 40_000 }, (_, row) => {
        const label = row % 2;
        return `${((row * 7919) % 10_007) / 100 + 50 * label},${row % 13},${label}${group && `,d${row % 50}`}`;
      });
      const csv = ['x,y,label', ...lines].join('\n').replace('label\n', `label${group && `,${group}`}\n`);
      const { project, file } = await trained(csv, undefined, { epochs: 1, batch: 256 });
      const { examples, part } = await readTrained(project, { data: file });
      for (const name of ['train', 'validation', 'test'] as const) {
        const [all, { count, pieces }] = [examples(name), part(name)];
        const own = [...pieces()];
        expect(own.length).toBeGreaterThan(1);
        expect(count).toBe(all.classes.length);
        expect(own.flatMap(({ recordings }) => recordings)).toEqual(all.recordings);
        expect(own.flatMap(({ inputs }) => [...inputs])).toEqual([...all.inputs]);
        expect(own.flatMap(({ classes }) => [...classes])).toEqual([...all.classes]);
      }
    },
  );

  it('puts each row into exactly one split, which later steps reuse', async () => {
    const { project, file, training } = await trained(rowsCsv({ rows: 120 }));
    const { examples } = await readTrained(project, { data: file });
    const parts = (['train', 'validation', 'test'] as const).map((part) => examples(part));
    expect(parts.map(({ classes }) => classes.length)).toEqual([72, 18, 30]);
    const rows = parts.flatMap(({ recordings }) => recordings);
    expect(new Set(rows)).toEqual(new Set(Array.from({ length: 120 }, (_, i) => `row ${i + 1}`)));
    // The first column of each row, by row number.
    const lines = (await readFile(file, 'utf8')).split('\n').slice(1);
    for (const { inputs, recordings, classes } of parts) {
      recordings.forEach((name, i) => {
        const [current, , label] = lines[Number(name.slice(4)) - 1]!.split(',');
        expect(inputs[i * 2]).toBeCloseTo(Number(current), 5);
        expect(String(classes[i])).toBe(label);
      });
    }
    // A later step without a table opens the one that was trained on.
    const again = await readTrained(project, {});
    expect(again.examples('test').inputs).toEqual(parts[2]!.inputs);
    expect(training.source).toMatchObject({ kind: 'table', file, label: 'label' });
  });

  it('stops later steps if the table changed, is missing, or is read with another label column', async () => {
    const { project, file } = await trained(rowsCsv());
    await expect(readTrained(project, { data: file, label: 'state' })).rejects.toMatchObject({
      code: 'AIOT_MODEL_STALE',
      message: expect.stringContaining('column state'),
    });
    await writeFile(file, rowsCsv({ seed: 9 }));
    await expect(readTrained(project, { data: file })).rejects.toMatchObject({ code: 'AIOT_MODEL_STALE' });
    await rm(file);
    await expect(readTrained(project, {})).rejects.toMatchObject({ code: 'AIOT_FILE_NOT_FOUND' });
  });

  it.each([
    ['labels from model.labels', 'model: { labels: { good: [0], bad: [1] } }', undefined, ['good', 'bad']],
    [
      'the names of the classes',
      'model: { labels: { bad: [x], good: [y] } }',
      (c: number) => ['good', 'bad'][c]!,
      ['bad', 'good'],
    ],
    [
      'labels not covered by model.labels',
      'model: { labels: { good: [7], bad: [8] } }',
      undefined,
      ['0', '1'],
    ],
  ])('uses %s as classes', async (_name, yaml, label, classes) => {
    const { result } = await trained(rowsCsv({ label }), `name: pumps\n${yaml}\n`);
    expect(result.classes).toEqual(classes);
    expect(result.metrics.valAccuracy).toBeGreaterThan(0.9);
  });

  it('outputs a single probability', async () => {
    const yaml = 'name: pumps\nmodel: { output: probability, labels: { good: [0], bad: [1] } }\n';
    const { project, file, result } = await trained(rowsCsv(), yaml);
    expect(result).toMatchObject({ output: 'probability', classes: ['good', 'bad'], threshold: 0.5 });
    const { float, training } = await readTrained(project, { data: file });
    expect(float.graph.operators.at(-1)!.op).toBe('LOGISTIC');
    expect(training.network.output).toEqual({ kind: 'probability' });
  });

  it('outputs a value in the labels’ own unit', async () => {
    const csv = rowsCsv({ label: (_, value) => (50 * value + 1000).toFixed(3), rows: 400 });
    const { project, file, result } = await trained(csv, undefined, {
      output: 'value',
      epochs: 60,
      kind: 'mlp',
    });
    expect(result).toMatchObject({ output: 'value', classes: [], metrics: { valAccuracy: null } });
    const { float, examples, training } = await readTrained(project, { data: file });
    const { inputs, inputSize, values } = examples('validation');
    const network = createInterpreter(float.graph);
    const errors = [...values!].map((value, row) => {
      const input = Float32Array.from({ length: inputSize }, (_, i) => {
        const { mean, deviation } = training.standardization;
        return (inputs[row * inputSize + i]! - mean[i]!) / deviation[i]!;
      });
      return (network.invoke(input)[0] as number) - value;
    });
    const rmse = Math.sqrt(errors.reduce((sum, error) => sum + error ** 2, 0) / errors.length);
    expect(rmse).toBeLessThan(60);
    // After valRmse was measured, the written model was also trained on these rows.
    expect(result.refitted).toBe(result.windows.train + result.windows.validation);
    expect(rmse / result.metrics.valRmse!).toBeGreaterThan(0.1);
    expect(rmse / result.metrics.valRmse!).toBeLessThan(1);
    expect(float.graph.operators.map(({ op }) => op)).toEqual([
      'FULLY_CONNECTED',
      'FULLY_CONNECTED',
      'FULLY_CONNECTED',
    ]);
  });

  it('trains an autoencoder only on normal rows, and keeps anomalies for evaluation', async () => {
    const yaml =
      'name: pumps\nmodel: { kind: autoencoder, layers: [6, 1], labels: { normal: [0], worn: [1] } }\n';
    const csv = rowsCsv({ apart: 8, rows: 400 });
    const { project, file, result } = await trained(csv, yaml, { epochs: 60 });
    expect(result).toMatchObject({ output: 'reconstruction', classes: ['normal', 'worn'] });
    const { examples, training } = await readTrained(project, { data: file });
    expect(training.threshold).toBeGreaterThan(0);
    expect(new Set(examples('train').classes)).toEqual(new Set([0]));
    // Every anomaly is kept for evaluation.
    expect(examples('test').classes.filter((c) => c === 1)).toHaveLength(134);
  });

  it('needs no labels for an autoencoder', async () => {
    const csv = rowsCsv()
      .replace(/^(.*),label$/m, '$1')
      .replaceAll(/,[01]$/gm, '');
    const { result } = await trained(csv, undefined, { kind: 'autoencoder' });
    expect(result.output).toBe('reconstruction');
    expect(result.notes).toEqual(['no labels: every row counts as normal']);
  });

  it('keeps the rows of a group in one split', async () => {
    const { result, project, file } = await trained(rowsCsv({ groups: true }));
    expect(result.split).toBe('group');
    const { examples } = await readTrained(project, { data: file });
    const sides = (['train', 'validation', 'test'] as const).map(
      (part) => new Set(examples(part).recordings),
    );
    expect([...sides[0]!].some((group) => sides[1]!.has(group) || sides[2]!.has(group))).toBe(false);
    expect(sides.reduce((sum, { size }) => sum + size, 0)).toBe(8);
  });

  it('keeps equal rows in one split', async () => {
    const { project, file } = await trained(
      `${rowsCsv({ rows: 60 })}${rowsCsv({ rows: 60 }).replace(/^.*\n/, '')}`,
    );
    const { training } = await readTrained(project, { data: file });
    const { parts } = training.source as { parts: string };
    expect(parts.slice(0, 60)).toBe(parts.slice(60));
  });

  it('uses already standardized rows unchanged', async () => {
    const csv = rowsCsv({ apart: 0.8 }).split('\n');
    const standard = csv.map((line, i) => {
      const [a, b, ...rest] = line.split(',');
      return i === 0 || !b
        ? line
        : [((Number(a) - 2.08) / 0.33).toFixed(4), ((Number(b) - 413) / 55).toFixed(4), ...rest].join(',');
    });
    const { training } = await trained(standard.join('\n'));
    expect(training.standardization).toEqual({ mean: [0, 0], deviation: [1, 1] });
  });

  it('trains on features of the project’s signal by name', async () => {
    const yaml = `name: pumps
stream: { topic: t, fields: { current: { unit: A }, pressure: { unit: hPa } } }
signal: { rate: 10, window: 20, stride: 10, features: [current_rms, pressure_rms] }
model: { labels: { good: [0], bad: [1] } }
`;
    const { training, result } = await trained(rowsCsv({ header: 'current_rms,pressure_rms,label' }), yaml);
    expect(training.signal).toMatchObject({ windowSamples: 20, features: ['current_rms', 'pressure_rms'] });
    expect(result.notes[0]).toContain("the features of this project's signal");
  });

  it('replaces convolutions with dense layers, unless convolutions were requested', async () => {
    const yaml = 'name: pumps\nmodel: { kind: cnn1d, layers: [8, 16] }\n';
    const { result, training } = await trained(rowsCsv(), yaml);
    expect(training.network).toMatchObject({ kind: 'mlp', inputShape: [2] });
    expect(result.notes.join()).toContain('model.kind cnn1d needs raw windows');
    await expect(trained(rowsCsv(), yaml, { kind: 'cnn1d' })).rejects.toMatchObject({
      code: 'AIOT_MODEL_UNFIT',
    });
  });

  it.each([
    [
      'a table without labels',
      rowsCsv().replace(/label/, 'state'),
      {},
      'AIOT_TRAINING_DATA_UNFIT',
      'no label column "label"',
    ],
    ['one class', rowsCsv({ label: () => 'a' }), {}, 'AIOT_DATA_ONE_CLASS', 'got only a'],
    [
      'too few rows of a class',
      rowsCsv({ rows: 6 }),
      {},
      'AIOT_DATA_TOO_FEW',
      'class 1: expected at least 3',
    ],
    [
      'three classes for a probability',
      rowsCsv({ label: (_, v) => String(Math.round(v) % 3) }),
      { output: 'probability' as const },
      'AIOT_TRAINING_DATA_UNFIT',
      'expected two classes',
    ],
    [
      'values as classes',
      rowsCsv({ label: (_, v) => v.toFixed(5) }),
      {},
      'AIOT_TRAINING_DATA_UNFIT',
      'expected class labels, got 2',
    ],
    [
      'words as values',
      rowsCsv({ label: (c) => ['a', 'b'][c]! }),
      { output: 'value' as const },
      'AIOT_TRAINING_DATA_UNFIT',
      'row 1, column label: expected a number',
    ],
    ['layers that are not numbers', rowsCsv(), { layers: '32,x' }, 'AIOT_USAGE', '--layers'],
    ['a layer size out of range', rowsCsv(), { layers: '9000' }, 'AIOT_USAGE', 'model.layers'],
  ])('rejects %s and writes nothing', async (_name, csv, more, code, message) => {
    const { dir, file } = await rowsFolder(csv);
    const run = trainModel({ project: dir, data: file, ...base, ...more });
    await expect(run).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
    await expect(readFile(join(dir, 'build/model.float.tflite'))).rejects.toThrow('ENOENT');
  });
});

describe('aiot model train on a table', () => {
  it('prints one line of JSON, and each epoch as a JSON line on stderr', async () => {
    const { dir, file } = await rowsFolder(rowsCsv());
    const { stdout, stderr, json, code } = await runCli([
      ...['model', 'train', '--project', dir, '--data', file],
      ...['--epochs', '4', '--batch', '32', '--seed', '7', '--kind', 'mlp', '--json'],
    ]);
    expect(code).toBe(0);
    expect(stdout.trimEnd().split('\n')).toHaveLength(1);
    expect(trainedSchema.parse(json)).toMatchObject({ epochs: 4, backend: 'wasm-simd' });
    const events = stderr
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(events.map(({ event, epoch }) => [event, epoch])).toEqual([
      ...[1, 2, 3, 4].map((epoch) => ['epoch', epoch]),
      ['step', undefined],
    ]);
    expect(events[1]).toMatchObject({
      epochs: 4,
      loss: expect.any(Number),
      valAccuracy: expect.any(Number),
      secondsLeft: expect.any(Number),
    });
  });

  it('is deterministic for a given seed', async () => {
    const { dir, file } = await rowsFolder(rowsCsv());
    const digest = async (seed: string) => {
      const { json } = await runCli([
        'model',
        'train',
        '-p',
        dir,
        '--data',
        file,
        '--epochs',
        '3',
        '--seed',
        seed,
        '--json',
        '-q',
      ]);
      return (json as { digest: string }).digest;
    };
    expect(await digest('7')).toBe(await digest('7'));
    expect(await digest('8')).not.toBe(await digest('7'));
  });

  it('explains what is missing without a table or a project', async () => {
    const { dir } = await rowsFolder('');
    const { json, code } = await runCli(['model', 'train', '--project', dir, '--json']);
    expect(json).toMatchObject({ error: { code: 'AIOT_PROJECT_NOT_FOUND' } });
    expect(code).toBe(4);
    await writeFile(join(dir, 'aiot.yaml'), 'name: pumps\n');
    const { json: other } = await runCli(['model', 'train', '--project', dir, '--json']);
    expect(other).toMatchObject({
      error: { code: 'AIOT_PROJECT_INVALID', next: expect.stringContaining('--data FILE.csv') },
    });
  });

  it('reports a missing table before looking for a project', async () => {
    const { dir } = await rowsFolder('');
    const { json, code } = await runCli(['model', 'train', '-p', dir, '--data', `${dir}/no.csv`, '--json']);
    expect(json).toMatchObject({
      error: { code: 'AIOT_FILE_NOT_FOUND', message: expect.stringContaining('no.csv') },
    });
    expect(code).toBe(4);
  });

  it.each(['recording', 'device'])('rejects --split %s for rows without a group column', async (split) => {
    const { dir, file } = await rowsFolder(rowsCsv());
    const train = ['model', 'train', '-p', dir, '--data', file, '--split', split, '--json'];
    const { json } = await runCli(train);
    expect(json).toMatchObject({
      error: { code: 'AIOT_USAGE', message: expect.stringContaining('no column for grouping rows') },
    });
    const grouped = await rowsFolder(rowsCsv({ groups: true }));
    const args = ['model', 'train', '-p', grouped.dir, '--data', grouped.file, '--split', split];
    expect((await runCli([...args, '--epochs', '1', '--json'])).json).toMatchObject({ split: 'group' });
  });

  it('lists the inputs, including a label column used as one', async () => {
    const header = 'current,label,temperature';
    const { dir, file } = await rowsFolder(rowsCsv({ header }));
    const args = ['-p', dir, '--data', file, '--label', 'temperature', '--output', 'value', '--epochs', '1'];
    const { json } = await runCli(['model', 'train', ...args, '--json']);
    expect(trainedSchema.parse(json)).toMatchObject({
      inputs: ['current', 'label'],
      notes: [expect.stringContaining('the column label is used as an input')],
    });
    const { stdout } = await runCli(['model', 'train', ...args]);
    expect(stdout).toMatch(/Inputs\s+current, label\n/);
  });
});
