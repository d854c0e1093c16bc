import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import {
  elementCount,
  type Graph,
  type OperatorName,
  type TensorType,
} from '../../src/lib/formats/tflite/graph.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import {
  createInterpreter,
  hasKernel,
  hasMicroKernel,
} from '../../src/lib/runtime/interpreter/interpreter.js';
import { architectures, quantizedOf } from '../support/architectures.js';
import { root } from '../support/cli.js';
import { engineKinds } from '../support/engine-kinds.js';
import { chanceInputs, long } from '../support/every-tensor.js';
import { realOpGraphs } from '../support/float-op-graphs.js';
import { hardForest } from '../support/hard-forest.js';
import {
  coarseQuotientGraph,
  conditionsGraph,
  conversionsGraph,
  indicesGraph,
  integerOpGraphs,
  requantizedGraph,
  wrappedGraph,
} from '../support/integer-op-graphs.js';
import { expectNear, expectRecorded, operatorsOn, operatorsReading } from '../support/judged.js';
import { mixedTypeGraphs, mixedTypeJobs } from '../support/mixed-type-graphs.js';
import { runInFirmware } from '../support/native-interpreter.js';
import { oneOpGraphs } from '../support/one-op-graphs.js';
import { describeReal } from '../support/real.js';
import { runInPythonAsync } from '../support/tflite.js';
import { spectra, steps, wakeWords } from '../support/wake-words.js';

const makers = { ...architectures, ...engineKinds };
const kinds = Object.keys(makers) as (keyof typeof makers)[];
const [files, networks, runs] = long ? [200, 20, 500] : [40, 4, 50];

/** Timeout of a test, ms. With sanitizers, models run slowly on a busy machine. */
const timeout = long ? 600_000 : 180_000;

/** Whether a model has int8 inputs and outputs. */
const isInt8 = ({ tensors, inputs, outputs }: Graph) =>
  [...inputs, ...outputs].every((index) => tensors[index]!.type === 'int8');

type Inputs = ReturnType<typeof chanceInputs>;

/** The bytes of the outputs of consecutive runs. */
function answersOf(graph: Graph, input: Inputs): Int8Array {
  const interpreter = createInterpreter(graph);
  const size = elementCount(interpreter.inputTensors[0]!.shape);
  const all: Buffer[] = [];
  for (let at = 0; at < input.length; at += size)
    all.push(Buffer.from(interpreter.invoke(input.subarray(at, at + size)).slice().buffer));
  return new Int8Array(Buffer.concat(all));
}

describeReal('cmake', 'the firmware’s interpreter, built with sanitizers', () => {
  let build = '';
  let program = '';
  beforeAll(async () => {
    build = mkdtempSync(join(tmpdir(), 'aiot-firmware-'));
    program = join(build, 'run_models');
    for (const args of [
      ['-S', join(root, 'firmware'), '-B', build],
      ['--build', build, '--target', 'run_models', '--parallel', '2'],
    ])
      await promisify(execFile)('cmake', args, { maxBuffer: 2 ** 26 });
  }, 120_000);
  afterAll(() => {
    rmSync(build, { recursive: true, force: true });
  });

  const operatorJobs = () =>
    (Object.keys(oneOpGraphs) as OperatorName[]).flatMap((op) => {
      const random = seededRandom(23);
      return Array.from({ length: files }, (_, at) => ({
        name: `${op} ${at}`,
        graph: oneOpGraphs[op]!(random),
      }))
        .filter(({ graph }) => isInt8(graph))
        .map((job) => ({ ...job, input: chanceInputs(job.graph, random, runs) as Int8Array }));
    });
  const wideJobs = () =>
    (Object.keys(oneOpGraphs) as OperatorName[])
      .filter((op) => hasKernel(op, 'int16'))
      .flatMap((op) => {
        const random = seededRandom(41);
        return Array.from({ length: files }, (_, at) => {
          const graph = oneOpGraphs[op]!(random, 'int16');
          return { name: `${op} ${at}`, op, graph, input: chanceInputs(graph, random, runs) };
        });
      });
  /** Models of one operator on indices and conditions, with one input. */
  const integerJobs = () =>
    Object.entries({ ...integerOpGraphs, 'DIV int8 coarse': coarseQuotientGraph }).flatMap(([name, make]) => {
      const random = seededRandom(43);
      return Array.from({ length: files }, () => make(random))
        .filter(({ tensors, inputs }) => {
          const types = new Set<TensorType>(tensors.map(({ type }) => type));
          return inputs.length === 1 && !types.has('float32');
        })
        .map((graph) => ({ name, graph, input: chanceInputs(graph, random, runs) }));
    });
  const valueGraphs = {
    conditions: conditionsGraph,
    conversions: conversionsGraph,
    wrapped: wrappedGraph,
    indices: indicesGraph,
    requantized: requantizedGraph,
  };
  const valueJobs = (name: keyof typeof valueGraphs) => {
    const random = seededRandom(29);
    return Array.from({ length: 4 * files }, (_, at) => {
      const graph = valueGraphs[name](random);
      return { name: `${name} ${at}`, graph, input: chanceInputs(graph, random, runs) as Int8Array };
    });
  };
  const networkJobs = () =>
    kinds.flatMap((kind) =>
      Array.from({ length: networks }, (_, seed) => {
        const graph = quantizedOf(makers[kind], 500 + seed);
        return {
          name: `${kind} ${seed}`,
          graph,
          input: chanceInputs(graph, seededRandom(seed), runs) as Int8Array,
        };
      }),
    );

  /** Models with float32 inputs and outputs, which TensorFlow's converter writes by default. */
  const realEndJobs = () =>
    (['int8', 'int16x8'] as const).flatMap((mode) =>
      kinds
        .map((kind, seed) => {
          const graph = quantizedOf(makers[kind], 560 + seed, mode, 'float32');
          return { name: `${kind} ${mode}`, graph, input: chanceInputs(graph, seededRandom(seed), runs) };
        })
        .filter(({ graph: { tensors, operators } }) =>
          operators.every(
            ({ op, inputs }) => op.endsWith('QUANTIZE') || tensors[inputs[0]!]!.type !== 'float32',
          ),
        ),
    );

  /** Models on float32: one operator each, and whole networks. */
  const realJobs = () => {
    const single = realOpGraphs(files / 2);
    const whole = kinds.map((kind) => ({ op: undefined, graph: makers[kind](seededRandom(580)) }));
    return [...single, ...whole].map(({ op, graph }, at) => ({
      name: `${op ?? 'network'} ${at}`,
      op,
      graph,
      input: chanceInputs(graph, seededRandom(at), runs),
    }));
  };

  /** Operators that read one integer type and yield another. */
  const mixedJobs = () =>
    Object.keys(mixedTypeGraphs).flatMap((name) => mixedTypeJobs(name, seededRandom(47), files, runs));

  it.each([
    ['each operator', operatorJobs],
    ['each operator on float32', realJobs],
    ['float32 inputs and outputs', realEndJobs],
    ['each operator on int16', wideJobs],
    ['indices and conditions', integerJobs],
    ['operators from one integer type to another', mixedJobs],
    ['whole networks of each kind', networkJobs],
    ['combined conditions', () => valueJobs('conditions')],
    ['positions and converted values', () => valueJobs('conversions')],
    ['converted numbers that do not fit', () => valueJobs('wrapped')],
    ['elements at computed indices', () => valueJobs('indices')],
    ['numbers quantized between operators', () => valueJobs('requantized')],
  ])(
    'computes %s bit for bit as the TypeScript interpreter does',
    async (_, jobsOf) => {
      const jobs = jobsOf();
      expect(jobs.length).toBeGreaterThan(kinds.length);
      (await runInFirmware(program, jobs)).forEach(({ output, said }, index) => {
        const { name, graph, input } = jobs[index]!;
        expect(said, name).toMatch(/^ok \d+$/);
        expect(Buffer.from(output.buffer).equals(Buffer.from(answersOf(graph, input).buffer)), name).toBe(
          true,
        );
      });
    },
    timeout,
  );

  it('computes decision trees with the sums of the TypeScript interpreter', async () => {
    const { graph, forest, rows } = await hardForest();
    const input = new Int8Array(Float32Array.from(rows.flatMap((row) => [...row])).buffer);
    const [ran] = await runInFirmware(program, [{ graph, input }]);
    // They need no arena.
    expect(ran!.said).toBe('ok 0');
    const sums = Array.from(new Int32Array(ran!.output.buffer), (sum) => sum * forest.scale);
    const interpreter = createInterpreter(graph);
    expect(sums).toEqual(rows.flatMap((row) => [...interpreter.invoke(row)]));
    await expectRecorded('firmware.interpreter.trees', ['FOREST']);
  });

  it('rejects the decision trees that the TypeScript interpreter rejects', async () => {
    const { graph, forest } = await hardForest();
    const second = forest.roots[1]!;
    const changes: [tensor: number, at: number, value: number][] = [
      [1, 2, 0],
      [1, 3, forest.nodes.length / 4],
      [1, 2, second],
      [1, 2, -1 - forest.leaves.length / 3],
      [1, 0, 7],
      [1, 0, -1],
      [2, 0, 2 ** 24],
      [2, 0, -(2 ** 31)],
      [3, 1, 0],
      [3, 1, forest.nodes.length / 4],
      [4, 0, 2 ** 24],
    ];
    const jobs = changes.map(([tensor, at, value]) => {
      const tensors = graph.tensors.map((own, i) => {
        if (i !== tensor) return own;
        const data = (own.data as Int32Array).slice();
        data[at] = value;
        return { ...own, data };
      });
      return { graph: { ...graph, tensors }, input: new Int8Array() };
    });
    const said = await runInFirmware(program, jobs);
    jobs.forEach((job, i) => {
      expect(() => createInterpreter(job.graph), `change ${i}`).toThrow();
      expect(said[i]!.said, `change ${i}`).toMatch(/^AIOT_/);
    });
  });

  describeReal('wakeword', 'on real streaming wake-word models', () => {
    it(`computes ${steps} steps bit for bit as the TypeScript interpreter does`, async () => {
      const input = spectra(seededRandom(9));
      const jobs = wakeWords().map(({ name, file }) => ({ name, graph: file, input }));
      (await runInFirmware(program, jobs)).forEach(({ output, said }, index) => {
        const { name, graph } = jobs[index]!;
        expect(said, name).toMatch(/^ok \d+$/);
        expect(output, name).toEqual(answersOf(readTflite(graph), input));
      });
    }, 60_000);
  });

  describeReal('tflm', 'compared with TFLite Micro', () => {
    it(
      'computes the same bits',
      async () => {
        const jobs = [...networkJobs(), ...operatorJobs()].filter((_, at) => long || at % 5 === 0);
        const ours = await runInFirmware(program, jobs);
        (await runInPythonAsync('tflm', jobs)).forEach(({ output }, index) => {
          expect(
            Buffer.from(ours[index]!.output.buffer).equals(Buffer.from(output.buffer)),
            jobs[index]!.name,
          ).toBe(true);
        });
        const graphs = jobs.map(({ graph }) => graph);
        await expectRecorded('firmware.TFLM.one-operator', operatorsOn('int8', graphs, 8));
      },
      timeout,
    );

    it(
      'computes the same bits of each operator on int16',
      async () => {
        const jobs = wideJobs().filter(({ op }, at) => hasMicroKernel(op, 'int16') && (long || at % 2 === 0));
        const ours = await runInFirmware(program, jobs);
        (await runInPythonAsync('tflm', jobs)).forEach(({ output }, index) => {
          const bytes = Buffer.from(output.buffer, output.byteOffset, output.byteLength);
          expect(Buffer.from(ours[index]!.output.buffer).equals(bytes), jobs[index]!.name).toBe(true);
        });
        const graphs = jobs.map(({ graph }) => graph);
        await expectRecorded('firmware.TFLM.int16', operatorsOn('int16', graphs, 20));
      },
      timeout,
    );

    it(
      'computes each operator on float32, except for rounding',
      async () => {
        const jobs = realJobs();
        const ours = (await runInFirmware(program, jobs)).map(({ output }) => output);
        const theirs = (await runInPythonAsync('tflm', jobs)).map(({ output }) => output);
        const { identical, rounded } = expectNear(jobs, ours, theirs);
        await expectRecorded('firmware.TFLM.float32', identical);
        await expectRecorded('firmware.TFLM-near.float32', rounded);
      },
      timeout,
    );

    it(
      'computes the same bits of models with float32 inputs and outputs',
      async () => {
        const jobs = realEndJobs();
        const ours = await runInFirmware(program, jobs);
        (await runInPythonAsync('tflm', jobs)).forEach(({ output }, index) => {
          const bytes = Buffer.from(output.buffer, output.byteOffset, output.byteLength);
          expect(Buffer.from(ours[index]!.output.buffer).equals(bytes), jobs[index]!.name).toBe(true);
        });
        const graphs = jobs.map(({ graph }) => graph);
        await expectRecorded('firmware.TFLM.float-ends', operatorsOn('float32', graphs, 20));
      },
      timeout,
    );

    it(
      'computes the same bits of indices and conditions',
      async () => {
        const defined = integerJobs().filter(({ name }) => name in integerOpGraphs);
        const jobs = defined.filter((_, at) => long || at % 2 === 0);
        const ours = await runInFirmware(program, jobs);
        (await runInPythonAsync('tflm', jobs)).forEach(({ output }, index) => {
          const bytes = Buffer.from(output.buffer, output.byteOffset, output.byteLength);
          expect(Buffer.from(ours[index]!.output.buffer).equals(bytes), jobs[index]!.name).toBe(true);
        });
        const graphs = jobs.map(({ graph }) => graph);
        const listed = (['int32', 'bool'] as const).flatMap((type) => operatorsReading(type, graphs, 10));
        await expectRecorded('firmware.TFLM.integers', listed);
      },
      timeout,
    );

    const compared = async (name: Exclude<keyof typeof valueGraphs, 'wrapped'>) => {
      const jobs = valueJobs(name);
      const ours = await runInFirmware(program, jobs);
      const theirs = (await runInPythonAsync('tflm', jobs)).map(({ output }) => output);
      expect(ours.map(({ output }) => output)).toEqual(theirs);
      return jobs.map(({ graph }) => graph);
    };

    it(
      'computes the same bits of combined conditions',
      async () => {
        const graphs = await compared('conditions');
        await expectRecorded('firmware.TFLM.conditions', operatorsReading('bool', graphs, 8));
      },
      timeout,
    );

    it(
      'computes the same bits of elements at computed indices, and of numbers quantized between operators',
      async () => {
        const gathered = await compared('indices');
        await expectRecorded('firmware.TFLM.indices', operatorsReading('int8', gathered, 8));
        const graphs = await compared('requantized');
        const listed = (['int16', 'float32'] as const).flatMap((type) => operatorsReading(type, graphs, 8));
        await expectRecorded('firmware.TFLM.quantized', listed);
      },
      timeout,
    );

    it(
      'computes the same bits of positions and converted values',
      async () => {
        const graphs = await compared('conversions');
        const types = ['int8', 'int16', 'int32', 'float32', 'bool'] as const;
        const listed = types.flatMap((type) => operatorsReading(type, graphs, 8));
        await expectRecorded('firmware.TFLM.conversions', listed);
      },
      timeout,
    );
  });
});
