import { gaussian, seededRandom } from '../../src/lib/core/numbers.js';
import { type Forest, forestGraph, forestIn, keyValue } from '../../src/lib/formats/tflite/forest.js';
import type { Graph } from '../../src/lib/formats/tflite/graph.js';
import { growForest } from '../../src/lib/model/train/fit/grow-forest.js';

/**
 * Grows a forest with 30 trees, 7 features and 3 classes, and returns the forest with the hardest rows for it: each feature is a
 * threshold, one of its two neighboring float32 numbers, or an extreme.
 */
export async function hardForest(): Promise<{ graph: Graph; forest: Forest; rows: Float32Array[] }> {
  const random = seededRandom(11);
  const [count, size] = [600, 7];
  const inputs = Float32Array.from({ length: count * size }, () => gaussian(random));
  const of = Int32Array.from({ length: count }, (_, row) => {
    const [x, y, z] = inputs.subarray(row * size, row * size + 3);
    return (x! * y! > 0 ? 1 : 0) + (z! > 0.5 ? 1 : 0);
  });
  const classes = { of, count: 3 };
  const trees = await growForest(
    { inputs, inputSize: size, classes, values: null, factors: null },
    { trees: 30, leaf: 1, seed: 2 },
  );
  const shares = trees.map((tree) => ({ ...tree, leaves: Array.from(tree.leaves, (share) => share / 30) }));
  const graph = forestGraph({ trees: shares, inputs: size, base: [0, 0, 0], description: 'test' });
  const forest = forestIn(graph, graph.operators[0]!);
  const { nodes } = forest;
  const thresholds = Array.from({ length: 400 }, () =>
    Float32Array.from({ length: size }, () => {
      const node = Math.floor(random() * (nodes.length / 4));
      return keyValue(nodes[4 * node + 1]! + Math.floor(3 * random()) - 1);
    }),
  );
  const extremes = [0, -0, 3.4e38, -3.4e38, 1e-45, -1e-45].map((value) => new Float32Array(size).fill(value));
  return { graph, forest, rows: [...thresholds, ...extremes, inputs.slice(0, size)] };
}
