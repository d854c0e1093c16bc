import { readFile, writeFile } from 'node:fs/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Project } from '../../src/lib/core/project.js';
import { openDataset } from '../../src/lib/data/dataset/open.js';
import type { Tensor } from '../../src/lib/formats/tflite/graph.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { bundleProject } from '../../src/lib/model/bundle/bundle-project.js';
import { endOf } from '../../src/lib/model/bundle/ends.js';
import { checkGolden } from '../../src/lib/model/bundle/golden.js';
import { membersOf, packBundle, unpackBundle } from '../../src/lib/model/bundle/pack.js';
import { createPredictor } from '../../src/lib/model/bundle/predictor.js';
import type { Bundle } from '../../src/lib/model/bundle/types.js';
import { evaluateProject } from '../../src/lib/model/evaluate/evaluate-project.js';
import type { EvaluateResult } from '../../src/lib/model/evaluate/result.js';
import { quantizeProject } from '../../src/lib/model/quantize/quantize-project.js';
import { trainProject } from '../../src/lib/model/train/train-project.js';
import { tinyBundle } from '../support/bundle.js';
import { toyProject } from './support.js';

let project: Project;
let bytes: Uint8Array;
let bundle: Bundle;
let evaluated: EvaluateResult;
beforeAll(async () => {
  project = await toyProject();
  await trainProject({ project });
  await quantizeProject({ project });
  evaluated = await evaluateProject({ project });
  ({ bytes, bundle } = await bundleProject({ project }));
});

describe('a bundle', () => {
  it('survives a round trip, and packs equal contents to equal bytes', () => {
    const again = unpackBundle(bytes);
    expect(again).toEqual(bundle);
    expect(packBundle(again)).toEqual(bytes);
    // Network code passes a view of a larger buffer.
    const pool = Buffer.concat([Buffer.alloc(7), bytes, Buffer.alloc(9)]);
    expect(unpackBundle(pool.subarray(7, 7 + bytes.length))).toEqual(bundle);
  });

  it('accepts int16 samples without a scale as values, but not int8', () => {
    const graphOf = (type: 'int8' | 'int16') => ({
      ...{ name: 'main', description: '', operators: [], inputs: [0], outputs: [] },
      tensors: [{ name: 'sound', type, shape: [1, 160] }],
    });
    expect(endOf(graphOf('int16'), 'inputs')).toEqual({
      ...{ type: 'int16', scale: 1, zeroPoint: 0 },
      shape: [1, 160],
    });
    expect(() => endOf(graphOf('int8'), 'inputs')).toThrow('of int8 or int16 with a scale, got int8');
  });

  it('records its lineage (model, dataset, recordings, training) and its gates', async () => {
    const { lineage, info } = bundle;
    const dataset = await openDataset(project);
    expect(lineage.network.digest).toBe(evaluated.digest);
    expect(lineage.dataset).toMatchObject({ digest: dataset.digest, source: 'recordings' });
    expect(lineage.recordings?.map(({ id }) => id)).toEqual(dataset.recordings.map(({ id }) => id));
    expect(
      lineage.recordings
        ?.filter(({ part }) => part === 'train')
        .map(({ id }) => id)
        .sort(),
    ).toEqual([...info.lineage.split.train].sort());
    expect(lineage.training).toMatchObject({
      configDigest: info.lineage.configDigest,
      tools: { aiot: info.lineage.aiot },
    });
    expect(info.gates).toEqual(evaluated.gates);
  });

  it('cannot be built with metrics that do not match its model', async () => {
    const { buildFiles } = await import('../../src/lib/model/files.js');
    const file = buildFiles(project).evaluation;
    const evaluation = await readFile(file, 'utf8');
    const flattered = JSON.parse(evaluation) as EvaluateResult;
    const { confusion } = flattered.int8;
    confusion![0]![0]! += 1;
    confusion![0]![1]! -= 1;
    await writeFile(file, JSON.stringify(flattered));
    await expect(bundleProject({ project })).rejects.toMatchObject({ code: 'AIOT_MODEL_STALE' });
    await writeFile(file, evaluation);
    await bundleProject({ project });
  });

  it('has three golden vectors per class, from held-out recordings, that it reproduces exactly', () => {
    const { train } = bundle.info.lineage.split;
    expect(bundle.golden).toHaveLength(9);
    for (const { recording } of bundle.golden) expect(train).not.toContain(recording);
    expect(checkGolden(bundle)).toEqual({ vectors: 9, passed: 9, failures: [] });
  });

  it('reports which golden vector fails after an output, input, or sample changes', () => {
    const change = (edit: (vector: Bundle['golden'][number]) => void) => {
      const copy = structuredClone(bundle);
      edit(copy.golden[4]!);
      return checkGolden(copy).failures.map(({ vector, reason }) => `${vector}: ${reason}`);
    };
    const { output, input } = bundle.golden[4]!;
    expect(
      change((v) => {
        v.output[1] = output[1]! ^ 1;
      }),
    ).toEqual([`4: output 1: expected ${output[1]! ^ 1}, got ${output[1]}`]);
    expect(
      change((v) => {
        v.input[0] = input[0]! ^ 1;
      }),
    ).toEqual([`4: input 0: expected ${input[0]! ^ 1}, got ${input[0]}`]);
    expect(
      change((v) => {
        v.samples.pop();
      }),
    ).toEqual(['4: its samples do not fill exactly one window']);
    expect(
      change((v) => {
        v.samples.push([0, 0]);
      }),
    ).toEqual(['4: its samples do not fill exactly one window']);
  });

  it.each([
    ['an empty file', () => new Uint8Array(0)],
    ['text', () => new TextEncoder().encode('not a bundle'.repeat(200))],
    ['a truncated file', () => bytes.slice(0, bytes.length / 2)],
    [
      'a file with a changed model byte',
      () => bytes.map((b, i) => (i === bytes.indexOf(0x54) + 60 ? b ^ 4 : b)),
    ],
  ])('cannot be unpacked from %s', (_name, make) => {
    expect(() => unpackBundle(make())).toThrowError(
      expect.objectContaining({ code: 'AIOT_BUNDLE_MALFORMED' }),
    );
  });

  it.each([
    ['an unknown spec', (b: Bundle) => Object.assign(b.info, { spec: 'aiot-bundle/9' }), 'bundle.json: spec'],
    ['an extra class', (b: Bundle) => b.info.classes.push('jump'), 'one int8 output of 4 values'],
    ['too few means', (b: Bundle) => b.info.standardization.mean.pop(), 'expected 100 means'],
    [
      'a wrong input scale',
      (b: Bundle) => Object.assign(b.info.input, { scale: 1 }),
      'differ from those in model.tflite',
    ],
    [
      'a vector of the wrong shape',
      (b: Bundle) => b.golden[0]!.output.pop(),
      'vector 0 does not have the model',
    ],
    ['an invalid model', (b: Bundle) => Object.assign(b, { model: Uint8Array.of(1, 2, 3) }), 'model.tflite'],
  ])('is rejected with %s', (_name, edit, message) => {
    const copy = structuredClone(bundle);
    edit(copy);
    expect(() => unpackBundle(packBundle(copy))).toThrow(message);
  });
});

/** A bundle of a raw window of two fields, with a network of zeros. */
function rawBundle(windowSamples: number): Bundle {
  const bundle = unpackBundle(tinyBundle('raw'));
  const shape = [1, 2 * windowSamples];
  const graph = readTflite(bundle.model);
  const [input, weights, ...others] = graph.tensors as [Tensor, Tensor, ...Tensor[]];
  const data = new Int8Array(2 * shape[1]!);
  const tensors = [{ ...input, shape }, { ...weights, shape: [2, shape[1]!], data }, ...others];
  const info = {
    ...bundle.info,
    signal: { ...bundle.info.signal, windowSamples, strideSamples: windowSamples },
    input: { ...bundle.info.input, shape },
    standardization: {
      mean: Array.from({ length: shape[1]! }, (_, i) => i % 2),
      deviation: Array.from({ length: shape[1]! }, (_, i) => 1 + (i % 2)),
    },
  };
  return { ...bundle, info, model: writeTflite({ ...graph, tensors }), golden: [] };
}

describe('a bundle of a raw window of sound', () => {
  it.each([
    [512 * 512 * 3, 'stores the mean of each field once', 2],
    [512 * 512 * 3 + 2, 'stores the mean of each value', 512 * 512 * 3 + 2],
  ])('of %i values %s, and is read as it was written', (values, _, stored) => {
    const made = rawBundle(values / 2);
    const { standardization } = JSON.parse(Buffer.from(membersOf(made)[0]!.data).toString());
    expect([standardization.mean.length, standardization.deviation.length]).toEqual([stored, stored]);
    const read = unpackBundle(packBundle(made)).info.standardization;
    expect(read.mean.length).toBe(values);
    // Comparing texts is faster than comparing long arrays.
    expect(JSON.stringify(read) === JSON.stringify(made.info.standardization)).toBe(true);
  });
});

describe('the predictor', () => {
  it('reproduces the evaluation’s accuracy, per window and smoothed within a recording', async () => {
    const dataset = await openDataset(project);
    const { test } = bundle.info.lineage.split;
    const predictor = createPredictor(bundle);
    const count = { right: 0, voted: 0, windows: 0 };
    for (const { id, columns, label } of dataset.recordings.filter((r) => test.includes(r.id))) {
      predictor.reset();
      let window = 0;
      for (let i = 0; i < columns[0]!.length; i++) {
        const answer = predictor.push(columns.map((column) => column[i]!));
        if (!answer) continue;
        expect(answer.window, id).toBe(window++);
        expect(answer.scores.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 1);
        expect(answer.label).toBe(bundle.info.classes[answer.index ?? -1]);
        expect(answer.latencyMs).toBeGreaterThanOrEqual(0);
        count.windows++;
        if (answer.label === label) count.right++;
        if (answer.voted === label) count.voted++;
      }
    }
    expect(count.windows).toBe(evaluated.int8.windows);
    expect(count.right / count.windows).toBeCloseTo(evaluated.int8.accuracy!, 10);
    expect(count.voted / count.windows).toBeCloseTo(evaluated.voted!.accuracy!, 10);
  });

  it('clears its state on reset', () => {
    const predictor = createPredictor(bundle);
    const run = () => bundle.golden[0]!.samples.map((sample) => predictor.push(sample)).at(-1);
    const first = run();
    predictor.push([1, 2]);
    predictor.reset();
    expect(run()).toEqual({ ...first, latencyMs: expect.any(Number) });
  });
});
