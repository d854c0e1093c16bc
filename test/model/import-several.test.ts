import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { describeEvent } from '../../src/lib/device/events.js';
import { inferenceSchema } from '../../src/lib/device/protocol/messages.js';
import { interpreterRuntime } from '../../src/lib/device/runtime.js';
import { createAnswerer, inferenceOf } from '../../src/lib/device/telemetry/answer.js';
import type { Graph } from '../../src/lib/formats/tflite/graph.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { bundleProject } from '../../src/lib/model/bundle/bundle-project.js';
import { checkGolden } from '../../src/lib/model/bundle/golden.js';
import { unpackBundle } from '../../src/lib/model/bundle/pack.js';
import { createPredictor } from '../../src/lib/model/bundle/predictor.js';
import { interfaceOf } from '../../src/lib/model/bundle/signed-bundle.js';
import type { FileEvaluation } from '../../src/lib/model/evaluate/result.js';
import type { Explanation } from '../../src/lib/model/inspect/explanation.js';
import { readModelFile } from '../../src/lib/model/inspect/model-file.js';
import { openModelProject } from '../../src/lib/model/material.js';
import {
  extraOutputs,
  joinedOutputs,
  joinInputs,
  joinOutputs,
  mainOutput,
  separateOutputs,
} from '../../src/lib/model/network/join-ends.js';
import { bundleOfFile } from '../../src/lib/model/publish/push.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { runCli } from '../support/cli.js';
import { FloatNetwork } from '../support/float-network.js';
import { temporaryFolder } from './support.js';

let folder: string;
let rows: string;

beforeAll(async () => {
  folder = await temporaryFolder();
  rows = join(folder, 'rows.csv');
  const names = ['ant', 'bee', 'cat'];
  const lines = Array.from({ length: 150 }, (_, i) => {
    const cells = [0, 0, 0].map((_, c) => (i % 3 === c ? 3 + (i % 7) / 10 : (i % 5) / 10));
    return `${cells.join(',')},${(i % 11) / 10},${names[i % 3]}`;
  });
  writeFileSync(rows, `x,y,z,w,label\n${lines.join('\n')}\n`);
});

/** Two inputs (x, y, z and w), a class with the largest of x, y and z, and a head that computes 2 x + w. */
function twoHeads(): Graph {
  const n = new FloatNetwork(seededRandom(4));
  const [xyz, w] = [n.float([1, 3]), n.float([1, 1])];
  const named = (name: string, count: number) =>
    n.tensors.push({ name, type: 'float32', shape: [1, count] }) - 1;
  const dense = (x: number, weights: number[][], name: string) => {
    const [outputs, inputs] = [weights.length, weights[0]!.length];
    const constant = (shape: number[], data: number[]) =>
      n.add({ type: 'float32', shape, data: Float32Array.from(data) });
    const y = named(name, outputs);
    const own = [
      x,
      constant([outputs, inputs], weights.flat()),
      constant(
        [outputs],
        weights.map(() => 0),
      ),
    ];
    return n.op({
      op: 'FULLY_CONNECTED',
      inputs: own,
      outputs: [y],
      options: { activation: 'none', keepNumDims: false },
    });
  };
  const eye = [
    [2, 0, 0],
    [0, 2, 0],
    [0, 0, 2],
  ];
  const kind = n.softmax(dense(xyz, eye, 'logits'));
  const doubled = dense(xyz, [[2, 0, 0]], 'doubled');
  const speed = named('speed', 1);
  n.op({ op: 'ADD', inputs: [doubled, w], outputs: [speed], options: { activation: 'none' } });
  const graph = n.graph(xyz, kind);
  return { ...graph, inputs: [xyz, w], outputs: [speed, kind] };
}

describe('joining inputs and outputs', () => {
  it('computes the same values, in order', () => {
    const graph = twoHeads();
    const joined = joinOutputs(joinInputs(graph, null));
    const inputs = Float32Array.of(1, 2, 3, 0.5);
    const [speed, kind] = createInterpreter(graph).run([inputs.slice(0, 3), inputs.slice(3)]);
    const all = Array.from(createInterpreter(joined).invoke(inputs));
    expect(all).toEqual([...speed!, ...kind!]);
    expect(extraOutputs(joined)).toMatchObject([{ count: 3 }]);
    const file = readTflite(writeTflite(joined));
    expect(Array.from(createInterpreter(mainOutput(file)).invoke(inputs))).toEqual(Array.from(speed!));
    expect(createInterpreter(separateOutputs(file)).outputTensors).toHaveLength(2);
  });

  it('gives each input of a raw window its fields', () => {
    const n = new FloatNetwork(seededRandom(1));
    const [a, b] = [n.float([1, 4, 2]), n.float([1, 4, 1])];
    const y = n.float([1, 4, 3]);
    n.op({ op: 'CONCATENATION', inputs: [b, a], outputs: [y], options: { axis: 2, activation: 'none' } });
    const joined = joinInputs({ ...n.graph(a, y), inputs: [a, b] }, { samples: 4, fields: 3 });
    const window = Float32Array.from({ length: 12 }, (_, i) => i);
    expect(Array.from(createInterpreter(joined).invoke(window))).toEqual([
      ...[2, 0, 1, 5, 3, 4, 8, 6, 7, 11, 9, 10],
    ]);
  });
});

describe('a model with two inputs and two outputs in a project', () => {
  it('is imported, quantized, evaluated and bundled, and predicts both outputs', async () => {
    const [file, project] = [join(folder, 'heads.tflite'), join(folder, 'insects')];
    writeFileSync(file, writeTflite(twoHeads()));
    mkdirSync(project);
    const run = async (...args: string[]) => await runCli([...args, '--data', rows, '--json']);
    const imported = await run('model', 'import', file, '--project', project);
    expect(imported.json).toMatchObject({ validation: { accuracy: 1 } });
    expect((imported.json as { notes: string[] }).notes.join()).toContain('speed');
    expect((await run('model', 'quantize', '--project', project)).json).toMatchObject({ mode: 'int8' });
    expect((await run('model', 'evaluate', '--project', project)).json).toMatchObject({
      float: { accuracy: 1 },
      int8: { accuracy: 1 },
    });
    const opened = await openModelProject(project, rows);
    const bundle = unpackBundle((await bundleProject({ project: opened, data: rows })).bytes);
    expect(bundle.info.extra).toEqual([{ name: 'speed', count: 1 }]);
    expect(interfaceOf(bundle)).toBe(12);
    expect(checkGolden(bundle)).toMatchObject({ failures: [] });
    const { label, extra, scores } = createPredictor(bundle).push([0.1, 3.2, 0.3, 0.9])!;
    expect(label).toBe('bee');
    expect(scores).toHaveLength(3);
    expect(Math.abs(extra!.speed![0]! - 1.1)).toBeLessThan(0.1);
  }, 60_000);

  it('is rejected as a file by model push, which names the import that joins its outputs', async () => {
    const file = join(folder, 'heads.tflite');
    await expect(bundleOfFile(file)).rejects.toMatchObject({
      code: 'AIOT_MODEL_UNFIT',
      message: `${file}: expected a model with one input, got 2`,
      next: expect.stringContaining('`aiot model import FILE --project DIR`'),
    });
    const oneInput = join(folder, 'one-input.tflite');
    writeFileSync(oneInput, writeTflite(joinInputs(twoHeads(), null)));
    await expect(bundleOfFile(oneInput)).rejects.toMatchObject({
      code: 'AIOT_MODEL_UNFIT',
      message: `${oneInput}: expected a model with one output, got 2`,
      next: expect.stringContaining('joins several outputs into one'),
    });
    writeFileSync(oneInput, writeTflite(joinOutputs(joinInputs(twoHeads(), null))));
    expect((await bundleOfFile(oneInput)).kind).toBe('network');
  });

  it('sends both outputs of each row from a loop', async () => {
    const project = join(folder, 'insects');
    const opened = await openModelProject(project, rows);
    const bundle = join(folder, 'insects.aiot');
    writeFileSync(bundle, (await bundleProject({ project: opened, data: rows })).bytes);
    writeFileSync(join(folder, 'live.csv'), 'x,y,z,w\n0.1,3.2,0.3,0.9\n3.1,0.2,0.1,0.4\n');
    const { code, json, stderr } = await runCli([
      ...['loop', 'run', '--project', project, '--model', bundle, '--vote', 'none', '--send', 'always'],
      ...['--sensor', `file:${join(folder, 'live.csv')}?speed=max`],
      ...['--out', `file:${join(folder, 'sent.jsonl')}`, '--json'],
    ]);
    expect(code, stderr).toBe(0);
    expect(json).toMatchObject({ predictions: 2 });
    const sent = readFileSync(join(folder, 'sent.jsonl'), 'utf8').trim().split('\n');
    type Sent = { payload: { voted: string; extra: { speed: number[] } } };
    const heard = sent.map((line) => (JSON.parse(line) as Sent).payload);
    expect(heard.map(({ voted }) => voted)).toEqual(['bee', 'ant']);
    for (const [i, speed] of [1.1, 6.6].entries())
      expect(Math.abs(heard[i]!.extra.speed[0]! - speed)).toBeLessThan(0.1);
  }, 60_000);

  it('sends both outputs from a virtual device, and prints them', async () => {
    const project = await openModelProject(join(folder, 'insects'), rows);
    const loaded = await interpreterRuntime.load((await bundleProject({ project, data: rows })).bytes);
    const name = { name: 'insects', version: 1, digest: '' } as never;
    const samples = [[0.9, 0.1, 3.2, 0.3]];
    const sensor = { fields: ['w', 'x', 'y', 'z'], rateHz: 10, samples: () => samples };
    const answer = createAnswerer(sensor, { model: () => ({ loaded, name }), waits: false });
    const message = { ...inferenceOf(answer(samples[0]!)!, 'take', 0), seq: 0 };
    const inference = inferenceSchema.parse(message);
    expect(inference).toMatchObject({ label: 'bee', extra: { speed: [expect.closeTo(1.1, 1)] } });
    expect(describeEvent({ event: 'inference', inference } as never)).toMatch(
      /^window 0: bee .*, speed 1\.\d+, /,
    );
  }, 60_000);

  it('asks for the output that predicts if none has the project’s number of values', async () => {
    const [file, project] = [join(folder, 'odd.tflite'), join(folder, 'odd')];
    const graph = twoHeads();
    const doubled = graph.tensors.findIndex(({ name }) => name === 'doubled');
    writeFileSync(file, writeTflite({ ...graph, outputs: [graph.outputs[0]!, doubled] }));
    mkdirSync(project);
    const { json, code } = await runCli([
      ...['model', 'import', file, '--project', project, '--data', rows, '--json'],
    ]);
    expect(json).toMatchObject({ error: { code: 'AIOT_MODEL_UNFIT' } });
    expect((json as { error: { next: string } }).error.next).toContain('--output speed');
    expect(code).toBe(2);
  });
});

describe('evaluating one of several outputs', () => {
  const heads = () => join(folder, 'two-heads.tflite');
  const kind = () => twoHeads().tensors[twoHeads().outputs[1]!]!.name;
  const run = async (...argv: string[]) => await runCli(['model', ...argv, '--json']);
  const chosen = () => ['--data', rows, '--output-name', kind(), '--classes', 'ant,bee,cat'];

  const speeds = () => join(folder, 'speeds.csv');

  beforeAll(() => {
    writeFileSync(heads(), writeTflite(twoHeads()));
    const lines = readFileSync(rows, 'utf8').trim().split('\n').slice(1);
    // Each label is 0.5 more than the model's output, 2 x + w.
    const labelled = lines.map((line) => {
      const [x, y, z, w] = line.split(',').map(Number);
      return [x, y, z, w, 2 * x! + w! + 0.5].join(',');
    });
    writeFileSync(speeds(), `x,y,z,w,label\n${labelled.join('\n')}\n`);
  });

  it.each(['device', 'litert'])('evaluates the output that is named, on %s', async (runtime) => {
    const { json, stderr } = await run('evaluate', heads(), ...chosen(), '--runtime', runtime);
    expect(json, stderr).toMatchObject({ output: 'classes', n: 150, accuracy: 1, runtime });
    const speed = await run(
      'evaluate',
      heads(),
      '--data',
      speeds(),
      '--output-name',
      'speed',
      '--runtime',
      runtime,
    );
    expect(speed.json).toMatchObject({ output: 'value', mae: expect.closeTo(0.5, 5) });
  });

  it('compares and explains the output that is named', async () => {
    const compared = await run('compare', heads(), heads(), ...chosen());
    expect(compared.json).toMatchObject({
      n: 150,
      disagreement: { rows: 0 },
      a: { figures: { accuracy: 1 } },
    });
    const explained = await run('explain', heads(), ...chosen(), '--repeats', '2');
    const { base, importance } = explained.json as Explanation;
    expect(base).toBe(1);
    const loss = Object.fromEntries(importance.map(({ feature, loss: of }) => [feature, of]));
    expect(loss.w).toBe(0);
    expect(Math.min(loss.x!, loss.y!, loss.z!)).toBeGreaterThan(0.05);
  });

  it.each(['evaluate', 'compare', 'explain'])(
    '%s lists the outputs if none is named, or none has the name',
    async (command) => {
      const files = command === 'compare' ? [heads(), heads()] : [heads()];
      const none = await run(command, ...files, '--data', rows);
      expect(none.code).toBe(2);
      expect(none.json).toMatchObject({
        error: { code: 'AIOT_TFLITE_UNSUPPORTED', next: 'Name the output: --output-name speed' },
      });
      const wrong = await run(command, ...files, '--data', rows, '--output-name', 'speeed');
      expect(wrong.code).toBe(2);
      expect(wrong.json).toMatchObject({
        error: {
          code: 'AIOT_MODEL_UNFIT',
          message: 'expected the name of one output, got "speeed", which no output has',
          next: expect.stringContaining('speed'),
        },
      });
    },
  );

  it.each(['evaluate', 'explain'])('%s rejects the name without a model file', async (command) => {
    const { json, code } = await run(command, '--project', join(folder, 'insects'), '--output-name', 'speed');
    expect(json).toMatchObject({
      error: { code: 'AIOT_USAGE', message: '--output-name needs a model file' },
    });
    expect(code).toBe(2);
  });

  it('uses the output that predicts in bundles and projects with several outputs', async () => {
    const project = join(folder, 'insects');
    const bundle = join(folder, 'insects.aiot');
    const main = { output: 'classes', accuracy: 1, classes: ['ant', 'bee', 'cat'] };
    expect((await run('evaluate', bundle, '--data', rows)).json).toMatchObject(main);
    const speed = await run('evaluate', bundle, '--data', speeds(), '--output-name', 'speed');
    expect(speed.json).toMatchObject({ output: 'value' });
    expect(Math.abs((speed.json as FileEvaluation).mae! - 0.5)).toBeLessThan(0.1);
    expect((await run('explain', '--project', project, '--data', rows)).json).toMatchObject({ base: 1 });
    const compared = await run('compare', project, bundle, '--data', rows);
    expect(compared.json).toMatchObject({ a: { figures: { accuracy: 1 } }, b: { figures: { accuracy: 1 } } });
  }, 60_000);

  it('keeps the classes of the output that predicts if it is named', async () => {
    const bundle = join(folder, 'insects.aiot');
    const { network } = await readModelFile(bundle);
    const name = joinedOutputs(readTflite(network))[0]!.name;
    // Without the bundle's classes, bee and cat would be the first two.
    const few = join(folder, 'few.csv');
    const lines = readFileSync(rows, 'utf8').split('\n');
    writeFileSync(few, lines.filter((line) => !line.endsWith(',ant')).join('\n'));
    const given = ['--data', few, '--output-name', name];
    const classes = ['ant', 'bee', 'cat'];
    expect((await run('evaluate', bundle, ...given)).json).toMatchObject({ accuracy: 1, classes });
    expect((await run('explain', bundle, ...given, '--repeats', '2')).json).toMatchObject({ base: 1 });
    expect((await run('compare', bundle, bundle, ...given)).json).toMatchObject({
      a: { figures: { accuracy: 1 } },
    });
  }, 60_000);
});
