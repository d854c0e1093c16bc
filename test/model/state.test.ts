import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { digestOf } from '../../src/lib/core/crypto.js';
import { loadProject } from '../../src/lib/core/project.js';
import type { Rows } from '../../src/lib/data/tables/rows.js';
import type { Graph } from '../../src/lib/formats/tflite/graph.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { bundleProject } from '../../src/lib/model/bundle/bundle-project.js';
import { packBundle } from '../../src/lib/model/bundle/pack.js';
import { createPredictor } from '../../src/lib/model/bundle/predictor.js';
import type { Bundle } from '../../src/lib/model/bundle/types.js';
import { embeddingOf, openEmbeddings } from '../../src/lib/model/embeddings.js';
import type { EvaluateResult } from '../../src/lib/model/evaluate/result.js';
import type { Explanation } from '../../src/lib/model/inspect/explanation.js';
import { type LabelledWindow, labelledWindows, retrainLastLayer } from '../../src/lib/model/retrain.js';
import { runCli } from '../support/cli.js';
import { peaking } from '../support/stateful.js';
import { temporaryFolder, toyCsv, toyProject } from './support.js';

/** The classifier with a state, and the standardization of its inputs. */
let file: string;
let scaling: string[];

beforeAll(async () => {
  const { dir } = await toyProject();
  for (const step of ['train', 'quantize'])
    expect(await runCli(['model', step, '--project', dir]), step).toMatchObject({ code: 0 });
  const { mean, deviation } = JSON.parse(
    readFileSync(join(dir, 'build', 'training.json'), 'utf8'),
  ).standardization;
  scaling = ['--mean', mean.slice(0, 2).join(), '--deviation', deviation.slice(0, 2).join()];
  file = join(await temporaryFolder(), 'peak.tflite');
  const graph = readTflite(readFileSync(join(dir, 'build', 'model.int8.tflite')));
  writeFileSync(file, writeTflite(peaking(graph)));
}, 120_000);

async function run<T>(...args: string[]): Promise<T> {
  const { code, json, stdout, stderr } = await runCli([...args, '--json']);
  expect(code, stderr + stdout).toBe(0);
  return json as T;
}

/** A project with the imported classifier, evaluated. */
async function imported(state: 'stream' | 'window') {
  const { dir } = await toyProject((text) =>
    text
      .replace('vote: majority:3', `vote: none\n  state: ${state}`)
      .replace('macroF1: 0.9, drop: 0.02, ', ''),
  );
  await run('model', 'import', file, '--project', dir, ...scaling);
  await run('model', 'quantize', '--project', dir);
  const evaluated = await run<EvaluateResult>('model', 'evaluate', '--project', dir);
  const project = await loadProject(dir);
  return { dir, project, evaluated, bundle: (await bundleProject({ project })).bundle };
}

/** Windows of one recording for each label. */
function windowsOf({ info }: Bundle, labels: readonly string[], take: number): LabelledWindow[] {
  return labels.flatMap((label) => {
    const rows = toyCsv(label, take)
      .trim()
      .split('\n')
      .slice(1)
      .map((line) => line.split(',').map(Number));
    const columns = [0, 1].map((f) => Float64Array.from(rows, (row) => row[f]!));
    return labelledWindows(info, {
      ...{ id: `${label}${take}`, label, device: null, rateHz: 50, startedAt: null },
      ...{ fields: ['x', 'y'], columns },
    });
  });
}

/** Share of the windows that a device predicts correctly. */
function shareOnDevice(bundle: Bundle, windows: readonly LabelledWindow[], resets = true): number {
  const predictor = createPredictor(bundle);
  const right = windows.filter(({ features, class: own, recording }, i) => {
    if (resets && recording !== windows[i - 1]?.recording) predictor.reset();
    return predictor.answer(features).index === own;
  });
  return right.length / windows.length;
}

describe('teaching a model with state', () => {
  it.each(['stream', 'window'] as const)(
    'starts each recording anew, as a device does (model.state: %s)',
    async (state) => {
      const { bundle } = await imported(state);
      const from = digestOf(packBundle(bundle));
      const heldOut = windowsOf(bundle, ['fast', 'slow', 'calm', 'fast'], 21);
      const taught = windowsOf(bundle, ['slow', 'fast', 'calm'], 22);
      const lesson = { old: [], taught, heldOut };
      const result = await retrainLastLayer({ bundle, from, now: 0, lesson });
      expect(result.before.accuracy).toBe(shareOnDevice(bundle, heldOut));
      expect(result.taught.before).toBe(shareOnDevice(bundle, taught));
      if (state === 'stream')
        expect(shareOnDevice(bundle, heldOut, false)).not.toBe(shareOnDevice(bundle, heldOut));
      // The order of the recordings does not matter.
      const other = windowsOf(bundle, ['calm', 'fast', 'slow'], 22);
      const again = await retrainLastLayer({ bundle, from, now: 0, lesson: { ...lesson, taught: other } });
      expect(again.after).toEqual(result.after);
      expect(again.taught.after).toBe(result.taught.after);
    },
    60_000,
  );
});

describe('embeddings of a model with state', () => {
  const graph = () => readTflite(readFileSync(file)) as Graph;
  const rows = Array.from({ length: 6 }, (_, row) =>
    Float32Array.from({ length: 100 }, (_, i) => Math.sin(i * (row + 1)) * (6 - row)),
  );

  it('start anew in each recording', () => {
    const embed = embeddingOf(graph());
    const first = embed(rows);
    expect(embed(rows)).toEqual(first);
    expect(embed(rows.slice(1))).not.toEqual(first.slice(1));
    expect(first[0]).toHaveLength(8);
  });

  it('start anew in each window with model.state: window', () => {
    const embed = embeddingOf(graph(), 'window');
    expect(embed(rows.slice(1))).toEqual(embed(rows).slice(1));
  });

  it('are those of the recording alone in data drift', async () => {
    const { project } = await imported('stream');
    const open = await openEmbeddings(project);
    const folderOf = async (...labels: string[]) => {
      const folder = join(await temporaryFolder(), 'recordings');
      mkdirSync(folder);
      for (const [i, label] of labels.entries()) writeFileSync(join(folder, `${i}.csv`), toyCsv(label, 31));
      return open(folder);
    };
    const [both, alone] = [await folderOf('fast', 'slow'), await folderOf('slow')];
    const own = ({ features }: Rows) =>
      features.map((column) => (column.kind === 'number' ? [...column.values].slice(-alone.rows) : []));
    expect(own(both)).toEqual(own(alone));
    expect(own(alone).flat().length).toBeGreaterThan(alone.rows);
    const { json } = await runCli([
      'data',
      'drift',
      project.dir,
      '--project',
      project.dir,
      '--embeddings',
      '--json',
    ]);
    expect(json).toMatchObject({ drifted: false, prediction: { name: 'prediction' } });
  }, 60_000);
});

describe('aiot model explain of a model with state', () => {
  it.each(['stream', 'window'] as const)(
    'advances the state as the evaluation does (model.state: %s)',
    async (state) => {
      const { dir, evaluated } = await imported(state);
      const explained = await run<Explanation>('model', 'explain', '--project', dir);
      expect(explained).toMatchObject({ metric: 'macroF1', base: evaluated.int8.macroF1, n: evaluated.n });
      expect(explained.importance.map(({ feature }) => feature).sort()).toEqual(['x', 'y']);
      expect(explained.importance[0]!.loss).toBeGreaterThan(0);
    },
    60_000,
  );

  it('samples recordings of a table from their start', async () => {
    const { dir, bundle } = await imported('stream');
    const features = join(dir, 'features.csv');
    await run('data', 'features', '--project', dir, '--out', features);
    const windows = readFileSync(features, 'utf8').trim().split('\n').length - 1;
    const args = ['model', 'explain', join(dir, 'build', 'model.aiot'), '--data', features];
    const whole = await run<Explanation>(...args, '--repeats', '2');
    expect(whole.n).toBe(windows);
    // Every recording has 11 windows, and 30 repeats leave room for 50: four recordings, and six windows of the fifth.
    const sampled = await run<Explanation>(...args, '--repeats', '30');
    expect(sampled.n).toBe(50);
    expect(bundle.info.state).toBeUndefined();
  }, 60_000);

  it.each([
    ['of a table without groups, which is one recording', 'none'],
    ['of a recording that is longer than the sample', 'one'],
  ])(
    'samples the first rows %s',
    async (_, groups) => {
      const { dir } = await imported('stream');
      const features = join(dir, 'features.csv');
      await run('data', 'features', '--project', dir, '--out', features);
      const [header = '', ...lines] = readFileSync(features, 'utf8').trim().split('\n');
      const chosen = header.split(',').flatMap((name, i) => (/^[xy]\[|^label$/.test(name) ? [i] : []));
      const start = groups === 'one' ? 'recording,' : '';
      const tableOf = (rows: readonly string[]) => {
        const own = rows.map((row) => `${start && 'r1,'}${chosen.map((i) => row.split(',')[i]).join()}`);
        return [`${start}${chosen.map((i) => header.split(',')[i]).join()}`, ...own, ''].join('\n');
      };
      // The classes alternate, so that the first rows contain all of them.
      const mixed = lines.map((_, i) => lines[(i * 37) % lines.length]!);
      const explain = async (rows: readonly string[]) => {
        const table = join(dir, `${rows.length}.csv`);
        writeFileSync(table, tableOf(rows));
        const args = [join(dir, 'build', 'model.aiot'), '--data', table, '--repeats', '30'];
        return run<Explanation>('model', 'explain', ...args);
      };
      const [all, first] = [await explain(mixed), await explain(mixed.slice(0, 50))];
      expect(mixed.length).toBeGreaterThan(100);
      expect(all).toEqual({ ...first, n: 50 });
    },
    60_000,
  );
});

describe('aiot model evaluate of a bundle with state', () => {
  it('starts anew in each row with state: window', async () => {
    const { dir, bundle } = await imported('window');
    expect(bundle.info.state).toBe('window');
    const [features, outputs] = [join(dir, 'features.csv'), join(dir, 'outputs.csv')];
    await run('data', 'features', '--project', dir, '--out', features);
    const aiot = join(dir, 'build', 'model.aiot');
    await run('model', 'evaluate', aiot, '--data', features, '--outputs', outputs);
    const [, ...lines] = readFileSync(outputs, 'utf8').trimEnd().split('\n');
    const predictor = createPredictor(bundle);
    const [header = '', ...rows] = readFileSync(features, 'utf8').trimEnd().split('\n');
    const places = header.split(',').flatMap((name, i) => (/^[xy]\[/.test(name) ? [i] : []));
    expect(places).toHaveLength(100);
    expect(lines).toHaveLength(rows.length);
    for (const [i, row] of rows.entries()) {
      predictor.reset();
      const cells = row.split(',');
      const { scores } = predictor.answer(places.map((place) => Number(cells[place])));
      expect(lines[i]!.split(',').map(Number)).toEqual(
        scores.map((score) => Number(Math.fround(score).toPrecision(9))),
      );
    }
  }, 60_000);
});
