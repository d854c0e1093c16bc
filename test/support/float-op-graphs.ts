import type { Random } from '../../src/lib/core/numbers.js';
import type { Graph, OperatorName } from '../../src/lib/formats/tflite/graph.js';
import { GraphBuilder } from './graph-builder.js';

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
