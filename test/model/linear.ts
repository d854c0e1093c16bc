import type { Graph, OperatorName } from '../../src/lib/formats/tflite/graph.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';

/** A float32 model of one layer, y = end(W x + b), with given weights, so that its outputs are easy to predict. */
export function linearGraph(weights: number[][], bias: number[], end?: 'SOFTMAX' | 'LOGISTIC'): Graph {
  const [outputs, inputs] = [weights.length, weights[0]!.length];
  const tensors: Graph['tensors'] = [
    { name: 'x', shape: [1, inputs], type: 'float32' },
    { name: 'w', shape: [outputs, inputs], type: 'float32', data: Float32Array.from(weights.flat()) },
    { name: 'b', shape: [outputs], type: 'float32', data: Float32Array.from(bias) },
    { name: 'y', shape: [1, outputs], type: 'float32' },
    ...(end ? [{ name: 'z', shape: [1, outputs], type: 'float32' as const }] : []),
  ];
  const dense = {
    op: 'FULLY_CONNECTED' as const,
    inputs: [0, 1, 2],
    outputs: [3],
    options: { activation: 'none' as const, keepNumDims: false },
  };
  const options = end === 'SOFTMAX' ? { beta: 1 } : {};
  const last = { op: end as OperatorName, inputs: [3], outputs: [4], options } as Graph['operators'][number];
  return {
    name: 'main',
    description: 'linear',
    tensors,
    operators: end ? [dense, last] : [dense],
    inputs: [0],
    outputs: [end ? 4 : 3],
  };
}

export function linearFile(...args: Parameters<typeof linearGraph>): Uint8Array {
  return writeTflite(linearGraph(...args));
}
