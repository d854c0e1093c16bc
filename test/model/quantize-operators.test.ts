import { describe, expect, it } from 'vitest';
import { gaussian, seededRandom } from '../../src/lib/core/numbers.js';
import { elementCount, type Graph } from '../../src/lib/formats/tflite/graph.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { quantizeGraph } from '../../src/lib/model/quantize/graph/quantize-graph.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { floatView } from '../../src/lib/runtime/litert.js';
import { architectures } from '../support/architectures.js';
import {
  embeddingNetwork,
  FloatNetwork,
  lstmNetwork,
  streamingNetwork,
  svdfNetwork,
} from '../support/float-network.js';
import { floatOpGraphs } from '../support/float-op-graphs.js';

function samples(graph: Graph, count: number, seed = 1): Float32Array[] {
  const random = seededRandom(seed);
  const length = elementCount(graph.tensors[graph.inputs[0]!]!.shape);
  return Array.from({ length: count }, () => Float32Array.from({ length }, () => gaussian(random)));
}

/** Signal-to-noise ratio of the int8 model's outputs relative to the float model's, in decibels. */
function signalToNoise(float: Graph, int8: Graph): number {
  const [a, b] = [createInterpreter(float), createInterpreter(floatView(int8))];
  let [signal, noise] = [0, 0];
  for (const input of samples(float, 100)) {
    const got = b.invoke(input);
    a.invoke(input).forEach((value, i) => {
      signal += value ** 2;
      noise += (value - got[i]!) ** 2;
    });
  }
  return 10 * Math.log10(signal / noise);
}

describe('quantization of every operator', () => {
  it.each(Object.entries(architectures))('keeps %s close to the float model', (_kind, make) => {
    for (let seed = 0; seed < 6; seed++) {
      const float = make(seededRandom(seed));
      const int8 = quantizeGraph(float, samples(float, 100), { mode: 'int8', calibration: 'min-max' }).graph;
      expect(signalToNoise(float, readTflite(writeTflite(int8)))).toBeGreaterThan(18);
    }
  });
});

describe('a quantized network with an embedding', () => {
  const random = seededRandom(8);
  const [words, width, length] = [40, 6, 8];
  const float = embeddingNetwork(random, { words, width, length });
  const rows = Array.from({ length: 200 }, () =>
    Float32Array.from({ length }, () => Math.floor(random() * words)),
  );
  const { graph: int8, report } = quantizeGraph(float, rows, { mode: 'int8', calibration: 'min-max' });

  it('keeps its int32 input, and has an int8 table', () => {
    expect(int8.tensors[int8.inputs[0]!]!.type).toBe('int32');
    const gather = int8.operators.find(({ op }) => op === 'GATHER')!;
    expect(int8.tensors[gather.inputs[0]!]!.data).toBeInstanceOf(Int8Array);
    expect(report.io).toBe('int8');
  });

  it('stays close to the float network, and is written and read without loss', () => {
    const read = readTflite(writeTflite(int8));
    const [a, b] = [createInterpreter(floatView(float)), createInterpreter(floatView(read))];
    let [signal, noise] = [0, 0];
    for (const row of rows) {
      const got = b.invoke(row);
      a.invoke(row).forEach((value, i) => {
        signal += value ** 2;
        noise += (value - got[i]!) ** 2;
      });
    }
    expect(10 * Math.log10(signal / noise)).toBeGreaterThan(25);
  });
});

describe('a quantized recurrent layer', () => {
  /** A slowly changing signal, as from a sensor. */
  const stream = (graph: Graph, count: number) => {
    const random = seededRandom(7);
    const length = elementCount(graph.tensors[graph.inputs[0]!]!.shape);
    return Array.from({ length: count }, (_, i) =>
      Float32Array.from({ length }, (_x, k) => Math.sin((i * 3 + k) / 9) + 0.3 * gaussian(random)),
    );
  };
  const ratio = (float: Graph, quantized: Graph) => {
    const [a, b] = [createInterpreter(float), createInterpreter(floatView(quantized))];
    let [signal, noise] = [0, 0];
    for (const row of stream(float, 150)) {
      const got = b.invoke(row);
      a.invoke(row).forEach((value, i) => {
        signal += value ** 2;
        noise += (value - got[i]!) ** 2;
      });
    }
    return 10 * Math.log10(signal / noise);
  };
  it.each([
    ['LSTM', 'int8', lstmNetwork, 'UNIDIRECTIONAL_SEQUENCE_LSTM', 24],
    ['LSTM', 'int16x8', lstmNetwork, 'UNIDIRECTIONAL_SEQUENCE_LSTM', 32],
    ['SVDF', 'int8', svdfNetwork, 'SVDF', 24],
    ['LSTM', 'float16', lstmNetwork, 'UNIDIRECTIONAL_SEQUENCE_LSTM', 50],
    ['SVDF', 'dynamic', svdfNetwork, 'SVDF', 30],
  ] as const)(
    '%s keeps its state in %s, and stays close to the float model',
    (_name, mode, make, op, least) => {
      const ratios = Array.from({ length: 12 }, (_, seed) => {
        const float = make(seededRandom(seed));
        const { graph } = quantizeGraph(float, stream(float, 100), { mode, calibration: 'min-max' });
        const layer = graph.operators.find((operator) => operator.op === op)!;
        const { type } = graph.tensors[layer.outputs[0]!]!;
        expect(type).toBe(mode === 'int8' ? 'int8' : mode === 'int16x8' ? 'int16' : 'float32');
        return ratio(float, readTflite(writeTflite(graph)));
      });
      expect(Math.min(...ratios)).toBeGreaterThan(least);
    },
  );

  it('stays float32 if TFLite Micro has no kernel for it, or the kernel ignores its activation', () => {
    const float = svdfNetwork(seededRandom(1));
    const wide = quantizeGraph(float, stream(float, 50), { mode: 'int16x8', calibration: 'min-max' });
    expect(wide.report.notes).toContain(
      'operator 0 (SVDF) stays float32: TFLite Micro has no int16 kernel for it',
    );
    const operators = float.operators.map((operator) =>
      operator.op === 'SVDF'
        ? { ...operator, options: { ...operator.options, activation: 'relu6' as const } }
        : operator,
    );
    const clipped = quantizeGraph({ ...float, operators }, stream(float, 50), {
      mode: 'int8',
      calibration: 'min-max',
    });
    expect(clipped.report.notes).toContain('operator 0 (SVDF) stays float32: its int8 kernel ignores relu6');
  });

  it('stays float32 if int8 rounds its divisors to 0', () => {
    const float = floatOpGraphs.DIV!(seededRandom(1));
    const { graph, report } = quantizeGraph(float, samples(float, 50), {
      mode: 'int8',
      calibration: 'min-max',
    });
    const division = graph.operators.find(({ op }) => op === 'DIV')!;
    expect(graph.tensors[division.outputs[0]!]!.type).toBe('float32');
    expect(report.notes).toContainEqual(
      expect.stringContaining('(DIV) stays float32: int8 rounds small divisors to 0'),
    );
  });

  it('rejects a cell state beyond the range of the kernel', () => {
    const float = lstmNetwork(seededRandom(3));
    const [layer] = float.operators;
    const tensors = [...float.tensors];
    // With an open forget gate and a saturated candidate, the cell state grows by one with each step.
    for (const place of [12, 13, 14]) {
      const index = layer!.inputs[place]!;
      tensors[index] = { ...tensors[index]!, data: (tensors[index]!.data as Float32Array).map(() => 50) };
    }
    const grown = {
      ...float,
      tensors,
      operators: [{ ...layer!, options: { ...layer!.options, cellClip: 0 } }, ...float.operators.slice(1)],
    } as Graph;
    expect(() => quantizeGraph(grown, stream(float, 200), { mode: 'int8' })).toThrow(
      /^the cell state of an LSTM reaches \d+, expected at most 64$/,
    );
  });
});

describe('a quantized streaming network', () => {
  it.each(['int8', 'int16x8'] as const)(
    'keeps the state of %s without conversions, and stays close',
    (mode) => {
      const random = seededRandom(9);
      const float = streamingNetwork(random);
      const rows = Array.from({ length: 150 }, (_, i) =>
        Float32Array.from({ length: 4 }, (_x, k) => Math.sin(i / (3 + k)) + 0.3 * gaussian(random)),
      );
      const { graph } = quantizeGraph(float, rows, { mode, calibration: 'min-max' });
      const assigned = graph.operators.find(({ op }) => op === 'ASSIGN_VARIABLE')!;
      const maker = graph.operators.find(({ outputs }) => outputs.includes(assigned.inputs[1]!))!;
      expect(maker.op).toBe('STRIDED_SLICE');
      const [a, b] = [createInterpreter(float), createInterpreter(floatView(readTflite(writeTflite(graph))))];
      let [signal, noise] = [0, 0];
      for (const row of rows) {
        const got = b.invoke(row);
        a.invoke(row).forEach((value, i) => {
          signal += value ** 2;
          noise += (value - got[i]!) ** 2;
        });
      }
      // The weights are int8 in both modes.
      expect(10 * Math.log10(signal / noise)).toBeGreaterThan(mode === 'int8' ? 25 : 35);
    },
  );
});

describe('a quantized concatenation', () => {
  const n = new FloatNetwork(seededRandom(4));
  const x = n.float([1, 1, 8, 2]);
  const pooled = n.pool(x, 'MAX_POOL_2D', { filter: [1, 2] });
  const wide = n.convolution(x, 2, { filter: [1, 3] });
  const bounded = n.unary(wide, 'TANH');
  const alone = n.convolution(x, 2, { filter: [1, 3] });
  const constant = n.values([1, 1, 8, 1], 1);
  const float = n.graph(x, n.concatenation([pooled, bounded, alone, constant], 3));
  const int8 = quantizeGraph(float, samples(float, 50), { mode: 'int8', calibration: 'min-max' }).graph;
  const scaleOf = (index: number) => int8.tensors[index]!.quantization!.scale[0]!;

  it('gives its scale to all inputs', () => {
    const joined = int8.operators.at(-1)!;
    expect(joined.op).toBe('CONCATENATION');
    for (const index of joined.inputs) expect(scaleOf(index)).toBe(scaleOf(int8.outputs[0]!));
  });

  it('requantizes inputs with a fixed or shared scale, and sets the range of the others', () => {
    const operators = int8.operators.map(({ op }) => op);
    expect(operators.filter((op) => op === 'QUANTIZE')).toHaveLength(2);
    const free = int8.operators.filter(({ op }) => op === 'CONV_2D').at(-1)!;
    expect(int8.operators.at(-1)!.inputs).toContain(free.outputs[0]);
  });

  it('never clips the model’s input', () => {
    const highest = Math.max(...samples(float, 50).map((values) => Math.max(...values)));
    const { scale, zeroPoint } = int8.tensors[int8.inputs[0]!]!.quantization!;
    // The zero point is rounded, so the range may be up to half a step short.
    expect((127.5 - zeroPoint[0]!) * scale[0]!).toBeGreaterThanOrEqual(highest);
  });
});

it('quantization gives a usable scale to a difference that is always 0', () => {
  const n = new FloatNetwork(seededRandom(2));
  const x = n.float([1, 6]);
  const float = n.graph(x, n.binary('SUB', x, x));
  const int8 = quantizeGraph(float, samples(float, 20), { mode: 'int8', calibration: 'min-max' }).graph;
  expect([...createInterpreter(floatView(int8)).invoke(samples(float, 1)[0]!)]).toEqual(new Array(6).fill(0));
});

it('quantization computes operators that read only constants', () => {
  const n = new FloatNetwork(seededRandom(3));
  const x = n.float([1, 6]);
  const initial = n.dense(n.values([1, 4], 1), 6);
  const float = n.graph(x, n.binary('MUL', n.dense(x, 6), initial));
  const int8 = quantizeGraph(float, samples(float, 50), { mode: 'int8', calibration: 'min-max' }).graph;
  expect(int8.operators.map(({ op }) => op)).toEqual(['FULLY_CONNECTED']);
  expect(signalToNoise(float, int8)).toBeGreaterThan(18);
});

describe.each(['ADD', 'SELECT_V2'] as const)(
  'a quantized causal attention that hides scores with %s',
  (op) => {
    const [steps, width] = [6, 8];
    /** @param hidden the value of a score that must not count */
    const network = (hidden: number): Graph => {
      const of = new FloatNetwork(seededRandom(3));
      const x = of.float([1, steps, width]);
      const [queries, keys, values] = [0, 1, 2].map(() => of.dense(x, width, 'none', true)) as [
        number,
        number,
        number,
      ];
      const product = (a: number, b: number, shape: number[], adjY: boolean) => {
        const outputs = [of.float(shape)];
        return of.op({ op: 'BATCH_MATMUL', inputs: [a, b], outputs, options: { adjX: false, adjY } });
      };
      const scores = product(queries, keys, [1, steps, steps], true);
      const isHidden = (at: number) => at % steps > Math.floor(at / steps);
      const length = steps * steps;
      const masked = of.float([1, steps, steps]);
      if (op === 'ADD') {
        const data = Float32Array.from({ length }, (_, at) => (isHidden(at) ? hidden : 0));
        const mask = of.add({ type: 'float32', shape: [1, steps, steps], data });
        of.op({ op, inputs: [scores, mask], outputs: [masked], options: { activation: 'none' } });
      } else {
        const data = Uint8Array.from({ length }, (_, at) => Number(isHidden(at)));
        const condition = of.add({ type: 'bool', shape: [1, steps, steps], data });
        const value = of.add({ type: 'float32', shape: [], data: Float32Array.of(hidden) });
        of.op({ op, inputs: [condition, value, scores], outputs: [masked], options: {} });
      }
      const mixed = product(of.softmax(masked), values, [1, steps, width], false);
      const { tensors, operators } = of;
      return { tensors, operators, inputs: [x], outputs: [mixed], metadata: [] } as unknown as Graph;
    };

    it.each([-3.4028234663852886e38, -1e9])(
      'stays close to the float network if the mask contains %d',
      (hidden) => {
        const float = network(hidden);
        const { graph: int8, report } = quantizeGraph(float, samples(float, 100), { mode: 'int8' });
        expect(report.notes).toContain('masks of Softmax raised to just below the scores: 1');
        expect(signalToNoise(float, readTflite(writeTflite(int8)))).toBeGreaterThan(25);
      },
    );

    it('does not let hidden steps change earlier ones', () => {
      const float = network(-1e9);
      const int8 = floatView(quantizeGraph(float, samples(float, 100), { mode: 'int8' }).graph);
      const [row, changed] = samples(float, 2, 5) as [Float32Array, Float32Array];
      changed.set(row.subarray(0, 3 * width));
      const run = createInterpreter(int8);
      const [first, second] = [row, changed].map((input) => run.invoke(input).slice(0, 3 * width));
      expect(second).toEqual(first);
    });

    it('keeps a mask that the scores can bear', () => {
      const float = network(-20);
      const { report } = quantizeGraph(float, samples(float, 100), { mode: 'int8' });
      expect(report.notes).toEqual([]);
    });
  },
);
