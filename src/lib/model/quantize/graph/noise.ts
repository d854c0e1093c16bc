import { elementCount, type Graph } from '../../../formats/tflite/graph.js';
import { graphMacs } from '../../inspect/costs.js';
import { createRunner } from '../runner.js';

/** Signal-to-noise ratio reported for equal values, in decibels: about the limit of float32's 24-bit fraction. */
const mostDb = 150;

/** Signal-to-noise ratio by tensor of the float graph, in decibels, capped at ±150. */
export type Noise = ReadonlyMap<number, number>;

/**
 * Runs both networks on the rows and compares each activation with its twin.
 * @param twins tensor of the float graph → its replacement
 */
export function measureNoise(
  float: Graph,
  quantized: Graph,
  twins: ReadonlyMap<number, number>,
  rows: readonly Float32Array[],
): Map<number, number> {
  const [reference, other] = [createRunner(float), createRunner(quantized)];
  const pairs = [...twins].flatMap(([index, place]) => {
    const [a, b] = [reference.tensors[index], other.tensors[place]];
    if (a === undefined || b === undefined || float.tensors[index]!.data) return [];
    const { scale: [scale = 1] = [], zeroPoint: [zero = 0] = [] } =
      quantized.tensors[place]!.quantization ?? {};
    return [{ index, a, b, scale, zero, signal: 0, noise: 0 }];
  });
  for (const row of rows) {
    reference.run(row);
    other.run(row);
    for (const pair of pairs) {
      const { a, b, scale, zero } = pair;
      let [signal, noise] = [0, 0];
      for (let i = 0; i < a.length; i++) {
        const value = a[i]!;
        const error = value - (b[i]! - zero) * scale;
        signal += value * value;
        noise += error * error;
      }
      pair.signal += signal;
      pair.noise += noise;
    }
  }
  return new Map(pairs.map(({ index, signal, noise }) => [index, decibels(signal, noise)]));
}

/**
 * Stores the float network's values for some tensors, to compare many quantized networks with them.
 * @returns the mean of their signal-to-noise ratios, in decibels
 */
export function measureAgainst(
  float: Graph,
  indices: readonly number[],
  rows: readonly Float32Array[],
): (quantized: Graph, twins: ReadonlyMap<number, number>) => number {
  const reference = createRunner(float);
  const wanted = rows.map((row) => {
    reference.run(row);
    return indices.map((index) => Float32Array.from(reference.tensors[index]!));
  });
  return (quantized, twins) => {
    const other = createRunner(quantized);
    const watched = indices.map((index) => {
      const place = twins.get(index)!;
      const { scale: [scale = 1] = [], zeroPoint: [zero = 0] = [] } =
        quantized.tensors[place]!.quantization ?? {};
      return { values: other.tensors[place]!, scale, zero, signal: 0, noise: 0 };
    });
    rows.forEach((row, at) => {
      other.run(row);
      watched.forEach((one, k) => {
        const want = wanted[at]![k]!;
        const { values, scale, zero } = one;
        for (let i = 0; i < want.length; i++) {
          one.signal += want[i]! ** 2;
          one.noise += (want[i]! - (values[i]! - zero) * scale) ** 2;
        }
      });
    });
    return watched.reduce((sum, { signal, noise }) => sum + decibels(signal, noise), 0) / watched.length;
  };
}

/** 10·log10(signal / noise), capped. */
export function decibels(signal: number, noise: number): number {
  if (noise === 0) return mostDb;
  if (signal === 0) return -mostDb;
  return Math.max(-mostDb, Math.min(mostDb, 10 * Math.log10(signal / noise)));
}

/** Evenly spaced rows: as many as `budget` multiply-adds of this network allow, at least `least` and at most `most`. */
export function affordable(
  graph: Graph,
  rows: readonly Float32Array[],
  budget: number,
  least: number,
  most: number,
): Float32Array[] {
  return spread(rows.length, affordableCount(graph, budget, least, most)).map((place) => rows[place]!);
}

/** The number of rows that `affordable` returns. */
export function affordableCount(graph: Graph, budget: number, least: number, most: number): number {
  const adds = graphMacs(graph);
  const each = Math.max(1, adds + activations(graph));
  return Math.min(most, Math.max(least, Math.floor(budget / each)));
}

/** Indices of at most `count` of these items, evenly spaced. */
export function spread(items: number, count: number): number[] {
  if (items <= count) return Array.from({ length: items }, (_, i) => i);
  return Array.from({ length: count }, (_, i) => Math.floor((i * items) / count));
}

/** Number of values that one run computes. */
function activations({ tensors }: Graph): number {
  return tensors.reduce((sum, { data, shape }) => sum + (data ? 0 : elementCount(shape)), 0);
}
