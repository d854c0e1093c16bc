import { seededRandom, shuffled } from '../../core/index.js';
import type { Explanation } from './result.js';
import { type Metric, type Subject, scoreOf } from './subject.js';

/**
 * Permutation importance (Breiman, "Random Forests", 2001; model-agnostic as in Fisher, Rudin and Dominici, 2019): how much worse
 * the metric gets when the values of one feature, all its inputs together, are dealt out anew among the rows. Features that
 * say the same share their importance: each can be read from the other.
 */
export function permutationImportance(
  subject: Subject,
  metric: Metric,
  base: number,
  repeats: number,
  seed: number,
  signal?: AbortSignal,
): Explanation['importance'] {
  const { inputs, layout, network, truth } = subject;
  const width = network.inputs;
  const random = seededRandom(seed);
  const rows = Array.from(truth, (_, row) => row);
  const found = layout.groups.map(({ name, inputs: places }) => {
    const losses = Array.from({ length: repeats }, () => {
      const from = shuffled(rows, random);
      const changed = inputs.slice();
      for (let row = 0; row < rows.length; row++)
        for (const place of places) changed[row * width + place] = inputs[from[row]! * width + place]!;
      const score = scoreOf(subject, changed, metric, signal);
      return metric === 'mae' ? score - base : base - score;
    });
    const loss = losses.reduce((a, b) => a + b, 0) / repeats;
    const variance = losses.reduce((sum, one) => sum + (one - loss) ** 2, 0) / Math.max(1, repeats - 1);
    return { feature: name, inputs: places.length, loss, deviation: Math.sqrt(variance) };
  });
  return found.sort((a, b) => b.loss - a.loss);
}
