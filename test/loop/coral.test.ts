import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { digestOf } from '../../src/lib/core/crypto.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { openModel } from '../../src/lib/loop/model/open-model.js';
import type { ModelEvent } from '../../src/lib/loop/types.js';
import { unpackBundle } from '../../src/lib/model/bundle/pack.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { standInCompiler } from '../support/edgetpu-compiler.js';
import { motionBundle, motionSamples } from '../support/motion-bundle.js';

let folder: string;
let events: ModelEvent[];
const before = process.env.PATH;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-coral-'));
  events = [];
  await writeFile(join(folder, 'motion.aiot'), motionBundle());
});
afterEach(async () => {
  process.env.PATH = before;
  await rm(folder, { recursive: true, force: true });
});

const { model } = unpackBundle(motionBundle());

type ImportPackage = (name: string) => Promise<Record<string, unknown>>;

/**
 * Substitutes for the two packages, reduced to the functions in use, for a TPU that computes the model's outputs with
 * an error of `off` steps in the first one.
 */
function packages(off = 0, plugged = true): { importPackage: ImportPackage; runs: number[] } {
  const runs: number[] = [];
  class TFLiteNodeModelRunner {
    private readonly input = new Int8Array(150);
    private output: Int8Array = new Int8Array(3);
    constructor(file: ArrayBuffer, { delegate }: { delegate: { path: string } }) {
      if (!plugged) throw new Error('Could not initialize delegate');
      expect(delegate.path).toBe('libedgetpu.so.1');
      expect(Buffer.from(file).includes('edgetpu-custom-op')).toBe(true);
    }
    getInputs = () => [{ data: () => this.input }];
    getOutputs = () => [{ data: () => this.output }];
    infer() {
      const output = createInterpreter(readTflite(model)).invoke(this.input).slice() as Int8Array;
      output[0] = output[0]! + (output[0]! > 0 ? -off : off);
      this.output = output;
      runs.push(1);
      return true;
    }
  }
  class CoralDelegate {
    readonly node = { path: 'libedgetpu.so.1' };
    readonly options: [string, string][] = [];
  }
  const importPackage: ImportPackage = async (name) => {
    if (name === 'tfjs-tflite-node') return { default: { TFLiteNodeModelRunner } };
    if (name === 'coral-tflite-delegate') return { default: { CoralDelegate } };
    throw new Error(`no package ${name}`);
  };
  return { importPackage, runs };
}

async function open(importPackage?: ImportPackage) {
  return openModel({
    reference: join(folder, 'motion.aiot'),
    project: null,
    cache: join(folder, 'cache'),
    delegate: 'coral',
    onEvent: (event) => events.push(event),
    ...(importPackage ? { importPackage } : {}),
  });
}

it('a loop model runs on the Edge TPU once its golden vectors pass, and its compiled form is cached', async () => {
  await standInCompiler(join(folder, 'bin'));
  process.env.PATH = `${join(folder, 'bin')}:${before}`;
  const { importPackage, runs } = packages(1);
  const keeper = await open(importPackage);
  expect(keeper.state()).toMatchObject({ delegate: 'coral', digest: digestOf(motionBundle()) });
  expect(events).toEqual([]);
  const tried = runs.length;
  const predictor = keeper.current().createPredictor();
  const answers = motionSamples(50).map((sample) => predictor.push(sample));
  expect(answers.at(-1)?.label).toBeTruthy();
  expect(runs).toHaveLength(tried + 1);
  // It is compiled only once, and found in the cache without the compiler.
  process.env.PATH = before;
  expect((await open(importPackage)).state().delegate).toBe('coral');
});

it.each<[string, () => Promise<ImportPackage | undefined>, RegExp]>([
  [
    'the packages are missing',
    async () => undefined,
    /AIOT_BACKEND_MISSING.*npm install tfjs-tflite-node coral-tflite-delegate/,
  ],
  ['nothing was compiled', async () => packages().importPackage, /AIOT_PROGRAM_NOT_FOUND.*--target edgetpu/],
  [
    'no accelerator is plugged in',
    async () => {
      await standInCompiler(join(folder, 'bin'));
      process.env.PATH = `${join(folder, 'bin')}:${before}`;
      return packages(0, false).importPackage;
    },
    /AIOT_BACKEND_MISSING.*Could not initialize.*libedgetpu/,
  ],
  [
    'its predictions differ',
    async () => {
      await standInCompiler(join(folder, 'bin'));
      process.env.PATH = `${join(folder, 'bin')}:${before}`;
      return packages(40).importPackage;
    },
    /AIOT_GOLDEN_MISMATCH.*on the Edge TPU/,
  ],
])('a loop model falls back to the CPU and reports that once if %s', async (_, prepare, line) => {
  const keeper = await open(await prepare());
  expect(keeper.state().delegate).toBe('cpu');
  expect(events).toHaveLength(1);
  expect(events[0]?.text).toMatch(/runs on the CPU instead of coral/);
  expect(events[0]?.text).toMatch(line);
  const predictor = keeper.current().createPredictor();
  expect(
    motionSamples(50)
      .map((sample) => predictor.push(sample))
      .at(-1)?.label,
  ).toBeTruthy();
});
