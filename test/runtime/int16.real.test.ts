import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import type { Graph, OperatorName } from '../../src/lib/formats/tflite/graph.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import {
  createInterpreter,
  hasKernel,
  hasMicroKernel,
} from '../../src/lib/runtime/interpreter/interpreter.js';
import { chanceInputs, long, tensorsIn, tensorsInTflm, tensorsOnDevice } from '../support/every-tensor.js';
import { GraphBuilder } from '../support/graph-builder.js';
import { expectRecorded, operatorsOn } from '../support/judged.js';
import { motorFile } from '../support/motor-files.js';
import { constantSelectGraph, oneOpGraphs } from '../support/one-op-graphs.js';
import { inOneProcess } from '../support/one-process.js';
import { describeReal } from '../support/real.js';

const [files, runs] = long ? [100, 2000] : [30, 20];
const all = Object.keys(oneOpGraphs) as OperatorName[];
const operators = all.filter((op) => hasMicroKernel(op, 'int16'));
const beyondMicro = all.filter((op) => hasKernel(op, 'int16') && !operators.includes(op));
const without = all.filter((op) => !hasKernel(op, 'int16'));

const jobsOf = (graphs: Graph[]) =>
  graphs.map((graph, seed) => ({ graph, input: chanceInputs(graph, seededRandom(seed), runs) }));

function expectSame(job: ReturnType<typeof jobsOf>[number], want: Buffer): void {
  const got = tensorsOnDevice(job);
  const [a, b] = [new Int16Array(got.buffer), new Int16Array(want.buffer)];
  const wrong = a.findIndex((value, i) => value !== b[i]);
  const where = `${job.graph.operators[0]!.op}: ${wrong} of ${a.length}, ${a[wrong]} for ${b[wrong]}`;
  expect(got.equals(want), where).toBe(true);
}

function expectEqual(graphs: Graph[]): void {
  const jobs = jobsOf(graphs);
  tensorsInTflm(jobs).forEach((want, index) => {
    expectSame(jobs[index]!, want);
  });
}

describeReal('tflm', 'int16 activations, compared with TFLite Micro', () => {
  const answersTo = inOneProcess(
    operators,
    (op) => {
      const random = seededRandom(31);
      return jobsOf(Array.from({ length: files }, () => oneOpGraphs[op]!(random, 'int16')));
    },
    tensorsInTflm,
  );
  const judged: Graph[] = [];
  it.each(operators)(
    '%s matches bit for bit',
    (op) => {
      for (const { job, answer } of answersTo(op)) {
        expectSame(job, answer);
        judged.push(job.graph);
      }
    },
    long ? 600_000 : 180_000,
  );

  it('SELECT_V2 with a constant condition matches bit for bit', () => {
    const random = seededRandom(32);
    const graphs = Array.from({ length: files }, () => constantSelectGraph(random, 'int16'));
    expectEqual(graphs);
    judged.push(...graphs);
  });

  it('has judged the operators that docs/models.md lists', async () => {
    await expectRecorded('int16.TFLM.one-operator', operatorsOn('int16', judged, 20));
  });

  it.each(['LOGISTIC', 'TANH'] as const)('computes %s with power-of-two scales', (op) => {
    const random = seededRandom(6);
    expectEqual(
      [-13, -12, -11, -10].map((power) => {
        const graph = oneOpGraphs[op]!(random, 'int16');
        graph.tensors[0]!.quantization!.scale = [2 ** power];
        return graph;
      }),
    );
  });

  it(
    'supports int32 biases with 32-bit sums',
    () => {
      const random = seededRandom(8);
      expectEqual(
        Array.from({ length: files }, () => {
          const graph = oneOpGraphs.FULLY_CONNECTED!(random, 'int16');
          for (const tensor of graph.tensors)
            if (tensor.data instanceof BigInt64Array)
              Object.assign(tensor, { type: 'int32', data: Int32Array.from(tensor.data, Number) });
          return graph;
        }),
      );
    },
    long ? 600_000 : 60_000,
  );

  it(
    'converts between int8 and int16',
    () => {
      const random = seededRandom(9);
      expectEqual(
        Array.from({ length: files }, () => {
          const [b, wide] = [new GraphBuilder(random), new GraphBuilder(random, 'int16')];
          const x = b.activation([1, 64]);
          const middle = wide.activation([1, 64]);
          const between = b.add(wide.tensors[middle]!);
          b.op({ op: 'QUANTIZE', inputs: [x], outputs: [between], options: {} });
          const y = b.activation([1, 64]);
          return b.graph(x, b.op({ op: 'QUANTIZE', inputs: [between], outputs: [y], options: {} }));
        }),
      );
    },
    long ? 600_000 : 60_000,
  );
});

describeReal('litert', 'int16 activations, compared with LiteRT’s reference kernels', () => {
  const judged: Graph[] = [];
  it.each(beyondMicro)('%s, which TFLite Micro lacks, matches bit for bit', (op) => {
    const random = seededRandom(33);
    const jobs = jobsOf(Array.from({ length: files }, () => oneOpGraphs[op]!(random, 'int16')));
    tensorsIn('litert', jobs).forEach((want, index) => {
      expectSame(jobs[index]!, want);
      judged.push(jobs[index]!.graph);
    });
  });

  it('has judged the operators that docs/models.md lists', async () => {
    const lists = operatorsOn('int16', judged, 20).filter((op) => beyondMicro.includes(op));
    await expectRecorded('int16.LiteRT.one-operator', lists);
  });

  it.each(['int8', 'int16'] as const)('a RELU6 that also rescales matches bit for bit on %s', (type) => {
    const random = seededRandom(34);
    const graphs = Array.from({ length: files }, () => {
      const b = new GraphBuilder(random, type);
      const [x, y] = [b.activation([1, 256]), b.activation([1, 256], b.scale(0.01, 0.1))];
      return b.graph(x, b.op({ op: 'RELU6', inputs: [x], outputs: [y], options: {} }));
    });
    const jobs = jobsOf(graphs);
    tensorsIn('litert', jobs).forEach((want, index) => {
      expect(tensorsOnDevice(jobs[index]!).equals(want), `${index}`).toBe(true);
    });
  });
});

describe('an int16x8 file from TensorFlow’s converter', () => {
  describeReal('tflm', 'compared with TFLite Micro', () => {
    it('matches bit for bit in every tensor', () => {
      expectEqual([readTflite(motorFile('i16x8.tflite'))]);
    });
  });
});

it.each(without)('%s on int16 is rejected', (op) => {
  expect(() => createInterpreter(oneOpGraphs[op]!(seededRandom(1), 'int16'))).toThrow(
    new RegExp(`^operator 0 \\(${op}\\): no support for int16 inputs with `),
  );
});
