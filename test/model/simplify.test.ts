import { describe, expect, it } from 'vitest';
import { gaussian, seededRandom } from '../../src/lib/core/numbers.js';
import { elementCount, type Graph, type Operator, type Tensor } from '../../src/lib/formats/tflite/graph.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { shareConstants } from '../../src/lib/model/network/share-constants.js';
import { simplifyGraph } from '../../src/lib/model/network/simplify.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { openLiteRt } from '../../src/lib/runtime/litert.js';
import { architectures } from '../support/architectures.js';
import { FloatNetwork } from '../support/float-network.js';
import { motorFile } from '../support/motor-files.js';

function samples(graph: Graph, count: number): Float32Array[] {
  const random = seededRandom(9);
  const length = elementCount(graph.tensors[graph.inputs[0]!]!.shape);
  return Array.from({ length: count }, () => Float32Array.from({ length }, () => gaussian(random)));
}

/** Returns the greatest difference between the outputs, relative to the greatest output if that is above 1. */
function difference(before: Float32Array[], after: Float32Array[]): number {
  let [worst, largest] = [0, 1];
  before.forEach((values, run) => {
    values.forEach((value, i) => {
      worst = Math.max(worst, Math.abs(value - after[run]![i]!));
      largest = Math.max(largest, Math.abs(value));
    });
  });
  return worst / largest;
}

function onDevice(graph: Graph): Float32Array[] {
  const interpreter = createInterpreter(graph);
  return samples(graph, 30).map((input) => interpreter.invoke(input).slice() as Float32Array);
}

async function inLiteRt(graph: Graph): Promise<Float32Array[]> {
  const model = await openLiteRt(writeTflite(graph));
  try {
    return samples(graph, 30).map((input) => model.predict(input));
  } finally {
    model.close();
  }
}

const names = ({ operators }: Graph) => operators.map(({ op }) => op);

/**
 * Adds a Keras Conv1D block: a convolution between two reshapes, and the layers that `after` adds to [1, time,
 * channels].
 */
function block(n: FloatNetwork, x: number, channels: number, after: (y: number) => number): number {
  const [, time, fields] = n.shape(x) as [number, number, number];
  const image = n.reshape(x, [1, 1, time, fields]);
  return after(n.reshape(n.convolution(image, channels, { filter: [1, 3] }), [1, time, channels]));
}

function batchNorm(n: FloatNetwork, x: number): number {
  const channels = n.shape(x).at(-1)!;
  return n.binary('ADD', n.binary('MUL', x, n.values([channels], 1)), n.values([channels], 1));
}

describe('a simplified model', () => {
  it.each(Object.entries(architectures))(
    'gives the same outputs within 1e-5 for kind %s',
    async (_kind, make) => {
      for (let seed = 0; seed < 4; seed++) {
        const graph = make(seededRandom(seed));
        const simple = simplifyGraph(graph);
        expect(names(simple).length).toBeLessThanOrEqual(names(graph).length);
        expect(difference(onDevice(graph), onDevice(simple))).toBeLessThan(1e-5);
        expect(difference(await inLiteRt(graph), await inLiteRt(simple))).toBeLessThan(1e-5);
        expect(simplifyGraph(simple)).toEqual(simple);
      }
    },
  );

  it('reduces Keras Conv1D, BatchNormalization, and ReLU to convolutions and a dense layer', async () => {
    const n = new FloatNetwork(seededRandom(3));
    const x = n.float([1, 12, 3]);
    const first = block(n, x, 6, (y) => n.unary(batchNorm(n, y), 'RELU'));
    const second = block(n, first, 4, (y) => n.unary(batchNorm(n, y), 'RELU6'));
    const graph = n.graph(x, n.softmax(n.dense(n.reshape(second, [1, 48]), 3)));
    const simple = simplifyGraph(graph);
    expect(names(simple)).toEqual(['RESHAPE', 'CONV_2D', 'CONV_2D', 'FULLY_CONNECTED', 'SOFTMAX']);
    expect(simple.operators[2]!.options).toMatchObject({ activation: 'relu6' });
    expect(difference(onDevice(graph), onDevice(simple))).toBeLessThan(1e-5);
    expect(difference(await inLiteRt(graph), await inLiteRt(simple))).toBeLessThan(1e-5);
  });

  it('moves the reshape of a residual block after its addition', async () => {
    const n = new FloatNetwork(seededRandom(5));
    const x = n.float([1, 10, 4]);
    const first = block(n, x, 4, (y) => n.unary(y, 'RELU'));
    const inner = block(n, first, 4, (y) => batchNorm(n, y));
    const graph = n.graph(x, n.unary(n.binary('ADD', first, inner), 'RELU'));
    const simple = simplifyGraph(graph);
    expect(names(simple)).toEqual(['RESHAPE', 'CONV_2D', 'CONV_2D', 'ADD', 'RESHAPE']);
    expect(difference(await inLiteRt(graph), await inLiteRt(simple))).toBeLessThan(1e-5);
  });

  it.each<[string, (n: FloatNetwork, x: number) => number]>([
    ['a constant minus a layer', (n, x) => n.binary('SUB', n.dense(x, 5), n.values([1, 5], 1))],
    [
      'a layer minus a constant',
      (n, x) => {
        const [layer, constant] = [n.dense(x, 5), n.values([5], 1)];
        const y = n.float([1, 5]);
        return n.op({ op: 'SUB', inputs: [constant, layer], outputs: [y], options: { activation: 'relu' } });
      },
    ],
    ['a factor for all channels', (n, x) => n.binary('MUL', n.dense(x, 5), n.values([], 1), 'relu6')],
  ])('folds in %s', (_name, make) => {
    const n = new FloatNetwork(seededRandom(6));
    const x = n.float([1, 7]);
    const graph = n.graph(x, make(n, x));
    expect(names(simplifyGraph(graph))).toEqual(['FULLY_CONNECTED']);
    expect(difference(onDevice(graph), onDevice(simplifyGraph(graph)))).toBeLessThan(1e-5);
  });

  it.each<[string, (n: FloatNetwork, x: number) => number]>([
    [
      'an input standardization',
      (n, x) => n.dense(n.binary('MUL', n.binary('SUB', x, n.values([6], 1)), n.values([6], 1)), 3),
    ],
    [
      'a tensor that two operators read',
      (n, x) => {
        const y = n.dense(x, 6);
        return n.binary('ADD', n.unary(y, 'RELU'), y);
      },
    ],
    ['a batch norm after an activation', (n, x) => batchNorm(n, n.dense(x, 4, 'relu'))],
  ])('leaves %s unchanged', (_name, make) => {
    const n = new FloatNetwork(seededRandom(7));
    const x = n.float([1, 6]);
    const graph = n.graph(x, make(n, x));
    expect(names(simplifyGraph(graph))).toEqual(names(graph));
  });

  it('leaves the source graph unchanged, and keeps its output name', () => {
    const n = new FloatNetwork(seededRandom(3));
    const x = n.float([1, 12, 3]);
    const graph = n.graph(
      x,
      block(n, x, 6, (y) => n.reshape(y, [1, 1, 12, 6])),
    );
    const before = structuredClone(graph);
    const simple = simplifyGraph(graph);
    expect(graph).toEqual(before);
    expect(simple.tensors[simple.outputs[0]!]!.name).toBe(graph.tensors[graph.outputs[0]!]!.name);
    expect(simple.tensors[simple.outputs[0]!]!.shape).toEqual([1, 1, 12, 6]);
  });

  it('takes time in proportion to its number of operators', { timeout: 30_000 }, () => {
    const n = new FloatNetwork(seededRandom(8));
    let y = n.float([1, 8]);
    const x = y;
    for (let k = 0; k < 2000; k++) {
      y = n.binary('MUL', n.reshape(n.unary(n.reshape(y, [1, 2, 4]), 'TANH'), [1, 8]), n.values([8], 1));
      y = n.unary(y, 'RELU');
    }
    const graph = n.graph(x, y);
    expect(graph.operators).toHaveLength(10_000);
    const began = process.cpuUsage();
    const simple = simplifyGraph(graph);
    // Searching the whole graph after each of the 8,000 changes takes minutes.
    expect(process.cpuUsage(began).user / 1e6).toBeLessThan(5);
    expect(names(simple)).toEqual(new Array(2000).fill(['TANH', 'MUL']).flat());
  });

  it('has no operators whose outputs are unused', () => {
    const n = new FloatNetwork(seededRandom(9));
    const x = n.float([1, 6]);
    n.unary(n.dense(x, 4), 'RELU');
    expect(names(simplifyGraph(n.graph(x, n.unary(x, 'TANH'))))).toEqual(['TANH']);
  });

  it('shares equal constants, except zeros', () => {
    const values = (...numbers: number[]) => Float32Array.from(numbers);
    const tensor = (name: string, data?: Float32Array): Tensor => ({
      name,
      shape: [1, 2],
      type: 'float32',
      ...(data && { data }),
    });
    const add = (a: number, b: number, y: number): Operator => ({
      op: 'ADD',
      inputs: [a, b],
      outputs: [y],
      options: { activation: 'none' },
    });
    const graph: Graph = {
      name: 'main',
      description: '',
      tensors: [
        tensor('x'),
        ...[tensor('a', values(1, 2)), tensor('y1')],
        ...[tensor('b', values(1, 2)), tensor('y2')],
        ...[tensor('zero', values(0, 0)), tensor('y3'), tensor('nought', values(0, 0)), tensor('y4')],
        ...[tensor('unused', values(3, 3)), tensor('unused too', values(3, 3))],
      ],
      operators: [add(0, 1, 2), add(2, 3, 4), add(4, 5, 6), add(6, 7, 8)],
      inputs: [0],
      outputs: [8],
    };
    const shared = shareConstants(graph);
    expect(shared.graph.tensors.map(({ name }) => name)).toEqual(
      ['x', 'a', 'y1', 'y2', 'zero', 'y3', 'nought', 'y4'], // b became a
    );
    expect([...shared.places].sort(([a], [b]) => a - b)).toEqual(
      [
        [0, 0],
        [1, 1],
        [2, 2],
        [3, 1],
        [4, 3],
        [5, 4],
        [6, 5],
        [7, 6],
        [8, 7],
      ], // none is unused
    );
    const run = (each: Graph) =>
      createInterpreter(each)
        .run([values(5, 6)])
        .map((output) => [...output]);
    expect(run(shared.graph)).toEqual(run(graph));
  });

  describe('from TensorFlow’s converter', () => {
    it('keeps at most two reshapes of a Keras 1-D CNN, with the same outputs', async () => {
      const graph = readTflite(motorFile('har_cnn_f32.tflite'));
      const simple = simplifyGraph(graph);
      expect(names(graph)).toHaveLength(18);
      expect(names(simple).filter((op) => op === 'RESHAPE' || op === 'EXPAND_DIMS').length).toBeLessThan(3);
      expect(difference(await inLiteRt(graph), await inLiteRt(simple))).toBeLessThan(1e-5);
    });
  });
});
