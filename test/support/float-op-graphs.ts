import { type Random, seededRandom } from '../../src/lib/core/numbers.js';
import type { Graph, OperatorName } from '../../src/lib/formats/tflite/graph.js';
import { withRealValues } from '../../src/lib/formats/tflite/real-values.js';
import { hasKernel } from '../../src/lib/runtime/interpreter/interpreter.js';
import { GraphBuilder } from './graph-builder.js';
import { oneOpGraphs } from './one-op-graphs.js';

/**
 * Models of one float32 operator for which TFLite Micro has no integer kernel. Inputs may be negative; ABS makes them valid for
 * roots.
 */
export const floatOpGraphs: { readonly [Name in OperatorName]?: (random: Random) => Graph } = {
  NEG: (random) => unaryGraph(random, 'NEG', false),
  SQRT: (random) => unaryGraph(random, 'SQRT', true),
  SQUARE: (random) => unaryGraph(random, 'SQUARE', false),
  EXP: (random) => unaryGraph(random, 'EXP', false),
  LOG: (random) => unaryGraph(random, 'LOG', true),
  SIN: (random) => unaryGraph(random, 'SIN', false),
  COS: (random) => unaryGraph(random, 'COS', false),
  FLOOR: (random) => unaryGraph(random, 'FLOOR', false),
  CEIL: (random) => unaryGraph(random, 'CEIL', false),
  ROUND: (random) => unaryGraph(random, 'ROUND', false),
  RSQRT: (random) => unaryGraph(random, 'RSQRT', true),
  FLOOR_MOD: remainderGraph,
  DIV: (random) => {
    const b = new GraphBuilder(random);
    const shape = [1, b.integer(1, 6), b.integer(1, 6)];
    const x = b.add({ type: 'float32', shape });
    const data = Float32Array.from({ length: shape[2]! }, () => 0.1 + b.random());
    const divisor = b.add({ type: 'float32', shape: [shape[2]!], data });
    const y = b.add({ type: 'float32', shape });
    const activation = b.pick('none', 'relu', 'relu6');
    return b.graph(x, b.op({ op: 'DIV', inputs: [x, divisor], outputs: [y], options: { activation } }));
  },
};

/** FLOOR_MOD of values and divisors of either sign. */
function remainderGraph(random: Random): Graph {
  const b = new GraphBuilder(random);
  const shape = [1, b.integer(1, 6), b.integer(1, 6)];
  const x = b.add({ type: 'float32', shape });
  const data = Float32Array.from({ length: shape[2]! }, () => b.pick(1, -1) * (0.1 + b.random()));
  const divisor = b.add({ type: 'float32', shape: [shape[2]!], data });
  const y = b.add({ type: 'float32', shape });
  return b.graph(x, b.op({ op: 'FLOOR_MOD', inputs: [x, divisor], outputs: [y], options: {} }));
}

function unaryGraph(
  random: Random,
  op: 'NEG' | 'SQRT' | 'SQUARE' | 'EXP' | 'LOG' | 'RSQRT' | 'SIN' | 'COS' | 'FLOOR' | 'CEIL' | 'ROUND',
  positive: boolean,
): Graph {
  const b = new GraphBuilder(random);
  const shape = [1, b.integer(1, 6), b.integer(1, 6)];
  const x = b.add({ type: 'float32', shape });
  let from = x;
  if (positive) {
    from = b.add({ type: 'float32', shape });
    b.op({ op: 'ABS', inputs: [x], outputs: [from], options: {} });
  }
  const y = b.add({ type: 'float32', shape });
  return b.graph(x, b.op({ op, inputs: [from], outputs: [y], options: {} }));
}

/** Models of one operator on float32, `count` of each operator that has a kernel. */
export function realOpGraphs(count: number): { op: OperatorName; graph: Graph }[] {
  const makers = { ...oneOpGraphs, ...floatOpGraphs };
  const names = (Object.keys(makers) as OperatorName[]).filter((op) => hasKernel(op, 'float32'));
  return names.flatMap((op) => {
    const random = seededRandom(35);
    const graphs: Graph[] = [];
    while (graphs.length < count) {
      const graph = makers[op]!(random);
      if (graph.operators.every((other) => other.op !== 'QUANTIZE')) graphs.push(withRealValues(graph));
    }
    return graphs.map((graph) => ({ op, graph }));
  });
}
