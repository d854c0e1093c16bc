import type { Activation, Graph } from '../../src/lib/formats/tflite/graph.js';
import { GraphBuilder } from './graph-builder.js';
import type { MakeGraph } from './one-op-graphs.js';

/** Operators on two activations, and reductions. */
export const arithmeticGraphs = {
  ADD: (random, type) => binaryGraph(new GraphBuilder(random, type), 'ADD'),
  SUB: (random, type) => binaryGraph(new GraphBuilder(random, type), 'SUB'),
  MUL: (random, type) => binaryGraph(new GraphBuilder(random, type), 'MUL'),
  LEAKY_RELU: (random, type) => {
    const b = new GraphBuilder(random, type);
    const [x, y] = [b.activation([1, 256]), b.activation([1, 256])];
    const alpha = Math.fround(b.pick(0.2, 0.01, random(), -0.3, 1.5));
    return b.graph(x, b.op({ op: 'LEAKY_RELU', inputs: [x], outputs: [y], options: { alpha } }));
  },
  REDUCE_MAX: (random, type) => {
    const b = new GraphBuilder(random, type);
    const shape = [1, b.integer(1, 6), b.integer(1, 6), b.integer(1, 6)];
    const keepDims = b.pick(true, false);
    const axes = b.pick([1], [1, 2], [-2], [2, 3]);
    const reduced = new Set(axes.map((axis) => (axis + 4) % 4));
    const kept = shape.map((size, axis) => (reduced.has(axis) ? 1 : size));
    const x = b.activation(shape);
    const y = b.like(x, keepDims ? kept : kept.filter((_, axis) => !reduced.has(axis)));
    const inputs = [x, b.int32s(...axes)];
    return b.graph(x, b.op({ op: 'REDUCE_MAX', inputs, outputs: [y], options: { keepDims } }));
  },
} satisfies Record<string, MakeGraph>;

/** x with a constant that is broadcast or broadcasts it, or with itself in another scale. */
function binaryGraph(b: GraphBuilder, op: 'ADD' | 'SUB' | 'MUL'): Graph {
  const [h, w, c] = [b.integer(1, 4), b.integer(1, 5), b.integer(1, 6)];
  const shape = b.pick([1, h, w, c], [1, w, c], [1, c], [1, 1, 1, c], [1, h, 1, c]);
  const x = b.activation(shape);
  const full = [1, h, w, c];
  const other = b.pick(
    () => b.constant(full),
    () => b.constant(b.pick([c], [1], [], shape.slice(-2))),
    () => {
      const again = b.activation(shape);
      return b.op({ op: 'QUANTIZE', inputs: [x], outputs: [again], options: {} });
    },
  )();
  const otherShape = b.tensors[other]!.shape;
  const rank = Math.max(shape.length, otherShape.length);
  const padded = (given: number[]) => [...new Array<number>(rank - given.length).fill(1), ...given];
  const output = padded(shape).map((size, axis) => Math.max(size, padded(otherShape)[axis]!));
  const y = b.activation(output, op === 'MUL' ? b.scale(0.005, 2) : b.scale(0.01, 0.3));
  const inputs = b.pick([x, other], [other, x]);
  const activation = b.pick<Activation>('none', 'none', 'relu', 'relu6', 'relu_n1_to_1');
  const sum = { activation, ...(b.type === 'int16' && { potScaleInt16: false as const }) };
  b.op(
    op === 'MUL'
      ? { op, inputs, outputs: [y], options: { activation } }
      : { op, inputs, outputs: [y], options: sum },
  );
  return b.graph(x, y);
}
