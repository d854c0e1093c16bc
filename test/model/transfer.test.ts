import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadProject } from '../../src/lib/core/project.js';
import { type TrayPart, trayRecording } from '../../src/lib/data/tray.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { readTraining } from '../../src/lib/model/files.js';
import { trainProject } from '../../src/lib/model/train/train-project.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { standardize } from '../../src/lib/signal/spec.js';
import { runCli } from '../support/cli.js';
import { temporaryFolder } from './support.js';

const yaml = (parts: readonly string[], train: string, model = 'layers: [8, 12, 16]') => `name: tray
stream: { topic: pixels, fields: { gray: { type: int, unit: '', range: [0, 255] } } }
signal: { features: image, image: { width: 24, height: 24 }, rate: 576, window: 576, stride: 576 }
model:
  kind: mobilenet
  ${model}
  labels: { ${parts.map((part) => `${part}: [${part}]`).join(', ')} }
  train: { batch: 8, seed: 4, learningRate: 0.01, augment: { flip: both, rotation: 20, brightness: 0.05 }, ${train} }
`;
const few = ['bolt', 'nut'] as const;

let base: string;
const dirOf = (name: string) => join(base, name);

async function make(name: string, text: string, pictures: number, seed: number): Promise<string> {
  await mkdir(dirOf(name), { recursive: true });
  await writeFile(join(dirOf(name), 'aiot.yaml'), text);
  const args = ['--project', dirOf(name), '--pictures', `${pictures}`, '--seed', `${seed}`, '--json'];
  expect((await runCli(['data', 'synthesize', ...args])).code).toBe(0);
  return dirOf(name);
}

const train = async (dir: string) => await trainProject({ project: await loadProject(dir) });

async function networkOf(dir: string) {
  return readTflite(await readFile(join(dir, 'build', 'model.float.tflite')));
}

/** Accuracy of a project's float model on pictures that no training has seen. */
async function accuracyOf(dir: string, pictures: number): Promise<number> {
  const { standardization, classes } = await readTraining(await loadProject(dir));
  const interpreter = createInterpreter(await networkOf(dir));
  const format = { width: 24, height: 24, channels: 1 as const, fields: ['gray'], rateHz: 576 };
  let right = 0;
  for (const part of few) {
    for (let seed = 0; seed < pictures; seed++) {
      const { columns } = trayRecording(part as TrayPart, 9_000_000 + seed, format, 'p');
      const input = Float32Array.from(columns[0]!);
      standardize(input, standardization, input);
      const [shares] = interpreter.run([input]) as [Float32Array];
      if (classes[shares.indexOf(Math.max(...shares))] === part) right++;
    }
  }
  return right / (few.length * pictures);
}

beforeAll(async () => {
  base = await temporaryFolder();
  await train(await make('source', yaml(['empty', 'bolt', 'washer'], 'epochs: 20'), 80, 7));
});

describe('a training that starts from a trained model', () => {
  it('is more accurate than one from random weights if there are few pictures', async () => {
    const accuracy = { scratch: 0, frozen: 0, further: 0 };
    const rounds = 3;
    for (let round = 0; round < rounds; round++) {
      for (const [name, from] of [
        ['scratch', ''],
        ['frozen', ', from: ../source'],
        ['further', ', from: { model: ../source, trained: 2 }'],
      ] as const) {
        const text = yaml(few, `epochs: 20${from}`).replace('seed: 4', `seed: ${round}`);
        const dir = await make(`${name}-${round}`, text, 12, 50 + round);
        await train(dir);
        accuracy[name] += (await accuracyOf(dir, 60)) / rounds;
      }
    }
    expect(accuracy.frozen).toBeGreaterThan(accuracy.scratch + 0.05);
    expect(accuracy.further).toBeGreaterThan(accuracy.scratch + 0.05);
  });

  it('keeps the frozen layers, and the standardization that they expect', async () => {
    const [source, frozen, further] = await Promise.all(
      ['source', 'frozen-0', 'further-0'].map((name) => networkOf(dirOf(name))),
    );
    const weightsOf = (graph: typeof source) =>
      graph!.operators
        .filter(({ op }) => /CONV|FULLY/.test(op))
        .map(({ inputs }) => [...(graph!.tensors[inputs[1]!]!.data as Float32Array)]);
    const [all, kept, changed] = [source, frozen, further].map(weightsOf) as [
      number[][],
      number[][],
      number[][],
    ];
    expect(all).toHaveLength(6);
    expect(kept.slice(0, -1)).toEqual(all.slice(0, -1));
    expect(kept.at(-1)).toHaveLength(2 * 16);
    expect(changed.slice(0, 3)).toEqual(all.slice(0, 3));
    expect(changed[3]).not.toEqual(all[3]);
    expect(changed[4]).not.toEqual(all[4]);
    const trainings = await Promise.all(
      ['source', 'frozen-0'].map(async (name) => readTraining(await loadProject(dirOf(name)))),
    );
    const [mean, own] = trainings.map(({ standardization }) => standardization.mean[5]!);
    expect(own).toBeCloseTo(mean!, 3);
    expect(trainings[1]!.notes.join()).toMatch(
      /the layers of \.\.\/source \(sha256:.*\) are used, all frozen/,
    );
  });

  it('uses a .tflite file of another program, with a standardization of its own', async () => {
    const graph = await networkOf(dirOf('source'));
    const dir = await make('imported', yaml(few, 'epochs: 2, from: other.tflite'), 12, 50);
    await writeFile(join(dir, 'other.tflite'), writeTflite(graph));
    await train(dir);
    const { standardization } = await readTraining(await loadProject(dir));
    const before = await readTraining(await loadProject(dirOf('source')));
    expect(standardization.mean[5]).not.toBeCloseTo(before.standardization.mean[5]!, 3);
    expect((await runCli(['model', 'quantize', '--project', dir, '--json'])).code).toBe(0);
  });

  it.each([
    ['epochs: 1, from: gone.tflite', 'layers: [8]', 'AIOT_FILE_NOT_FOUND', 'gone.tflite'],
    ['epochs: 1, from: .', 'layers: [8]', 'AIOT_MODEL_NOT_BUILT', 'model.float.tflite'],
    [
      'epochs: 1, members: 2, from: ../source',
      'layers: [8]',
      'AIOT_MODEL_UNFIT',
      'cannot be used with members',
    ],
    [
      'epochs: 1, from: ../source/build/model.int8.tflite',
      'layers: [8]',
      'AIOT_MODEL_UNFIT',
      'one float32 input',
    ],
  ])('is rejected with the reason: %s', async (settings, model, code, text) => {
    await runCli(['model', 'quantize', '--project', dirOf('source'), '--mode', 'int8', '--json']);
    const dir = await make('rejected', yaml(few, settings, model), 6, 1);
    const { json } = await runCli(['model', 'train', '--project', dir, '--json']);
    expect(json).toMatchObject({ error: { code } });
    expect(JSON.stringify(json)).toContain(text);
  });

  it('needs the same input size', async () => {
    const text = yaml(few, 'epochs: 1, from: ../source')
      .replace('width: 24', 'width: 20')
      .replace('rate: 576, window: 576, stride: 576', 'rate: 480, window: 480, stride: 480');
    const dir = await make('narrow', text, 6, 1);
    const { json } = await runCli(['model', 'train', '--project', dir, '--json']);
    expect(JSON.stringify(json)).toContain('expected an input of 1 × 24 × 20 × 1, got 1 × 24 × 24 × 1');
  });
});

describe('a mobilenet of inverted residuals', () => {
  it('is trained, quantized and evaluated', async () => {
    const text = yaml(['empty', 'washer'], 'epochs: 8', 'blocks: v2\n  layers: [8, 8, 8, 12, 32]');
    const dir = await make('v2', text, 30, 3);
    const at = ['--project', dir, '--json'];
    expect((await runCli(['model', 'train', ...at])).code).toBe(0);
    const { operators } = await networkOf(dir);
    expect(operators.filter(({ op }) => op === 'ADD')).toHaveLength(2);
    expect((await runCli(['model', 'quantize', ...at, '--mode', 'int8'])).code).toBe(0);
    const { json } = await runCli(['model', 'evaluate', ...at]);
    expect(json).toMatchObject({ passed: true });
  });

  it('is not available for other kinds', async () => {
    const text = yaml(few, 'epochs: 1', 'blocks: v2').replace('kind: mobilenet', 'kind: ds-cnn');
    const dir = await make('other', text, 6, 1);
    const { json } = await runCli(['model', 'train', '--project', dir, '--json']);
    expect(JSON.stringify(json)).toContain('model.blocks is set, but model.kind is ds-cnn');
  });
});
