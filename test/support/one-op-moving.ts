import { GraphBuilder } from './graph-builder.js';
import type { MakeGraph } from './one-op-graphs.js';

/** Operators that move elements: same scale and zero point on both sides. */
export const movingGraphs = {
  CONCATENATION: (random, type) => {
    const b = new GraphBuilder(random, type);
    const shape = [1, b.integer(1, 4), b.integer(1, 4), b.integer(1, 5)];
    const axis = b.integer(1, 3);
    const x = b.activation(shape);
    const parts = Array.from({ length: b.integer(1, 4) }, () => {
      const part = b.constant(shape.map((size, k) => (k === axis ? b.integer(1, 4) : size)));
      b.tensors[part]!.quantization = b.tensors[x]!.quantization!;
      return part;
    });
    const inputs = b.pick([x, ...parts], [...parts, x], [x, ...parts, x]);
    const along = inputs.reduce((sum, part) => sum + b.tensors[part]!.shape[axis]!, 0);
    const y = b.like(
      x,
      shape.map((size, k) => (k === axis ? along : size)),
    );
    const options = { axis: b.pick(axis, axis - 4), activation: 'none' } as const;
    return b.graph(x, b.op({ op: 'CONCATENATION', inputs, outputs: [y], options }));
  },
  PAD: (random, type) => padGraph(new GraphBuilder(random, type), false),
  PADV2: (random, type) => padGraph(new GraphBuilder(random, type), true),
  TRANSPOSE: (random, type) => {
    const b = new GraphBuilder(random, type);
    const shape = [1, b.integer(1, 4), b.integer(1, 5), b.integer(1, 6)].slice(b.integer(0, 2));
    const order = shape.map((_, axis) => ({ axis, key: b.random() })).sort((p, q) => p.key - q.key);
    const permutation = order.map(({ axis }) => axis);
    const x = b.activation(shape);
    const y = b.like(
      x,
      permutation.map((axis) => shape[axis]!),
    );
    const inputs = [x, b.int32s(...permutation)];
    return b.graph(x, b.op({ op: 'TRANSPOSE', inputs, outputs: [y], options: {} }));
  },
  SPLIT: (random, type) => {
    const b = new GraphBuilder(random, type);
    const [numSplits, axis] = [b.integer(1, 4), b.integer(1, 3)];
    const shape = [1, b.integer(1, 4), b.integer(1, 4), b.integer(1, 4)];
    const x = b.activation(shape.map((size, k) => (k === axis ? size * numSplits : size)));
    const inputs = [b.int32(b.pick(axis, axis - 4)), x];
    const outputs = Array.from({ length: numSplits }, () => b.like(x, shape));
    b.op({ op: 'SPLIT', inputs, outputs, options: { numSplits } });
    return b.graph(x, b.pick(...outputs));
  },
  STRIDED_SLICE: (random, type) => {
    const b = new GraphBuilder(random, type);
    const shape = [1, b.integer(2, 6), b.integer(2, 6), b.integer(2, 6)];
    let [beginMask, endMask, shrinkAxisMask] = [0, 0, 0];
    const output: number[] = [];
    const bounds = shape.map((size, axis) => {
      const begin = b.integer(0, size - 1);
      const how = axis === 0 ? 'open' : b.pick('range', 'range', 'open', 'back', 'one', 'from end');
      if (how === 'open') {
        beginMask |= 1 << axis;
        endMask |= 1 << axis;
        output.push(size);
        return [begin, 0, 1];
      }
      if (how === 'one') {
        shrinkAxisMask |= 1 << axis;
        return [begin, begin + 1, 1];
      }
      if (how === 'back') {
        beginMask |= 1 << axis;
        endMask |= 1 << axis;
        output.push(size);
        return [0, 0, -1];
      }
      const [end, step] = [b.integer(begin + 1, size + 2), b.integer(1, 2)];
      output.push(Math.ceil((Math.min(end, size) - begin) / step));
      return [how === 'range' ? begin : begin - size, end, step];
    });
    const x = b.activation(shape);
    const columns = [0, 1, 2].map((place) => b.int32s(...bounds.map((bound) => bound[place]!)));
    const options = { beginMask, endMask, shrinkAxisMask };
    const y = b.like(x, output);
    return b.graph(x, b.op({ op: 'STRIDED_SLICE', inputs: [x, ...columns], outputs: [y], options }));
  },
} satisfies Record<string, MakeGraph>;

function padGraph(b: GraphBuilder, withValue: boolean) {
  const shape = [1, b.integer(1, 4), b.integer(1, 4), b.integer(1, 4)].slice(b.integer(0, 2));
  const paddings = shape.flatMap(() => [b.integer(0, 2), b.integer(0, 3)]);
  const x = b.activation(shape);
  const list = b.add({ type: 'int32', shape: [shape.length, 2], data: Int32Array.from(paddings) });
  const y = b.like(
    x,
    shape.map((size, axis) => size + paddings[2 * axis]! + paddings[2 * axis + 1]!),
  );
  if (!withValue) return b.graph(x, b.op({ op: 'PAD', inputs: [x, list], outputs: [y], options: {} }));
  const value = b.constant([1]);
  b.tensors[value]!.quantization = b.tensors[x]!.quantization!;
  return b.graph(x, b.op({ op: 'PADV2', inputs: [x, list, value], outputs: [y], options: {} }));
}
