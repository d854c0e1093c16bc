import type { Graph, Tensor } from '../../formats/tflite/graph.js';
import type { BatchNorm, Trainable } from './types.js';

/**
 * The graph with new parameters, and with batch norm constants computed from the running statistics.
 * @param values in the order of EngineState.values
 */
export function graphWith(
  { graph, parameters, batchNorms }: Trainable,
  values: Float32Array,
  statistics: Float32Array,
): Graph {
  const tensors: Tensor[] = [...graph.tensors];
  let at = 0;
  const take = (count: number) => {
    at += count;
    return values.slice(at - count, at);
  };
  for (const index of parameters) {
    const tensor = tensors[index]!;
    tensors[index] = { ...tensor, data: take((tensor.data as Float32Array).length) };
  }
  let seen = 0;
  for (const { multiply, add, gamma, epsilon } of batchNorms) {
    const channels = gamma.length;
    const [g, b] = [take(channels), take(channels)];
    const mean = statistics.subarray(seen, seen + channels);
    const variance = statistics.subarray(seen + channels, seen + 2 * channels);
    seen += 2 * channels;
    const factor = g.map((value, c) => value / Math.sqrt(variance[c]! + epsilon));
    const constant = (operator: number, data: Float32Array) => {
      const index = graph.operators[operator]!.inputs[1]!;
      tensors[index] = { ...tensors[index]!, data };
    };
    constant(multiply, factor);
    constant(
      add,
      b.map((value, c) => value - mean[c]! * factor[c]!),
    );
  }
  return { ...graph, tensors };
}

/** A copy that further training does not change. */
export function copied(norms: readonly BatchNorm[]): BatchNorm[] {
  return norms.map((norm) => ({
    ...norm,
    gamma: norm.gamma.slice(),
    beta: norm.beta.slice(),
    mean: norm.mean.slice(),
    variance: norm.variance.slice(),
  }));
}

export function statisticsOf(norms: readonly BatchNorm[]): Float32Array {
  return Float32Array.from(norms.flatMap(({ mean, variance }) => [...mean, ...variance]));
}

export function setStatistics(norms: readonly BatchNorm[], statistics: Float32Array): void {
  let at = 0;
  for (const { mean, variance } of norms) {
    for (const own of [mean, variance]) {
      own.set(statistics.subarray(at, at + own.length));
      at += own.length;
    }
  }
}
