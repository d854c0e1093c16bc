import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parts } from '../../scripts/parts/table.js';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { elementCount, type Graph, type Tensor } from '../../src/lib/formats/tflite/graph.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { readSource } from '../../src/lib/model/import/open.js';
import { withStates } from '../../src/lib/model/import/states.js';
import { refusalOfMicro } from '../../src/lib/model/inspect/costs.js';
import { simplifyGraph } from '../../src/lib/model/network/simplify.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { root, runCli } from '../support/cli.js';
import { runEmittedC } from '../support/emitted-c.js';
import { chanceInputs } from '../support/every-tensor.js';
import {
  type Answers,
  decibelsOf,
  difference,
  differences,
  leastDecibels,
  type Quantized,
  quantizedBy,
  stored,
} from '../support/onnx-answers.js';
import { describeReal, python, pythonPackages } from '../support/real.js';
import { runInPythonAsync } from '../support/tflite.js';

const folder = mkdtempSync(join(tmpdir(), 'aiot-onnx-real-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

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

let kerasNames: Promise<string[]> | undefined;

/** Keras models as ONNX files, each written by tf2onnx and by Keras's own export. They are made once. */
function kerasNetworks(): Promise<string[]> {
  kerasNames ??= (async () => {
    await write('tensorflow', 'keras', 'keras', pythonPackages('onnx'));
    return await write<string>('onnx', 'answers', 'keras');
  })();
  return kerasNames;
}

/** The operators that the documentation lists as supported. */
function documentedOperators(): Set<string> {
  const page = readFileSync(join(root, 'docs/reference/import-formats.md'), 'utf8');
  const [, table] = /## ONNX operators\n([\s\S]*?)\n\n\| limit/.exec(page)!;
  return new Set(
    [...table!.matchAll(/^\| [^|]+ \| ([^|]+) \|$/gm)]
      .flatMap(([, cell]) => cell!.match(/\b[A-Z]\w+/g) ?? [])
      .filter((name) => name !== 'ONNX' && name !== 'TFLM'),
  );
}

/** Uses of documented operators that are rejected, by the tests' names. */
const rejectedUses: Readonly<Record<string, RegExp>> = {
  // No other program drops the same elements.
  'dropping at random': /training_dropout/,
};

/** Results of which a dimension is 0. */
const emptyResults = /slice_start_out_of_bounds|shape_zero/;

/** A float16 value is computed as float32. */
const narrow = /(FLOAT|DOUBLE)_to_FLOAT16/;

/**
 * Results in the onnx package from which ONNX Runtime itself differs: sums that wrap around instead of ending at the least integer,
 * another rounding of sizes, values with four digits, bfloat16 values that are not the stored ones, a threshold of 1.2 in double
 * precision, which the test's float32 input exceeds, and numbers beyond the range of 4 bits.
 */
const otherResults =
  /qlinearmatmul_[23]D_int8_float32|downsample_scales_(cubic|linear)_align_corners|ceil_last_window|BFLOAT16_to_FLOAT|FLOAT(?:16)?_to_U?INT4|tree_ensemble_single/;

interface OperatorTest {
  name: string;
  ops: string[];
  /** Files for further outputs. */
  others?: string[];
  /** Why the test cannot be compared with ONNX Runtime. */
  skipped?: string;
}

describeReal('onnx', 'importing ONNX files', () => {
  it('every operator test of a documented operator matches ONNX Runtime and the onnx package to 1e-5, also when run by LiteRT, or is a use that is rejected', {
    timeout: 600_000,
  }, async () => {
    const tests = await write<OperatorTest>('onnx', 'nodes', 'nodes');
    const documented = documentedOperators();
    const wrong: string[] = [];
    const unexpected: string[] = [];
    const counts = {
      matching: 0,
      narrow: 0,
      otherThanPackage: 0,
      rejected: {} as Record<string, number>,
      skipped: {} as Record<string, number>,
      matchingWithOthers: 0,
    };
    for (const { name, ops, others = [], skipped } of tests) {
      const own = ops.every((op) => documented.has(op));
      if (skipped !== undefined) {
        if (own) counts.skipped[skipped] = (counts.skipped[skipped] ?? 0) + 1;
        continue;
      }
      try {
        // LiteRT has no operator for trees, and its compiled models have no empty outputs; another test reads them with its interpreter.
        const litert = !ops.includes('TreeEnsemble') && !emptyResults.test(name);
        const off = { runtime: 0, wheel: 0 };
        for (const each of [name, ...others]) {
          const own = await differences(join(folder, 'nodes'), each, { litert });
          // If a result is not a number, it stays so.
          off.runtime = Math.max(off.runtime, own.runtime);
          off.wheel = Math.max(off.wheel, own.wheel);
        }
        if (narrow.test(name)) counts.narrow += own ? 1 : 0;
        else if (off.runtime <= 1e-5 && !(off.wheel <= 1e-5) && otherResults.test(name))
          counts.otherThanPackage += 1;
        else if (!(off.runtime <= 1e-5 && off.wheel <= 1e-5)) wrong.push(`${name} ${JSON.stringify(off)}`);
        else counts[own ? 'matching' : 'matchingWithOthers'] += 1;
      } catch (error) {
        expect(error, name).toMatchObject({
          code: expect.stringMatching(/^AIOT_(LAYER_UNSUPPORTED|FILE_MALFORMED)$/),
        });
        if (!own) continue;
        const [use] = Object.entries(rejectedUses).find(([, names]) => names.test(name)) ?? [];
        if (use === undefined) unexpected.push(`${name}: ${(error as Error).message}`);
        else counts.rejected[use] = (counts.rejected[use] ?? 0) + 1;
      }
    }
    process.stderr.write(`operator tests: ${JSON.stringify(counts)}\n`);
    expect({ wrong, unexpected }).toEqual({ wrong: [], unexpected: [] });
    const tested = new Set(tests.flatMap(({ ops, skipped }) => (skipped === undefined ? ops : [])));
    expect([...documented].filter((op) => !tested.has(op)).sort()).toEqual([
      ...['LinearClassifier', 'LinearRegressor', 'LpNormalization', 'QGemm', 'Scaler'],
      ...['TreeEnsembleClassifier', 'TreeEnsembleRegressor', 'ZipMap'],
    ]);
    expect(counts).toEqual({
      matching: 958,
      narrow: 6,
      otherThanPackage: 13,
      rejected: {
        'dropping at random': 4,
      },
      skipped: {
        'a type that ONNX Runtime does not support here': 16,
        'no finite float32, int32 or int64 input': 71,
        'not supported by ONNX Runtime': 8,
        'not tensors of numbers': 12,
      },
      matchingWithOthers: 5,
    });
  });

  it('networks that compare and choose match ONNX Runtime to 1e-5, even when run by LiteRT', {
    timeout: 300_000,
  }, async () => {
    const names = await write<string>('onnx', 'choices', 'choices');
    const off = [];
    for (const name of names)
      off.push([name, await difference(join(folder, 'choices'), name, { litert: true })]);
    expect(off.filter(([, worst]) => !(Number(worst) <= 1e-5))).toEqual([]);
    expect(names).toHaveLength(11);
    const decibels = new Map<string, number>();
    for (const name of names)
      decibels.set(name, decibelsOf(await quantizedBy(folder, join(folder, 'choices'), name), name));
    process.stderr.write(`int8: ${JSON.stringify([...decibels])}\n`);
    // The others choose by a threshold or the position of a maximum, which a slightly different value can move.
    for (const name of [
      ...['causal-attention', 'masked-mean', 'piecewise', 'smooth-maximum'],
      ...['largest-values', 'running-sums', 'einsum-attention'],
    ])
      expect(decibels.get(name), name).toBeGreaterThanOrEqual(leastDecibels);
  });

  it('tensors of seven and eight dimensions match ONNX Runtime to 1e-5, even when run by LiteRT, in files with up to six', {
    timeout: 300_000,
  }, async () => {
    const names = await write<string>('onnx', 'wide', 'wide');
    const off = [];
    for (const name of names) {
      off.push([name, await difference(join(folder, 'wide'), name, { litert: true })]);
      const { graph } = await readSource(join(folder, 'wide', `${name}.onnx`));
      const { tensors } = readTflite(writeTflite(simplifyGraph(graph)));
      expect(Math.max(...tensors.map(({ shape }) => shape.length)), name).toBeLessThanOrEqual(6);
    }
    expect(off.filter(([, worst]) => !(Number(worst) <= 1e-5))).toEqual([]);
    expect(names).toHaveLength(6);
  });

  describe('networks', () => {
    const networks: { folder: string; name: string }[] = [];
    beforeAll(async () => {
      const add = (from: string, names: string[]) =>
        networks.push(...names.map((name) => ({ folder: join(folder, from), name })));
      add('networks', await write<string>('onnx', 'networks', 'networks'));
      if (parts.tensorflow.ready()) add('keras', await kerasNetworks());
    }, 600_000);

    it('in the style of PyTorch, from scikit-learn or from Keras, match ONNX Runtime to 1e-5, even when run by LiteRT', {
      timeout: 600_000,
    }, async () => {
      const off = [];
      for (const each of networks)
        off.push([each.name, await difference(each.folder, each.name, { litert: true })]);
      expect(off.filter(([, worst]) => !(Number(worst) <= 1e-5))).toEqual([]);
      process.stderr.write(`${networks.length} networks\n`);
      expect(networks.length).toBeGreaterThanOrEqual(parts.tensorflow.ready() ? 70 : 46);
    });

    const quantized = new Map<string, Promise<Quantized>>();
    /** The network in int8, imported and quantized by our commands once. */
    const quantizedOf = (network: { folder: string; name: string }): Promise<Quantized> => {
      const known = quantized.get(network.name) ?? quantizedBy(folder, network.folder, network.name);
      quantized.set(network.name, known);
      return known;
    };

    it('in int8 stay close to ONNX Runtime’s results, each of them', { timeout: 600_000 }, async () => {
      const decibels = new Map<string, number>();
      for (const network of networks) {
        const { name } = network;
        decibels.set(name, decibelsOf(await quantizedOf(network), name));
      }
      const sorted = [...decibels.values()].sort((a, b) => a - b);
      process.stderr.write(`int8: ${sorted[0]!.toFixed(1)} to ${sorted.at(-1)!.toFixed(1)} dB\n`);
      expect([...decibels].filter(([, value]) => !(value >= leastDecibels))).toEqual([]);
      expect(decibels.size).toBe(networks.length);
    });

    describeReal('tflm', 'in int8', () => {
      it('yield the same bits in TFLite Micro and, where a compiler is installed, in C', {
        timeout: 600_000,
      }, async () => {
        const jobs: { name: string; graph: Graph; file: Uint8Array; input: Int8Array }[] = [];
        const others: string[] = [];
        for (const network of networks) {
          const { file } = await quantizedOf(network);
          const graph = readTflite(file);
          const [input] = graph.inputs.map((index) => graph.tensors[index]!.type);
          if (input !== 'int8' || refusalOfMicro(graph) !== null) others.push(network.name);
          else {
            const values = chanceInputs(graph, seededRandom(jobs.length), 20) as Int8Array;
            jobs.push({ name: network.name, graph, file, input: values });
          }
        }
        const outputs = (
          await runInPythonAsync(
            'tflm',
            jobs.map(({ file, input }) => ({ graph: file, input })),
          )
        ).map(({ output }) => output);
        // A few networks have parts in float32, such as a SQRT.
        const results = parts.cc.ready() ? await runEmittedC(jobs) : [];
        const inC = new Map(results.map((result, at) => [jobs[at]!.name, result]));
        jobs.forEach(({ name, graph, input }, at) => {
          const interpreter = createInterpreter(graph);
          const size = input.length / 20;
          const ours = Array.from({ length: 20 }, (_, run) => [
            ...interpreter.invoke(input.subarray(run * size, (run + 1) * size)),
          ]).flat();
          expect(Int8Array.from(ours), name).toEqual(outputs[at]);
          if (inC.has(name)) expect(inC.get(name), `${name} in C`).toEqual(outputs[at]);
        });
        process.stderr.write(
          `${jobs.length} networks in TFLite Micro, ${inC.size} in C; not: ${others.join(', ')}\n`,
        );
        expect(jobs.length).toBeGreaterThanOrEqual(36);
        expect(jobs.map(({ name }) => name)).toEqual(
          expect.arrayContaining(['transformer', 'patches', 'attention-conv1d', 'gram']),
        );
      });
    });
  });
});

interface SeveralEnds {
  rows: Record<'inputs' | 'outputs', { name: string; shape: number[]; values: number[] }[]>[];
}

describeReal('onnx', 'importing ONNX files with several inputs and outputs', () => {
  it('matches ONNX Runtime to 1e-5 in every output', { timeout: 120_000 }, async () => {
    const names = await write<string>('onnx', 'ends', 'ends');
    expect(names).toHaveLength(9);
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

describe('an output without elements', () => {
  describe.each(['litert', 'tflm'] as const)('in %s', (environment) => {
    describeReal(environment, 'read from a file', () => {
      it('is empty, beside another output or as the only one', async () => {
        const empty: Tensor = { name: 'rest', shape: [2, 0, 5], type: 'float32', data: new Float32Array(0) };
        const x: Tensor = { name: 'x', shape: [1, 3], type: 'float32' };
        const graph: Graph = {
          name: 'main',
          description: 'rest',
          tensors: [x, { ...x, name: 'y' }, empty],
          operators: [{ op: 'RELU', inputs: [0], outputs: [1], options: {} }],
          inputs: [0],
          outputs: [1, 2],
        };
        const alone = { ...graph, tensors: [x, empty], operators: [], outputs: [1] };
        const input = Float32Array.of(-1, 2, 3);
        const jobs = [graph, alone].map((each) => ({ graph: each, input }));
        const [both, one] = await runInPythonAsync<{ refused?: string }>(environment, jobs);
        expect([both!.report.refused, one!.report.refused]).toEqual([undefined, undefined]);
        expect(new Float32Array(both!.output.buffer)).toEqual(Float32Array.of(0, 2, 3));
        expect(one!.output).toHaveLength(0);
        for (const each of [graph, alone])
          expect(
            createInterpreter(readTflite(writeTflite(each)))
              .run([input])
              .at(-1),
          ).toHaveLength(0);
      });
    });
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
    const names = await write<string>('onnx', 'quantized', 'quantized', pythonPackages('tensorflow'));
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
  it('match ONNX Runtime to 1e-5, also with a loop over the steps', { timeout: 300_000 }, async () => {
    if (!parts.onnx.ready()) return;
    const names = await kerasNetworks();
    const off = [];
    for (const name of names) off.push([name, await difference(join(folder, 'keras'), name)]);
    expect(off.filter(([, worst]) => !(Number(worst) <= 1e-5))).toEqual([]);
    expect(names).toEqual(expect.arrayContaining(['keras-gru', 'keras-export-gru']));
    expect(names.length).toBe(24);
  });
});

interface Stream {
  shapes: Record<string, number[]>;
  /** Whether it has an input for the sample rate. */
  rate: boolean;
  /** Names of the outputs: the probability of speech, and the states. */
  ends: string[];
  frames: number[][];
  results: { probability: number; states: number[][] }[];
}

/** The largest difference, relative to values above 1. */
function apart(got: ArrayLike<number>, want: readonly number[]): number {
  expect(got).toHaveLength(want.length);
  return want.reduce(
    (most, value, i) => Math.max(most, Math.abs(got[i]! - value) / Math.max(1, Math.abs(value))),
    0,
  );
}

describeReal('silero', 'importing a real speech detector', () => {
  it('matches ONNX Runtime to 1e-5 with its state fixed at 0', { timeout: 120_000 }, async () => {
    if (!parts.onnx.ready()) return;
    const names = await write<string>(
      'onnx',
      'silero',
      'silero',
      join(pythonPackages('silero'), 'silero_vad/data'),
    );
    for (const name of names)
      expect(await difference(join(folder, 'silero'), name, { shapes: { input: [1, 576] } })).toBeLessThan(
        1e-5,
      );
    expect(names.length).toBe(6);
  });

  it('yields ONNX Runtime’s probabilities to 1e-5 over a stream of frames, with its state carried', {
    timeout: 240_000,
  }, async () => {
    if (!parts.onnx.ready()) return;
    const data = join(pythonPackages('silero'), 'silero_vad/data');
    const words = join(root, 'templates/keyword-spotting/words.wav');
    const names = await write<string>('onnx', 'stream', 'stream', data, words);
    expect(names.length).toBe(6);
    for (const name of names) {
      const about = JSON.parse(readFileSync(join(folder, 'stream', `${name}.json`), 'utf8')) as Stream;
      const { graph, axes } = await readSource(join(data, `${name}.onnx`), {
        shapes: new Map(Object.entries(about.shapes)),
        values: new Map(about.rate ? [['sr', 16_000]] : []),
        outputs: about.ends,
      });
      const interpreter = createInterpreter(simplifyGraph(graph));
      const [, ...inputs] = Object.keys(about.shapes);
      const pairs = inputs.map((input, k) => `${input}=${about.ends[k + 1]}`);
      const stateful = createInterpreter(
        readTflite(writeTflite(simplifyGraph(withStates(graph, axes, pairs).graph))),
      );
      // A state that is returned in another order of axes than it is taken in could not be carried as it is.
      expect(axes?.inputs.slice(1), name).toEqual(axes?.outputs.slice(1));
      const states = interpreter.inputTensors
        .map(({ shape }) => new Float32Array(elementCount(shape)))
        .slice(1);
      expect(states.length, name).toBe(about.ends.length - 1);
      const shapeOf = Object.values(about.shapes).slice(1);
      const worst = { probability: 0, state: 0 };
      about.results.forEach(({ probability, states: after }, at) => {
        const [own, ...carried] = interpreter.run([Float32Array.from(about.frames[at]!), ...states]);
        worst.probability = Math.max(worst.probability, Math.abs(own![0]! - probability));
        expect(stateful.invoke(Float32Array.from(about.frames[at]!))[0], name).toBe(own![0]);
        after.forEach((state, k) => {
          const want = stored(state, shapeOf[k]!, axes?.outputs[k + 1]);
          worst.state = Math.max(worst.state, apart(carried[k]!, want));
          states[k] = Float32Array.from(carried[k]!);
        });
      });
      const probabilities = about.results.map(({ probability }) => probability);
      expect(worst.probability, name).toBeLessThan(1e-5);
      // Each cell sums hundreds of products in float32. With other optimizations, ONNX Runtime's own states differ by 3e-6.
      expect(worst.state, name).toBeLessThan(3e-5);
      // The sound contains speech and silence.
      expect(Math.max(...probabilities), name).toBeGreaterThan(0.5);
      expect(Math.min(...probabilities), name).toBeLessThan(0.2);
    }
  });
});

describeReal('magika', 'importing a real classifier of files', () => {
  it('matches ONNX Runtime to 1e-5 on a file’s bytes', { timeout: 120_000 }, async () => {
    if (!parts.onnx.ready()) return;
    const models = join(pythonPackages('magika'), 'magika/models');
    const [name] = await write<string>(
      'onnx',
      'magika',
      'magika',
      join(models, readdirSync(models).sort().at(-1)!),
    );
    expect(await difference(join(folder, 'magika'), name!)).toBeLessThan(1e-5);
  });
});
