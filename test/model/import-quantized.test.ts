import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Project } from '../../src/lib/core/project.js';
import type { Graph, Tensor } from '../../src/lib/formats/tflite/graph.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { bundleProject } from '../../src/lib/model/bundle/bundle-project.js';
import { decode, encodeInput, valuesOf } from '../../src/lib/model/bundle/ends.js';
import { checkGolden } from '../../src/lib/model/bundle/golden.js';
import { unpackBundle } from '../../src/lib/model/bundle/pack.js';
import { createPredictor } from '../../src/lib/model/bundle/predictor.js';
import { interfaceOf } from '../../src/lib/model/bundle/signed-bundle.js';
import type { Bundle } from '../../src/lib/model/bundle/types.js';
import type { EvaluateResult } from '../../src/lib/model/evaluate/result.js';
import { inOrderOf } from '../../src/lib/model/import/adopt.js';
import { openModelProject } from '../../src/lib/model/material.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { runCli } from '../support/cli.js';
import { motorFile, motorFolder } from '../support/motor-files.js';
import { temporaryFolder, toyCsv, toyProject } from './support.js';

/** An int8 classifier of the toy recordings, and its metrics in the project that trained it. */
let file: string;
let graph: Graph;
let trained: { mean: string; deviation: string; int8: EvaluateResult['int8'] };

beforeAll(async () => {
  const { dir } = await toyProject();
  for (const step of ['train', 'quantize', 'evaluate'])
    expect(await runCli(['model', step, '--project', dir]), step).toMatchObject({ code: 0 });
  const read = (name: string) => JSON.parse(readFileSync(join(dir, 'build', name), 'utf8'));
  const { mean, deviation } = read('training.json').standardization;
  const perField = (values: number[]) => values.slice(0, 2).join();
  trained = {
    ...{ mean: perField(mean), deviation: perField(deviation) },
    int8: read('evaluation.json').int8,
  };
  file = join(await temporaryFolder(), 'theirs.tflite');
  const bytes = readFileSync(join(dir, 'build', 'model.int8.tflite'));
  writeFileSync(file, bytes);
  graph = readTflite(bytes);
}, 120_000);

async function imported(project: Project, from: string, ...flags: string[]) {
  return await runCli(['model', 'import', from, '--project', project.dir, '--json', ...flags]);
}

interface Built {
  bundle: Bundle;
  evaluated: EvaluateResult;
  quantized: unknown;
}

/** Quantizes, evaluates and bundles the model of a project. */
async function bundled({ dir }: Project, more: string[] = []): Promise<Built> {
  const quantized = await runCli(['model', 'quantize', '--project', dir, '--json', ...more]);
  expect(quantized.code, quantized.stderr).toBe(0);
  const evaluated = await runCli(['model', 'evaluate', '--project', dir, '--json', ...more]);
  expect(evaluated.code, evaluated.stderr).toBe(0);
  const { bytes } = await bundleProject({ project: await openModelProject(dir, more[1]), data: more[1] });
  return {
    bundle: unpackBundle(bytes),
    evaluated: evaluated.json as EvaluateResult,
    quantized: quantized.json,
  };
}

/** Weights, biases and scales, by which two networks compute the same integers. */
function integersOf({ tensors, operators }: Graph) {
  return {
    tensors: tensors.map(({ type, shape, data, quantization }) => ({ type, shape, data, quantization })),
    operators,
  };
}

describe('aiot model import of a quantized .tflite file', () => {
  it('keeps its integers, evaluates it like the project that trained it, and bundles it', async () => {
    const project = await toyProject();
    const { mean, deviation } = trained;
    const { code, json, stderr } = await imported(project, file, '--mean', mean, '--deviation', deviation);
    expect(code, stderr).toBe(0);
    expect(json).toMatchObject({
      ...{ format: 'tflite', precision: 'int8' },
      notes: [expect.stringContaining('already quantized')],
    });
    const { bundle, evaluated, quantized } = await bundled(project);
    expect(quantized).toMatchObject({ mode: 'int8', notes: [expect.stringContaining('already quantized')] });
    expect(evaluated).toMatchObject({ int8: trained.int8, float: trained.int8, agreement: 1 });
    expect(integersOf(readTflite(bundle.model))).toEqual(integersOf(graph));
    expect(bundle.info.input).toMatchObject({ type: 'int8' });
    expect(checkGolden(bundle)).toMatchObject({ failures: [] });
    const interpreter = createInterpreter(graph);
    expect(bundle.golden.length).toBeGreaterThan(2);
    for (const { input, output } of bundle.golden)
      expect(Array.from(interpreter.invoke(Int8Array.from(input)))).toEqual(output);
  }, 60_000);

  it('runs in a loop, and as C code', async () => {
    const { dir } = await toyProject();
    const { mean, deviation } = trained;
    const flags = ['--project', dir, '--json'];
    const run = async (...args: string[]) => {
      const { code, json, stderr } = await runCli(args);
      expect(code, stderr).toBe(0);
      return json;
    };
    await run('model', 'import', file, ...flags, '--mean', mean, '--deviation', deviation);
    await run('model', 'quantize', ...flags, '--emit', 'c');
    const emitted = readTflite(readFileSync(join(dir, 'build', 'model.int8.tflite')));
    expect(integersOf(emitted)).toEqual(integersOf(graph));
    expect(readFileSync(join(dir, 'build', 'c', 'model.h'), 'utf8')).toContain('int8_t');
    await run('model', 'evaluate', ...flags);
    await bundleProject({ project: await openModelProject(dir, undefined) });
    const live = join(dir, 'live.csv');
    writeFileSync(live, toyCsv('fast', 9));
    const sent = join(dir, 'sent.jsonl');
    await run(
      ...['loop', 'run', ...flags, '--model', join(dir, 'build', 'model.aiot'), '--send', 'always'],
      ...['--sensor', `file:${live}?speed=max&rate=50`, '--out', `file:${sent}`],
    );
    const lines = readFileSync(sent, 'utf8').trim().split('\n');
    expect(lines).toHaveLength(11);
    for (const line of lines) expect(JSON.parse(line)).toMatchObject({ payload: { voted: 'fast' } });
  }, 60_000);

  it('is copied without a project, unchanged', async () => {
    const out = join(await temporaryFolder(), 'copy.tflite');
    expect(await runCli(['model', 'import', file, '--out', out, '--json'])).toMatchObject({
      code: 0,
      json: { precision: 'int8', file: out },
    });
    expect(integersOf(readTflite(readFileSync(out)))).toEqual(integersOf(graph));
  });

  it('rejects settings of quantization that would change it', async () => {
    const project = await toyProject();
    expect(await imported(project, file, '--inputs', 'standardized')).toMatchObject({ code: 0 });
    for (const flags of [
      ['--mode', 'int16x8'],
      ['--max-loss', '0.01'],
      ['--finetune', '2'],
    ]) {
      const refused = await runCli(['model', 'quantize', '--project', project.dir, '--json', ...flags]);
      expect(refused.json).toMatchObject({
        error: { code: 'AIOT_QUANTIZE_UNFIT', next: expect.stringContaining(`Omit ${flags[0]}`) },
      });
    }
  });

  it.each([
    [['--mean', '1,2,3'], '--mean: expected 1, 2 or 100 numbers, got 3 numbers'],
    [['--mean', '1,x'], '--mean: expected 1, 2 or 100 numbers, got "x"'],
    [['--deviation', '0'], '--deviation: expected 1, 2 or 100 numbers above 0, got "0"'],
  ])('rejects %j', async (flags, message) => {
    const project = await toyProject();
    expect(await imported(project, file, ...flags)).toMatchObject({
      code: 2,
      json: { error: { code: 'AIOT_USAGE', message } },
    });
  });

  it('names the layer that devices cannot run in a file with dynamic range', async () => {
    const folder = await temporaryFolder();
    const [float, dynamic] = [join(folder, 'float.tflite'), join(folder, 'dynamic.tflite')];
    const { dir } = await toyProject((text) => text.replace('layers: [8]', 'layers: [16]'));
    await runCli(['model', 'train', '--project', dir]);
    writeFileSync(float, readFileSync(join(dir, 'build', 'model.float.tflite')));
    const quantized = await runCli(['model', 'quantize', float, '--mode', 'dynamic', '--out', dynamic]);
    expect(quantized.code, quantized.stderr).toBe(0);
    const refused = await runCli(['model', 'import', dynamic, '--out', join(folder, 'x.tflite'), '--json']);
    expect(refused.json).toMatchObject({
      error: { code: 'AIOT_LAYER_UNSUPPORTED', message: expect.stringContaining('dynamic range') },
    });
  });
});

/** A project for the columns of the motor data, in which a row is a sample. */
async function motorProject(): Promise<Project> {
  const dir = await temporaryFolder();
  const names = ['current', 'temperature', 'vibration', 'sound'];
  const text = `name: motor
stream: { topic: motor, fields: { ${names.map((name) => `${name}: { unit: '' }`).join(', ')} } }
signal: { rate: 1, window: 1, stride: 1, features: raw }
model:
  output: probability
  labels: { normal: ['0'], anomaly: ['1'] }
`;
  writeFileSync(join(dir, 'aiot.yaml'), text);
  writeFileSync(join(dir, 'test.csv'), motorFile('test.csv'));
  return await openModelProject(dir, undefined);
}

describe('files of TensorFlow’s converter in a project', () => {
  it.each([
    ['int8', 'int8'],
    ['i16x8', 'int16x8'],
  ])(
    'have the outputs of the file, which are LiteRT’s except for its rounding in floating point: %s',
    async (name, precision) => {
      const project = await motorProject();
      const { mean, std } = JSON.parse(motorFile('weights.json').toString()) as Record<string, number[]>;
      const own = join(motorFolder, `${name}.tflite`);
      const data = ['--data', join(project.dir, 'test.csv')];
      const { code, json, stderr } = await imported(
        ...[project, own, '--mean', mean!.join(), '--deviation', std!.join(), ...data],
      );
      expect(code, stderr).toBe(0);
      expect(json).toMatchObject({ precision, writer: expect.any(String) });
      const { bundle, quantized } = await bundled(project, data);
      expect(quantized).toMatchObject({ mode: precision });
      expect(bundle.info.quantization.mode).toBe(precision);
      const predictor = createPredictor(bundle);
      const rows = motorFile('test.csv').toString().trim().split('\n').slice(1);
      const said = motorFile(`${name}.litert.pred.csv`).toString().trim().split('\n').map(Number);
      expect(rows).toHaveLength(2000);
      const { input, output } = bundle.info;
      const interpreter = createInterpreter(readTflite(readFileSync(own)));
      let same = 0;
      for (const [i, row] of rows.entries()) {
        const x = Float32Array.from(row.split(','), Number).subarray(0, 4);
        const { value } = predictor.push(x)!;
        const q = encodeInput(x, { mean: mean!, deviation: std! }, input, valuesOf(input, 4));
        expect([value]).toEqual(decode(interpreter.invoke(q), output));
        if (Math.abs(value! - said[i]!) < (precision === 'int8' ? 1e-6 : 2e-4)) same++;
      }
      expect(same / rows.length).toBeGreaterThan(0.98);
    },
    60_000,
  );
});

describe('the order of a quantized model’s classes', () => {
  it('is changed with the integers and scales of each class', () => {
    const names = ['calm', 'fast', 'slow'];
    const named = ['slow', 'calm', 'fast'];
    const own = createInterpreter(inOrderOf(graph, named, names, 'classes'));
    const theirs = createInterpreter(graph);
    for (let run = 0; run < 20; run++) {
      const input = Int8Array.from({ length: 100 }, (_, i) => ((i * 37 + run * 91) % 256) - 128);
      const expected = Array.from(theirs.invoke(input));
      const got = Array.from(own.invoke(input));
      expect(got).toEqual(names.map((name) => expected[named.indexOf(name)]));
    }
  });
});

/** The classifier with a state: each output is added to its sum since the last reset. */
function summing(): Graph {
  const place = graph.tensors.length;
  const quantization = { scale: [1 / 16], zeroPoint: [-128], axis: 0 };
  const [variable, before, sum] = [place, place + 1, place + 2];
  const own = ['total', 'before', 'sum'].map(
    (name): Tensor => ({ name, shape: [1, 3], type: 'int8', quantization }),
  );
  return {
    ...graph,
    tensors: [...graph.tensors, { ...own[0]!, variable: new Int8Array(3).fill(-128) }, ...own.slice(1)],
    operators: [
      ...graph.operators,
      { op: 'READ_VARIABLE', inputs: [variable], outputs: [before], options: {} },
      { op: 'ADD', inputs: [before, graph.outputs[0]!], outputs: [sum], options: { activation: 'none' } },
      { op: 'ASSIGN_VARIABLE', inputs: [variable, sum], outputs: [], options: {} },
    ],
    outputs: [sum],
  };
}

describe('a quantized model with state in a project', () => {
  it('keeps its state within a recording, and starts anew in the next', async () => {
    const project = await toyProject((text) => text.replace('vote: majority:3', 'vote: none'));
    const stateful = join(project.dir, 'streaming.tflite');
    writeFileSync(stateful, writeTflite(summing()));
    const { mean, deviation } = trained;
    const { code, stderr } = await imported(project, stateful, '--mean', mean, '--deviation', deviation);
    expect(code, stderr).toBe(0);
    const { bundle, evaluated } = await bundled(project);
    // Sums of shares of one class are largest for the same class, if every recording starts at zero.
    expect(evaluated.int8.confusion).toEqual(trained.int8.confusion);
    expect(evaluated.agreement).toBeNull();
    expect(evaluated.warnings).toContainEqual(expect.stringContaining('LiteRT cannot reset the state'));
    expect(checkGolden(bundle)).toMatchObject({ failures: [] });
    expect(bundle.info.state).toBeUndefined();
  }, 60_000);

  it('starts anew in each window with model.state: window, in the evaluation, the bundle and a loop', async () => {
    const project = await toyProject((text) =>
      text.replace('vote: majority:3', 'vote: none\n  state: window'),
    );
    const { dir } = project;
    const stateful = join(dir, 'streaming.tflite');
    writeFileSync(stateful, writeTflite(summing()));
    const { mean, deviation } = trained;
    const { code, stderr } = await imported(project, stateful, '--mean', mean, '--deviation', deviation);
    expect(code, stderr).toBe(0);
    const { bundle, evaluated } = await bundled(project);
    expect(evaluated.int8.confusion).toEqual(trained.int8.confusion);
    expect(bundle.info.state).toBe('window');
    expect(interfaceOf(bundle)).toBe(15);
    expect(checkGolden(bundle)).toMatchObject({ failures: [] });

    const [live, sent] = [join(dir, 'live.csv'), join(dir, 'sent.jsonl')];
    writeFileSync(live, toyCsv('fast', 9));
    const loop = await runCli([
      ...['loop', 'run', '--project', dir, '--model', join(dir, 'build', 'model.aiot'), '--send', 'always'],
      ...['--sensor', `file:${live}?speed=max&rate=50`, '--out', `file:${sent}`, '--json'],
    ]);
    expect(loop.code, loop.stderr).toBe(0);
    const scores = readFileSync(sent, 'utf8')
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { payload: { scores: number[] } }).payload.scores);
    expect(scores).toHaveLength(11);
    // One output of the softmax, in steps of 1/16. The sums of several windows would be larger.
    for (const own of scores) expect(own.reduce((sum, value) => sum + value, 0)).toBeLessThan(1.2);

    const changed = join(dir, 'aiot.yaml');
    writeFileSync(changed, readFileSync(changed, 'utf8').replace('state: window', 'state: stream'));
    const next = `Import the model again, with the same flags as before: \`aiot model import FILE --project ${dir}\`. Then run \`aiot model quantize --project ${dir}\` and \`aiot model evaluate --project ${dir}\`.`;
    const evaluation = await runCli(['model', 'evaluate', '--project', dir, '--json']);
    expect(evaluation).toMatchObject({
      json: { error: { code: 'AIOT_MODEL_STALE', message: expect.stringContaining('model.state'), next } },
    });
  }, 60_000);
});

describe('advice about an imported model', () => {
  const errorOf = async (...args: string[]) => {
    const { json } = await runCli([...args, '--json']);
    return (json as { error: { code: string; message: string; next: string } }).error;
  };

  it('is to import it again, because training would replace it', async () => {
    const { dir } = await toyProject();
    expect(await imported({ dir } as Project, file, '--inputs', 'standardized')).toMatchObject({ code: 0 });
    const quantize = ['model', 'quantize', '--project', dir];
    const [again, yaml] = [`aiot model import FILE --project ${dir}`, join(dir, 'aiot.yaml')];
    const config = readFileSync(yaml, 'utf8');
    for (const [from, to] of [
      ['calm: [calm]', 'still: [calm]'],
      ['stride: 25', 'stride: 10'],
    ] as const) {
      writeFileSync(yaml, config.replace(from, to));
      const { code, next } = await errorOf(...quantize);
      expect([code, next]).toEqual(['AIOT_MODEL_STALE', expect.stringContaining(again)]);
      expect(next).not.toContain('train');
    }
    writeFileSync(yaml, config);
    const float = join(dir, 'build', 'model.float.tflite');
    const bytes = readFileSync(float);
    writeFileSync(float, writeTflite({ ...readTflite(bytes), description: 'another' }));
    expect(await errorOf(...quantize)).toMatchObject({
      code: 'AIOT_MODEL_STALE',
      next: expect.stringContaining(again),
    });
    rmSync(float);
    expect(await errorOf(...quantize)).toMatchObject({
      code: 'AIOT_MODEL_NOT_BUILT',
      next: `Create it with \`${again}\`.`,
    });
    writeFileSync(float, bytes);
    for (const name of readdirSync(join(dir, 'data'))) rmSync(join(dir, 'data', name));
    writeFileSync(join(dir, 'data', 'other.csv'), toyCsv('slow', 9));
    for (const command of [quantize, ['data', 'suggest', '--project', dir]])
      expect(await errorOf(...command)).toMatchObject({
        code: 'AIOT_MODEL_STALE',
        next: expect.stringContaining(again),
      });
  }, 60_000);

  /** The classifier with another number of outputs, of which each is an output of the original. */
  const withOutputs = async (count: number) => {
    const place = graph.tensors.length;
    const { name, ...output } = graph.tensors[graph.outputs[0]!]!;
    const [begin, size] = [Int32Array.of(0, 0), Int32Array.of(1, count)].map(
      (data, i): Tensor => ({ name: `constant ${i}`, shape: [2], type: 'int32', data }),
    );
    const from = join(await temporaryFolder(), 'other.int8.tflite');
    const slice = { ...output, name: `${name} cut`, shape: [1, count] };
    const cut: Graph = {
      ...graph,
      tensors: [...graph.tensors, begin!, size!, slice],
      operators: [
        ...graph.operators,
        { op: 'SLICE', inputs: [graph.outputs[0]!, place, place + 1], outputs: [place + 2], options: {} },
      ],
      outputs: [place + 2],
    };
    writeFileSync(from, writeTflite(cut));
    return from;
  };

  it.each([
    ['one number for two classes', 1, 'labels: { calm: [calm, slow], fast: [fast] }', 'probability of fast'],
    ['two numbers for three classes', 2, null, 'List 2 classes in model.labels'],
    [
      'two numbers for a probability',
      2,
      'output: probability\n  labels: { calm: [calm, slow], fast: [fast] }',
      '`model.output: classes`',
    ],
    ['one number for three classes', 1, null, 'Change model.output and model.labels'],
  ])('fits %s, and does not name a type that is accepted', async (_what, count, model, next) => {
    const project = await toyProject((text) => (model ? text.replace(/labels: .*/, model) : text));
    const from = await withOutputs(count);
    const error = await errorOf('model', 'import', from, '--project', project.dir);
    expect(error).toMatchObject({ code: 'AIOT_MODEL_UNFIT', next: expect.stringContaining(next) });
    expect(error.message).toMatch(
      new RegExp(`expected one output of \\d numbers, got int8 \\[1, ${count}\\]`),
    );
    expect(error.next).not.toContain('task.json');
  });

  it('is to change the window if the input has another size', async () => {
    const project = await toyProject((text) => text.replace('window: 50', 'window: 40'));
    expect(await errorOf('model', 'import', file, '--project', project.dir)).toMatchObject({
      message: `${file}: expected one input of 80 numbers, got int8 [1, 100]`,
      next: expect.stringContaining('signal.window'),
    });
  });
});
