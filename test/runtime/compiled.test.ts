import { describe, expect, it } from 'vitest';
import { gaussian, seededRandom } from '../../src/lib/core/numbers.js';
import {
  type Activation,
  elementCount,
  type Graph,
  type OperatorName,
} from '../../src/lib/formats/tflite/graph.js';
import { withRealValues } from '../../src/lib/formats/tflite/real-values.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { architectures } from '../support/architectures.js';
import { FloatNetwork, type Window } from '../support/float-network.js';
import { oneOpGraphs } from '../support/one-op-graphs.js';
import { fc, runs } from '../support/property.js';

/** The largest difference from the interpreter, as a share of the largest output. */
const close = 1e-5;

/** Whether both run equally on three inputs; returns the compiled interpreter. */
function expectEqual(graph: Graph, seed = 1) {
  const random = seededRandom(seed);
  const [plain, compiled] = [createInterpreter(graph), createInterpreter(graph, { compiled: true })];
  for (let run = 0; run < 3; run++) {
    const inputs = graph.inputs.map((index) => {
      const { shape, type } = graph.tensors[index]!;
      const length = elementCount(shape);
      if (type === 'float32') return Float32Array.from({ length }, () => 2 * gaussian(random));
      if (type === 'bool') return Uint8Array.from({ length }, () => Number(random() < 0.5));
      return Int32Array.from({ length }, () => Math.floor(random() * 3));
    });
    const [want, got] = [plain.run(inputs), compiled.run(inputs)];
    want.forEach((values, place) => {
      const size = [...values]
        .filter(Number.isFinite)
        .reduce((most, value) => Math.max(most, Math.abs(value)), 1);
      for (let i = 0; i < values.length; i++) {
        // Infinite and undefined results must be the same.
        if (!Number.isFinite(values[i])) expect(got[place]![i]).toBe(values[i]);
        else expect(Math.abs(got[place]![i]! - values[i]!) / size, `${place}: ${i}`).toBeLessThan(close);
      }
    });
  }
  return compiled;
}

const size = (low: number, high: number) => fc.integer({ min: low, max: high });
const pair = (low: number, high: number) => fc.tuple(size(low, high), size(low, high));
const activation = fc.constantFrom<Activation>('none', 'relu', 'relu6', 'relu_n1_to_1');
const windows = fc
  .record({
    filter: pair(1, 5),
    stride: pair(1, 3),
    dilation: fc.constantFrom<[number, number]>([1, 1], [1, 1], [2, 1], [1, 2], [3, 2]),
    padding: fc.constantFrom('same' as const, 'valid' as const),
  })
  // TensorFlow has no windows that are dilated and have a stride.
  .map((window) =>
    window.dilation.join() === '1,1' ? window : { ...window, stride: [1, 1] as [number, number] },
  );

/** An image into which the window fits. */
function imageFor(
  { filter, dilation = [1, 1] }: Window,
  [height, width]: [number, number],
  channels: number,
) {
  const spans = filter.map((cells, axis) => (cells - 1) * dilation[axis]! + 1);
  return [1, Math.max(height, spans[0]!), Math.max(width, spans[1]!), channels];
}

describe('compiled operators', () => {
  it('equal the interpreter for convolutions of any size', () => {
    fc.assert(
      fc.property(
        windows,
        pair(1, 12),
        size(1, 9),
        size(1, 37),
        activation,
        size(1, 1000),
        (window, image, channels, outputs, fused, seed) => {
          const b = new FloatNetwork(seededRandom(seed));
          const x = b.float(imageFor(window, image, channels));
          const compiled = expectEqual(b.graph(x, b.convolution(x, outputs, window, fused)), seed);
          // Only a window with more separate runs of cells than the limit is not compiled.
          if (window.dilation[1] === 1) expect(compiled.interpreted).toBe(0);
        },
      ),
      { numRuns: runs(2000, 120) },
    );
  });

  it('equal the interpreter for depthwise convolutions and pools of any size', () => {
    const kind = fc.constantFrom('depthwise', 'MAX_POOL_2D', 'AVERAGE_POOL_2D' as const);
    fc.assert(
      fc.property(
        windows,
        pair(1, 14),
        size(1, 13),
        activation,
        kind,
        size(1, 1000),
        (window, image, channels, fused, op, seed) => {
          const b = new FloatNetwork(seededRandom(seed));
          const used = op === 'depthwise' ? window : { ...window, dilation: [1, 1] as [number, number] };
          const x = b.float(imageFor(used, image, channels));
          const y = op === 'depthwise' ? b.depthwise(x, 1, used, fused) : b.pool(x, op, used);
          expect(expectEqual(b.graph(x, y), seed).interpreted).toBe(0);
        },
      ),
      { numRuns: runs(2000, 120) },
    );
  });

  it('equal the interpreter for dense layers of any size', () => {
    fc.assert(
      fc.property(
        size(1, 9),
        size(1, 70),
        size(1, 70),
        activation,
        size(1, 1000),
        (rows, inputs, outputs, fused, seed) => {
          const b = new FloatNetwork(seededRandom(seed));
          const x = b.float([1, rows, inputs]);
          const y = b.dense(x, outputs, fused, true);
          expect(expectEqual(b.graph(x, y), seed).interpreted).toBe(0);
        },
      ),
      { numRuns: runs(1000, 100) },
    );
  });

  it.each(['ADD', 'SUB', 'MUL'] as const)(
    'equal the interpreter for %s with numbers, rows and tensors',
    (op) => {
      fc.assert(
        fc.property(
          pair(1, 6),
          size(1, 12),
          fc.constantFrom('same', 'one', 'row'),
          fc.boolean(),
          activation,
          (image, channels, kind, first, fused) => {
            const b = new FloatNetwork(seededRandom(channels));
            const shape = [1, ...image, channels];
            const x = b.float(shape);
            const other = kind === 'one' ? [1] : kind === 'row' ? [channels] : shape;
            const constant = b.values(other, 1);
            const y = b.float(shape);
            const inputs = first ? [constant, x] : [x, constant];
            expectEqual(b.graph(x, b.op({ op, inputs, outputs: [y], options: { activation: fused } })));
          },
        ),
        { numRuns: runs(400, 60) },
      );
    },
  );

  it.each(Object.keys(oneOpGraphs) as OperatorName[])('equal the interpreter for %s in float32', (op) => {
    const random = seededRandom(31);
    for (let i = 0; i < 20; i++) expectEqual(withRealValues(oneOpGraphs[op]!(random)), i);
  });

  it.each(Object.keys(architectures) as (keyof typeof architectures)[])(
    'equal the interpreter for the architecture %s',
    (name) => {
      const random = seededRandom(32);
      for (let i = 0; i < 2; i++) expectEqual(architectures[name](random), i);
    },
  );
});

describe('a compiled interpreter', () => {
  const network = () => {
    const b = new FloatNetwork(seededRandom(5));
    const x = b.float([1, 8, 8, 3]);
    const image = b.convolution(x, 6, { filter: [3, 3] }, 'relu');
    return b.graph(x, b.dense(b.overImage(image), 4));
  };

  it('produces the same output again after other inputs', () => {
    const interpreter = createInterpreter(network(), { compiled: true });
    const [one, other] = [1, -3].map((factor) =>
      Float32Array.from({ length: 192 }, (_, i) => factor * Math.sin(i)),
    ) as [Float32Array, Float32Array];
    const first = interpreter.invoke(one).slice();
    expect(interpreter.invoke(other).slice()).not.toEqual(first);
    expect(interpreter.invoke(one)).toEqual(first);
  });

  it('passes every operator’s output to the callback', () => {
    const interpreter = createInterpreter(network(), { compiled: true });
    const seen: number[] = [];
    interpreter.invoke(new Float32Array(192).fill(0.5), (index) => seen.push(index));
    expect(seen).toHaveLength(1 + interpreter.graph.operators.length);
  });

  it('uses values that the callback changes, as in dynamic quantization', () => {
    const [plain, compiled] = [
      createInterpreter(network()),
      createInterpreter(network(), { compiled: true }),
    ];
    const image = network().operators[0]!.outputs[0]!;
    const input = Float32Array.from({ length: 192 }, (_, i) => Math.cos(i));
    const halved = (index: number, values: ArrayLike<number> & { [i: number]: number }) => {
      if (index === image) for (let i = 0; i < values.length; i++) values[i] = Math.round(values[i]! * 2) / 2;
    };
    const unchanged = compiled.invoke(input).slice();
    const [want, got] = [plain.invoke(input, halved), compiled.invoke(input, halved)];
    expect(got).not.toEqual(unchanged);
    want.forEach((value, i) => {
      expect(got[i]).toBeCloseTo(value, 4);
    });
  });

  it('reports how many values operators without compiled code compute', () => {
    const b = new FloatNetwork(seededRandom(6));
    const x = b.float([1, 10]);
    const y = b.float([1, 10]);
    const softmax = b.op({ op: 'SOFTMAX', inputs: [x], outputs: [y], options: { beta: 1 } });
    const graph = b.graph(x, softmax);
    expect(createInterpreter(graph, { compiled: true }).interpreted).toBe(10);
    expect(createInterpreter(graph).interpreted).toBe(Number.POSITIVE_INFINITY);
    expect(createInterpreter(network(), { compiled: true }).interpreted).toBe(0);
  });
});
