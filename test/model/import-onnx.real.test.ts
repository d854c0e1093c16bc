import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parts } from '../../scripts/parts/table.js';
import type { Tensor } from '../../src/lib/formats/tflite/graph.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { readSource } from '../../src/lib/model/import/open.js';
import { simplifyGraph } from '../../src/lib/model/network/simplify.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { floatView, openLiteRt } from '../../src/lib/runtime/litert.js';
import { root, runCli } from '../support/cli.js';
import { describeReal, python } from '../support/real.js';

const folder = mkdtempSync(join(tmpdir(), 'aiot-onnx-real-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Answers {
  shape: number[];
  inputs: (number | null)[][];
  outputShape: number[];
  outputs: (number | null)[][];
  values: Record<string, number>;
  output?: string;
}

/** Runs the script that writes models; returns its index. */
async function write<T>(
  environment: 'onnx' | 'tensorflow',
  kind: string,
  name: string,
  ...rest: string[]
): Promise<T[]> {
  const script = join(root, 'test/support/python/onnx_models.py');
  const args = [script, kind, join(folder, name), ...rest];
  await promisify(execFile)(python(environment), args, { maxBuffer: 2 ** 26 });
  return JSON.parse(readFileSync(join(folder, name, 'index.json'), 'utf8')) as T[];
}

const libraries = (environment: string) => {
  const lib = join(root, '.venv', environment, 'lib');
  return join(lib, readdirSync(lib)[0]!, 'site-packages');
};

/** The elements in the order that the imported model stores them in. */
function stored<T>(values: T[], shape: readonly number[], axes: readonly number[] | undefined): T[] {
  if (axes === undefined) return values;
  const steps = shape.map((_, k) => shape.slice(k + 1).reduce((a, b) => a * b, 1));
  const out: T[] = [];
  const walk = (k: number, at: number): void => {
    if (k === axes.length) out.push(values[at]!);
    else for (let i = 0; i < shape[axes[k]!]!; i++) walk(k + 1, at + i * steps[axes[k]!]!);
  };
  walk(0, 0);
  return out;
}

/** Returns the largest difference from ONNX Runtime, relative to values above 1, for our interpreter and, if requested, for LiteRT. */
async function difference(path: string, name: string, { litert = false, shapes = {} } = {}): Promise<number> {
  const about = JSON.parse(readFileSync(join(path, `${name}.json`), 'utf8')) as Answers;
  const { graph, axes } = await readSource(join(path, `${name}.onnx`), {
    shapes: new Map(Object.entries(shapes)),
    values: new Map(Object.entries(about.values)),
    outputs: about.output === undefined ? undefined : [about.output],
  });
  const simple = simplifyGraph(graph);
  const interpreter = createInterpreter(floatView(simple));
  const other = litert ? await openLiteRt(writeTflite(simple)) : undefined;
  let worst = 0;
  about.inputs.forEach((input, row) => {
    const x = Float32Array.from(stored(input as number[], about.shape, axes?.inputs[0]));
    const expected = stored(about.outputs[row]!, about.outputShape, axes?.outputs[0]);
    for (const got of [interpreter.invoke(x), ...(other ? [other.predict(x)] : [])]) {
      if (got.length !== expected.length) worst = Number.POSITIVE_INFINITY;
      expected.forEach((value, i) => {
        if (value === null) return;
        const off = Math.abs(got[i]! - value) / Math.max(1, Math.abs(value));
        worst = off > worst || Number.isNaN(off) ? off : worst;
      });
    }
  });
  other?.close();
  return worst;
}

/** Operators in the node tests that must not be rejected, except for the uses below. */
const core = new Set(
  'Abs Add AveragePool BatchNormalization Clip Concat Conv ConvTranspose DepthToSpace Div Elu Exp Flatten Gemm GlobalAveragePool GlobalMaxPool GRU HardSigmoid HardSwish Identity InstanceNormalization LayerNormalization LeakyRelu Log LSTM MatMul Max MaxPool Mean Min Mul Neg Pad Pow PRelu Reciprocal ReduceL1 ReduceL2 ReduceMax ReduceMean ReduceMin ReduceSum ReduceSumSquare Relu Reshape Resize RNN Selu Sigmoid Slice Softmax Softplus SpaceToDepth Split Sqrt Squeeze Sub Sum Tanh Tile Transpose Unsqueeze'.split(
    ' ',
  ),
);

/**
 * Uses of these operators that are rejected: images of three axes, dilated windows of pools, indices as outputs, training, empty results,
 * powers other than small constant ones, and rare modes.
 */
const refusedUses =
  /pool_3d|convtranspose_3d|with_argmax|pool_2d_dilations|peepholes|antialias|not_larger|not_smaller|crop_and_resize|out_of_bounds|training_mode|test_pow/;

/** A float16 value is computed as float32. */
const narrow = /FLOAT_to_FLOAT16/;

describeReal('onnx', 'importing ONNX files', () => {
  it('every operator test that is accepted matches ONNX Runtime to 1e-5, and core operators are accepted', {
    timeout: 600_000,
  }, async () => {
    const tests = await write<{ name: string; ops: string[] }>('onnx', 'nodes', 'nodes');
    const wrong: string[] = [];
    const refused: string[] = [];
    let matching = 0;
    for (const { name, ops } of tests) {
      try {
        const off = await difference(join(folder, 'nodes'), name);
        if (off <= 1e-5) matching += 1;
        else if (!narrow.test(name)) wrong.push(`${name} ${off}`);
      } catch (error) {
        expect(error).toMatchObject({
          code: expect.stringMatching(/^AIOT_(LAYER_UNSUPPORTED|FILE_MALFORMED)$/),
        });
        if (ops.every((op) => core.has(op)) && !refusedUses.test(name))
          refused.push(`${name}: ${(error as Error).message}`);
      }
    }
    expect({ wrong, refused }).toEqual({ wrong: [], refused: [] });
    expect(matching).toBeGreaterThan(400);
  });

  describe('networks', () => {
    let networks: string[] = [];
    beforeAll(async () => {
      networks = await write<string>('onnx', 'networks', 'networks');
    }, 300_000);

    it('in the style of PyTorch, or from scikit-learn, match ONNX Runtime to 1e-5, even when run by LiteRT', {
      timeout: 300_000,
    }, async () => {
      const off = [];
      for (const name of networks)
        off.push([name, await difference(join(folder, 'networks'), name, { litert: true })]);
      expect(off.filter(([, worst]) => !(Number(worst) <= 1e-5))).toEqual([]);
      expect(networks.length).toBeGreaterThanOrEqual(38);
    });

    it.each(['mlp-17', 'mobile-17', 'residual', 'sklearn-mlp-tanh'])(
      '%s quantizes within the loss limit',
      async (name) => {
        const [out, int8, rows] = ['float.tflite', 'int8.tflite', 'rows.csv'].map((file) =>
          join(folder, `${name}.${file}`),
        );
        const about = JSON.parse(readFileSync(join(folder, 'networks', `${name}.json`), 'utf8')) as Answers;
        const imported = await runCli([
          'model',
          'import',
          join(folder, 'networks', `${name}.onnx`),
          '--out',
          out!,
          '--json',
        ]);
        expect(imported).toMatchObject({ code: 0, json: { format: 'onnx', file: out } });
        const { axes } = (imported.json as { inputs: { axes?: number[] }[] }).inputs[0]!;
        const lines = about.inputs.map((input) => stored(input, about.shape, axes).join(','));
        writeFileSync(rows!, [about.inputs[0]!.map((_, k) => `f${k}`).join(','), ...lines].join('\n'));
        const quantized = await runCli([
          'model',
          'quantize',
          out!,
          '--data',
          rows!,
          '--out',
          int8!,
          '--json',
        ]);
        expect(quantized).toMatchObject({ code: 0, json: { mode: 'int8' } });
      },
      120_000,
    );
  });
});

interface SeveralEnds {
  rows: Record<'inputs' | 'outputs', { name: string; shape: number[]; values: number[] }[]>[];
}

describeReal('onnx', 'importing ONNX files with several inputs and outputs', () => {
  it('matches ONNX Runtime to 1e-5 in every output', { timeout: 120_000 }, async () => {
    const names = await write<string>('onnx', 'ends', 'ends');
    expect(names).toHaveLength(4);
    for (const name of names) {
      const path = join(folder, 'ends', name);
      const { rows } = JSON.parse(readFileSync(`${path}.json`, 'utf8')) as SeveralEnds;
      const { graph, axes } = await readSource(`${path}.onnx`);
      const interpreter = createInterpreter(simplifyGraph(graph));
      for (const { inputs, outputs } of rows) {
        expect(interpreter.inputTensors.map((tensor) => tensor.name)).toEqual(inputs.map((end) => end.name));
        const given = inputs.map(({ values, shape }, at) =>
          Float32Array.from(stored(values, shape, axes?.inputs[at])),
        );
        interpreter.run(given).forEach((got, at) => {
          const { values, shape, name: output } = outputs[at]!;
          const want = stored(values, shape, axes?.outputs[at]);
          expect(got, output).toHaveLength(want.length);
          want.forEach((value, i) => {
            expect(Math.abs(got[i]! - value), `${name}, ${output}`).toBeLessThan(1e-5);
          });
        });
      }
    }
  });
});

/** Returns the step of an int8 tensor and its zero point. */
function scaleIn(tensor: Tensor): { step: number; zero: number } {
  return { step: tensor.quantization!.scale[0]!, zero: tensor.quantization!.zeroPoint[0]! };
}

describeReal('tensorflow', 'keeping the integers of ONNX files that ONNX Runtime quantized', () => {
  it('stays within one output step of ONNX Runtime, or a few where kernels prescribe scales, in int8 throughout', {
    timeout: 600_000,
  }, async () => {
    if (!parts.onnx.ready()) return;
    const names = await write<string>('onnx', 'quantized', 'quantized', libraries('tensorflow'));
    const total = { values: 0, equal: 0, near: 0 };
    for (const name of names) {
      const own = { values: 0, near: 0, most: 0 };
      const out = join(folder, `${name}.tflite`);
      const argv = [
        'model',
        'import',
        join(folder, 'quantized', `${name}.onnx`),
        '--keep-scales',
        '--out',
        out,
      ];
      const ran = await runCli([...argv, '--json']);
      expect(ran.code, `${name}: ${ran.stderr}`).toBe(0);
      const { inputs, outputs } = ran.json as Record<'inputs' | 'outputs', { axes?: number[] }[]>;
      const about = JSON.parse(readFileSync(join(folder, 'quantized', `${name}.json`), 'utf8')) as Answers & {
        scale: number;
      };
      const interpreter = createInterpreter(readTflite(readFileSync(out)));
      expect(
        interpreter.graph.tensors.filter(({ type }) => type === 'float32'),
        name,
      ).toEqual([]);
      const [from, to] = [scaleIn(interpreter.inputTensors[0]!), scaleIn(interpreter.outputTensors[0]!)];
      expect(to.step, name).toBe(Math.fround(about.scale));
      about.inputs.forEach((input, row) => {
        const x = stored(input as number[], about.shape, inputs[0]!.axes);
        const q = Int8Array.from(x, (value) =>
          Math.max(-128, Math.min(127, roundHalfEven(value / from.step) + from.zero)),
        );
        const want = stored(about.outputs[row] as number[], about.outputShape, outputs[0]!.axes);
        interpreter.invoke(q).forEach((got, i) => {
          const steps = Math.abs(Math.round(got - to.zero - want[i]! / to.step));
          own.values += 1;
          own.near += Number(steps <= 1);
          own.most = Math.max(own.most, steps);
          total.equal += Number(steps === 0);
        });
      });
      total.values += own.values;
      total.near += own.near;
      // A QUANTIZE rounds again after kernels with a prescribed scale, and a MEAN sums integers in another order.
      const rounded = interpreter.graph.operators.some(({ op }) => op === 'QUANTIZE' || op === 'MEAN');
      expect(own.most, name).toBeLessThanOrEqual(rounded ? 4 : 1);
      expect(own.near / own.values, name).toBeGreaterThan(0.9);
    }
    const { values, equal, near } = total;
    process.stderr.write(
      `${names.length} networks: ${equal} of ${values} outputs equal ONNX Runtime's, ${near} within a step\n`,
    );
    expect(equal / values).toBeGreaterThan(0.6);
    expect(near / values).toBeGreaterThan(0.95);
  });
});

function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

describeReal('tensorflow', 'importing ONNX files of Keras models', () => {
  it('match ONNX Runtime to 1e-5; a loop is rejected by name', { timeout: 300_000 }, async () => {
    if (!parts.onnx.ready()) return;
    await write('tensorflow', 'keras', 'keras', libraries('onnx'));
    const names = await write<string>('onnx', 'answers', 'keras');
    const off = [];
    for (const name of names.filter((each) => each !== 'keras-gru'))
      off.push([name, await difference(join(folder, 'keras'), name)]);
    expect(off.filter(([, worst]) => !(Number(worst) <= 1e-5))).toEqual([]);
    await expect(difference(join(folder, 'keras'), 'keras-gru')).rejects.toMatchObject({
      code: 'AIOT_LAYER_UNSUPPORTED',
      message: expect.stringMatching(/^node \d+ \(\S+while_loop, Loop\): Loop is not supported/),
    });
  });
});

describeReal('silero', 'importing a real speech detector', () => {
  it('matches ONNX Runtime to 1e-5 with its state fixed at 0', { timeout: 120_000 }, async () => {
    if (!parts.onnx.ready()) return;
    const names = await write<string>(
      'onnx',
      'silero',
      'silero',
      join(libraries('silero'), 'silero_vad/data'),
    );
    for (const name of names)
      expect(await difference(join(folder, 'silero'), name, { shapes: { input: [1, 576] } })).toBeLessThan(
        1e-5,
      );
    expect(names.length).toBe(6);
  });
});

describeReal('magika', 'importing a real classifier of files', () => {
  it('matches ONNX Runtime to 1e-5 on a file’s bytes', { timeout: 120_000 }, async () => {
    if (!parts.onnx.ready()) return;
    const models = join(libraries('magika'), 'magika/models');
    const [name] = await write<string>(
      'onnx',
      'magika',
      'magika',
      join(models, readdirSync(models).sort().at(-1)!),
    );
    expect(await difference(join(folder, 'magika'), name!)).toBeLessThan(1e-5);
  });
});
