import { describe, expect, it } from 'vitest';
import { gaussian, seededRandom } from '../../src/lib/core/numbers.js';
import { elementCount, type Graph } from '../../src/lib/formats/tflite/graph.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { quantizeGraph } from '../../src/lib/model/quantize/graph/quantize-graph.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { floatView } from '../../src/lib/runtime/litert.js';
import { architectures } from '../support/architectures.js';
import { FloatNetwork } from '../support/float-network.js';

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
