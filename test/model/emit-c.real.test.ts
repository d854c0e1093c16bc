import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { elementCount, type Graph, type OperatorName } from '../../src/lib/formats/tflite/graph.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import {
  createInterpreter,
  hasKernel,
  hasMicroKernel,
} from '../../src/lib/runtime/interpreter/interpreter.js';
import { architectures, inputSize, quantizedOf, severalEnds } from '../support/architectures.js';
import { runEmittedC, runJoinedC } from '../support/emitted-c.js';
import { engineKinds } from '../support/engine-kinds.js';
import { chanceInputs, long } from '../support/every-tensor.js';
import { realOpGraphs } from '../support/float-op-graphs.js';
import { GraphBuilder } from '../support/graph-builder.js';
import {
  beyondMicroGraphs,
  coarseQuotientGraph,
  embeddingGraph,
  integerOpGraphs,
} from '../support/integer-op-graphs.js';
import { expectNear, expectRecorded, operatorsOn, operatorsReading } from '../support/judged.js';
import { motorFile } from '../support/motor-files.js';
import { oneOpGraphs } from '../support/one-op-graphs.js';
import { describeReal } from '../support/real.js';
import { runInPythonAsync } from '../support/tflite.js';

const makers = { ...architectures, ...severalEnds, ...engineKinds };
const [files, networks, runs] = long ? [60, 12, 500] : [20, 1, 100];
const bounded = { timeout: long ? 1_200_000 : 180_000 };

type Job = {
  name: string;
  graph: Graph;
  input: ReturnType<typeof chanceInputs>;
};

const networkJobs = (): Job[] =>
  Object.entries(makers).flatMap(([kind, make]) =>
    Array.from({ length: networks }, (_, seed) => {
      const graph = quantizedOf(make, 900 + seed);
      return {
        name: `${kind} ${seed}`,
        graph,
        input: chanceInputs(graph, seededRandom(seed), runs) as Int8Array,
      };
    }),
  );

/** The same kinds of models on int16 with int8 weights, except kinds in which an operator stays on float32. */
const wideNetworkJobs = (): Job[] =>
  Object.entries(makers)
    .flatMap(([kind, make]) =>
      Array.from({ length: networks }, (_, seed) => {
        const graph = quantizedOf(make, 900 + seed, 'int16x8');
        return { name: `${kind} ${seed}`, graph, input: chanceInputs(graph, seededRandom(seed), runs) };
      }),
    )
    .filter(({ graph }) => isWhole(graph));

/** The same kinds of models with float32 inputs and outputs, which TensorFlow's converter writes by default. */
const realEndJobs = (): Job[] =>
  (['int8', 'int16x8'] as const).flatMap((mode) =>
    Object.entries(makers)
      .map(([kind, make], seed) => {
        const graph = quantizedOf(make, 940 + seed, mode, 'float32');
        return { name: `${kind} ${mode}`, graph, input: chanceInputs(graph, seededRandom(seed), runs) };
      })
      .filter(({ graph }) => isWhole(graph)),
  );

/** Models on float32: one operator each, for each operator that has a kernel, and whole models of each kind. */
const realJobs = (): (Job & { op?: OperatorName })[] => {
  const single = realOpGraphs(files).map(({ op, graph }, at) => ({
    name: `${op} ${at}`,
    op,
    graph,
    input: chanceInputs(graph, seededRandom(at), runs),
  }));
  const whole = Object.entries(makers).flatMap(([kind, make]) =>
    Array.from({ length: networks }, (_, seed) => {
      const graph = make(seededRandom(980 + seed));
      return { name: `${kind} ${seed}`, graph, input: chanceInputs(graph, seededRandom(seed), runs) };
    }),
  );
  return [...single, ...whole];
};

/** Models of one operator on int16. */
const wideJobs = (): (Job & { op: OperatorName })[] =>
  (Object.keys(oneOpGraphs) as OperatorName[])
    .filter((op) => hasKernel(op, 'int16'))
    .flatMap((op) => {
      const random = seededRandom(37);
      return Array.from({ length: files }, (_, at) => {
        const graph =
          at % 4 === 3
            ? withInt32Biases(oneOpGraphs[op]!(random, 'int16'))
            : oneOpGraphs[op]!(random, 'int16');
        return { name: `${op} ${at}`, op, graph, input: chanceInputs(graph, random, runs) };
      });
    });

/** The model with int32 biases, with which sums have 32 bits. TFLite Micro supports them only in some layers. */
function withInt32Biases(graph: Graph): Graph {
  const [layer] = graph.operators;
  if (layer?.op !== 'FULLY_CONNECTED' && layer?.op !== 'CONV_2D') return graph;
  const tensors = graph.tensors.map((tensor) =>
    tensor.data instanceof BigInt64Array
      ? { ...tensor, type: 'int32' as const, data: Int32Array.from(tensor.data, Number) }
      : tensor,
  );
  return { ...graph, tensors };
}

/** int8 to int16 and back, as layers of different types do. */
const conversionJobs = (): Job[] => {
  const random = seededRandom(39);
  return Array.from({ length: 2 * files }, (_, at) => {
    const [b, wide] = [new GraphBuilder(random), new GraphBuilder(random, 'int16')];
    const x = b.activation([1, 64]);
    const between = b.add(wide.tensors[wide.activation([1, 64])]!);
    b.op({ op: 'QUANTIZE', inputs: [x], outputs: [between], options: {} });
    const y = b.activation([1, 64]);
    const graph = b.graph(x, b.op({ op: 'QUANTIZE', inputs: [between], outputs: [y], options: {} }));
    return { name: `QUANTIZE ${at}`, graph, input: chanceInputs(graph, random, runs) };
  });
};

const isInt8 = ({ tensors, inputs, outputs }: Graph) =>
  [...inputs, ...outputs].every((index) => tensors[index]!.type === 'int8');

const operatorJobs = (): Job[] =>
  (Object.keys(oneOpGraphs) as OperatorName[]).flatMap((op) => {
    const random = seededRandom(31);
    return Array.from({ length: files }, (_, at) => ({
      name: `${op} ${at}`,
      graph: oneOpGraphs[op]!(random),
    }))
      .filter(({ graph }) => isInt8(graph))
      .map((job) => ({ ...job, input: chanceInputs(job.graph, random, runs) as Int8Array }));
  });

/** Whether no operator computes with float32. */
const isWhole = ({ tensors, operators }: Graph) =>
  operators.every(
    ({ op, inputs, outputs }) =>
      converters.includes(op) || [...inputs, ...outputs].every((index) => tensors[index]?.type !== 'float32'),
  );
const converters: readonly OperatorName[] = ['CAST', 'QUANTIZE', 'DEQUANTIZE'];

/** Models of one operator on indices and conditions that C code supports. */
const integerJobs = (): Job[] =>
  Object.entries({
    ...integerOpGraphs,
    ...beyondMicroGraphs,
    'DIV int8 coarse': coarseQuotientGraph,
  }).flatMap(([name, make]) => {
    const random = seededRandom(33);
    return Array.from({ length: files }, () => make(random))
      .filter(isWhole)
      .map((graph) => ({ name, graph, input: chanceInputs(graph, random, runs) }));
  });

/** An embedding whose indices are the model's input. */
function givenIndexGraph(): Graph {
  const graph = embeddingGraph(seededRandom(4), 'int8');
  const gather = graph.operators.at(-1)!;
  const operators = [{ ...gather, inputs: [gather.inputs[0]!, graph.inputs[0]!] }] as Graph['operators'];
  return { ...graph, operators };
}

function answersOf({ graph, input }: Job): Int8Array {
  const interpreter = createInterpreter(graph);
  const size = inputSize(graph);
  const all: Uint8Array[] = [];
  for (let at = 0; at < input.length; at += size) {
    const made = interpreter.invoke(input.subarray(at, at + size));
    all.push(new Uint8Array(made.buffer, made.byteOffset, made.byteLength).slice());
  }
  return new Int8Array(Buffer.concat(all));
}

function expectSame(jobs: Job[], ours: Int8Array[], theirs: Int8Array[]): void {
  jobs.forEach(({ name }, index) => {
    expect(Buffer.from(ours[index]!.buffer).equals(Buffer.from(theirs[index]!.buffer)), name).toBe(true);
  });
}

describeReal('cc', 'generated C in a C compiler', () => {
  const sanitized = ['-O0', '-fsanitize=address,undefined', '-fno-sanitize-recover=all'];

  it('matches the interpreter bit for bit on every operator', bounded, async () => {
    const jobs = operatorJobs();
    expectSame(jobs, await runJoinedC(jobs, sanitized), jobs.map(answersOf));
  });

  it.each(['', ' -DMODEL_WIDE=0'])(
    'matches the interpreter bit for bit on every operator on int16, compiled with -O0%s',
    bounded,
    async (flags) => {
      const jobs = [...wideJobs(), ...conversionJobs()];
      const ours = await runJoinedC(jobs, [...sanitized, ...flags.split(' ').filter(Boolean)]);
      expectSame(jobs, ours, jobs.map(answersOf));
    },
  );

  it('matches the interpreter bit for bit on float32 inputs and outputs', bounded, async () => {
    const jobs = [...realEndJobs(), ...realJobs()];
    expect(jobs.length).toBeGreaterThan(Object.keys(makers).length);
    expectSame(jobs, await runJoinedC(jobs, sanitized), jobs.map(answersOf));
  });

  it('matches the interpreter bit for bit on indices and conditions', bounded, async () => {
    const jobs = integerJobs();
    expectSame(jobs, await runJoinedC(jobs, sanitized), jobs.map(answersOf));
  });

  it('takes the nearest element in place of an index that does not exist', bounded, async () => {
    const graph = givenIndexGraph();
    const size = graph.tensors[graph.operators[0]!.inputs[0]!]!.shape[0]!;
    const count = elementCount(graph.tensors[graph.inputs[0]!]!.shape);
    const input = (...values: number[]) =>
      Int32Array.from({ length: count * 2 }, (_, i) => values[Number(i >= count)]!);
    const jobs = [input(-7, size + 9), input(0, size - 1)].map((own) => ({
      name: 'index',
      graph,
      input: own,
    }));
    const [outside, inside] = await runEmittedC(jobs, sanitized);
    expect(outside).toEqual(inside);
  });

  let made: { jobs: Job[]; ours: Int8Array[] } | undefined;
  const ran = async () => {
    if (made === undefined) {
      const jobs = networkJobs();
      made = { jobs, ours: await runEmittedC(jobs, sanitized) };
    }
    return made;
  };

  it(
    'matches the interpreter bit for bit on every model kind, without sanitizer errors',
    bounded,
    async () => {
      const { jobs, ours } = await ran();
      expectSame(jobs, ours, jobs.map(answersOf));
    },
  );

  it('matches the interpreter bit for bit on every operator without vector extensions', bounded, async () => {
    const jobs = operatorJobs();
    expectSame(jobs, await runJoinedC(jobs, ['-O0', '-DMODEL_WIDE=0']), jobs.map(answersOf));
  });

  it.each([
    '-O2',
    '-O2 -DMODEL_CLONES= -fsanitize=undefined -fno-sanitize-recover=all',
    '-O3 -static',
    '-Os',
    '-O2 -DMODEL_WIDE=0',
    `${sanitized.join(' ')} -DMODEL_WIDE=0`,
  ])('produces the same outputs when compiled with %s', bounded, async (flags) => {
    const { jobs, ours } = await ran();
    const at = jobs.flatMap((_, index) => (long || index % 6 === 0 ? [index] : []));
    const some = at.map((index) => jobs[index]!);
    expectSame(
      some,
      await runEmittedC(some, flags.split(' ')),
      at.map((index) => ours[index]!),
    );
  });

  describeReal('tflm', 'compared with TFLite Micro', () => {
    it('matches bit for bit', bounded, async () => {
      const { jobs, ours } = await ran();
      const theirs = (await runInPythonAsync('tflm', jobs)).map(({ output }) => output);
      expectSame(jobs, ours, theirs);
    });

    it('matches bit for bit on every operator', bounded, async () => {
      const jobs = operatorJobs();
      const theirs = (await runInPythonAsync('tflm', jobs)).map(({ output }) => output);
      expectSame(jobs, await runJoinedC(jobs, ['-O1']), theirs);
      const graphs = jobs.map(({ graph }) => graph);
      await expectRecorded('c.TFLM.one-operator', operatorsOn('int8', graphs, 20));
    });

    it('matches bit for bit on every operator on int16', bounded, async () => {
      const jobs = wideJobs().filter(({ op }) => hasMicroKernel(op, 'int16'));
      const theirs = (await runInPythonAsync('tflm', jobs)).map(({ output }) => output);
      expectSame(jobs, await runJoinedC(jobs, ['-O1']), theirs);
      const graphs = jobs.map(({ graph }) => graph);
      await expectRecorded('c.TFLM.int16', operatorsOn('int16', graphs, 20));
    });

    it.each(['-O2', '-O3 -static', '-Os'])(
      'matches bit for bit on every model kind on int16, compiled with %s',
      bounded,
      async (flags) => {
        const jobs = wideNetworkJobs();
        const theirs = (await runInPythonAsync('tflm', jobs)).map(({ output }) => output);
        expectSame(jobs, await runEmittedC(jobs, flags.split(' ')), theirs);
      },
    );

    it('matches bit for bit on float32 inputs and outputs', bounded, async () => {
      const jobs = realEndJobs();
      const theirs = (await runInPythonAsync('tflm', jobs)).map(({ output }) => output);
      expectSame(jobs, await runJoinedC(jobs, ['-O2']), theirs);
      const graphs = jobs.map(({ graph }) => graph);
      await expectRecorded('c.TFLM.float-ends', operatorsOn('float32', graphs, 20));
    });

    it.each(['-O2', '-std=gnu11 -O3 -march=native'])(
      'matches every operator on float32 except for rounding, compiled with %s',
      bounded,
      async (flags) => {
        const jobs = realJobs();
        const theirs = (await runInPythonAsync('tflm', jobs)).map(({ output }) => output);
        const ours = await runJoinedC(jobs, flags.split(' '));
        expectSame(jobs, ours, jobs.map(answersOf));
        const { identical, rounded } = expectNear(jobs, ours, theirs);
        await expectRecorded('c.TFLM.float32', identical);
        await expectRecorded('c.TFLM-near.float32', rounded);
      },
    );

    it('matches bit for bit on indices and conditions', bounded, async () => {
      const jobs = integerJobs().filter(({ name }) => name in integerOpGraphs);
      const theirs = (await runInPythonAsync('tflm', jobs)).map(({ output }) => output);
      expectSame(jobs, await runJoinedC(jobs, ['-O1']), theirs);
      const graphs = jobs.map(({ graph }) => graph);
      const types = ['int8', 'int32', 'bool'] as const;
      const listed = types.flatMap((type) => operatorsReading(type, graphs, 20));
      await expectRecorded('c.TFLM.integers', listed);
    });

    describe('files from TensorFlow’s converter', () => {
      it.each(['int8', 'har_cnn_int8', 'i16x8'])('matches bit for bit on %s', bounded, async (name) => {
        const graph = readTflite(motorFile(`${name}.tflite`));
        const jobs = [{ name, graph, input: chanceInputs(graph, seededRandom(3), 200) }];
        const theirs = (await runInPythonAsync('tflm', jobs)).map(({ output }) => output);
        expectSame(jobs, await runEmittedC(jobs, ['-O2']), theirs);
      });
    });
  });
});
