import { seededRandom } from '../../../../../core/index.js';
import type { Dropout } from '../../types.js';
import type { TrainNode } from '../node.js';
import type { Planner } from '../planner.js';

/** Factors of one step's dropout: 0, or 1 / (1 − rate). They depend on the seed, the step and the tensor alone. */
export function dropoutFactors(
  count: number,
  { tensor, rate }: Dropout,
  seed: number,
  steps: number,
): Float32Array {
  const random = seededRandom(Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(steps + 1, 0x85ebca6b) ^ tensor);
  return Float32Array.from({ length: count }, () => (random() < rate ? 0 : 1 / (1 - rate)));
}

export function dropout(plan: Planner, note: Dropout, seed: number): TrainNode {
  const x = plan.slot(note.tensor);
  const y = plan.activation(x.size, x.gradient !== undefined);
  plan.bind(note.tensor, y);
  let factors = new Float32Array(0);
  return {
    forward: ({ rows, training, steps }) => {
      const [from, to] = [x.value.data, y.value.data];
      if (!training) {
        to.set(from.subarray(0, rows * x.size));
        return;
      }
      factors = dropoutFactors(rows * x.size, note, seed, steps) as Float32Array<ArrayBuffer>;
      for (let i = 0; i < factors.length; i++) to[i] = from[i]! * factors[i]!;
    },
    backward: () => {
      if (!x.gradient) return;
      const [dx, dy] = [x.gradient.data, y.gradient!.data];
      for (let i = 0; i < factors.length; i++) dx[i]! += dy[i]! * factors[i]!;
    },
  };
}
