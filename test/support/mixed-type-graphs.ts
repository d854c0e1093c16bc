import type { Random } from '../../src/lib/core/numbers.js';
import { elementCount, type Graph } from '../../src/lib/formats/tflite/graph.js';
import { GraphBuilder } from './graph-builder.js';

type Kind = 'int8' | 'int16' | 'int32';

const limits = { int8: 128, int16: 32768, int32: 2 ** 31 } as const;

/** A tensor of this type with a random scale and zero point. */
function scaled(b: GraphBuilder, type: Kind, shape: number[], range: [number, number]): number {
  const most = Math.min(limits[type], 2 ** b.integer(0, 20));
  const zero = b.pick(0, b.integer(-most, most - 1));
  return b.add({ type, shape, quantization: { scale: [b.scale(...range)], zeroPoint: [zero], axis: 0 } });
}

/** A QUANTIZE from one integer type to another. */
function quantizeGraph(from: Kind, to: Kind): (random: Random) => Graph {
  const ranges: Record<Kind, [number, number]> = {
    int8: [0.002, 0.2],
    int16: [1e-5, 0.01],
    int32: [1e-9, 0.01],
  };
  return (random) => {
    const b = new GraphBuilder(random);
    const shape = [1, b.integer(1, 5), b.integer(1, 40)];
    const [x, y] = [scaled(b, from, shape, ranges[from]), scaled(b, to, shape, ranges[to])];
    return b.graph(x, b.op({ op: 'QUANTIZE', inputs: [x], outputs: [y], options: {} }));
  };
}

/** A SOFTMAX from int8 to int16, alone or before a QUANTIZE or a DEQUANTIZE. */
function softmaxGraph(random: Random): Graph {
  const b = new GraphBuilder(random);
  const shape = [b.integer(1, 3), b.integer(1, 60)];
  const x = b.activation(shape, b.scale(0.001, 1));
  const quantization = { scale: [2 ** -16], zeroPoint: [-32768], axis: 0 };
  const shares = b.add({ type: 'int16', shape, quantization });
  b.op({ op: 'SOFTMAX', inputs: [x], outputs: [shares], options: { beta: b.pick(1, 1, 0.5) } });
  const after = b.pick('none', 'QUANTIZE', 'DEQUANTIZE');
  if (after === 'none') return b.graph(x, shares);
  const y = after === 'QUANTIZE' ? b.activation(shape, 1 / 256, -128) : b.add({ type: 'float32', shape });
  return b.graph(x, b.op({ op: after, inputs: [shares], outputs: [y], options: {} }));
}

/** Models of operators that read one integer type and yield another, by name. */
export const mixedTypeGraphs: Readonly<Record<string, (random: Random) => Graph>> = {
  'QUANTIZE int8 int32': quantizeGraph('int8', 'int32'),
  'QUANTIZE int16 int32': quantizeGraph('int16', 'int32'),
  'QUANTIZE int32 int8': quantizeGraph('int32', 'int8'),
  'QUANTIZE int32 int16': quantizeGraph('int32', 'int16'),
  'QUANTIZE int16 int16': quantizeGraph('int16', 'int16'),
  'QUANTIZE int16 int8': quantizeGraph('int16', 'int8'),
  'QUANTIZE int8 int16': quantizeGraph('int8', 'int16'),
  'SOFTMAX int8 int16': softmaxGraph,
};

/** `count` models of each kind, each with `runs` consecutive random inputs over the whole range of their type. */
export function mixedTypeJobs(name: string, random: Random, count: number, runs: number) {
  return Array.from({ length: count }, () => {
    const graph = mixedTypeGraphs[name]!(random);
    const { type, shape } = graph.tensors[graph.inputs[0]!]!;
    const limit = limits[type as Kind];
    const size = elementCount(shape) * runs;
    const values = Float64Array.from({ length: size }, () => {
      const most = Math.min(limit, 2 ** (random() * 32));
      return Math.floor((2 * random() - 1) * most);
    });
    const input =
      type === 'int8'
        ? Int8Array.from(values)
        : type === 'int16'
          ? Int16Array.from(values)
          : Int32Array.from(values);
    return { name, graph, input };
  });
}
