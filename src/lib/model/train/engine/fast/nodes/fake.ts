import { roundHalfAway } from '../../../../../core/index.js';
import type { FakeRange } from '../../types.js';
import type { Slot, TrainNode } from '../node.js';
import type { Planner } from '../planner.js';

/**
 * The weights as int8 would hold them: per output channel, symmetric, scale max|w| / 127. Their gradient goes to the weights
 * themselves, as if there were no rounding.
 */
export function fakeWeights(plan: Planner, weights: Slot, shape: readonly number[], axis: number): Slot {
  const channels = shape[axis]!;
  const block = axis === 0 ? weights.size / channels : 1;
  const rounded: Slot = { ...weights, value: plan.arena.floats(weights.size) };
  plan.before.push({
    forward: () => {
      const [from, to] = [weights.value.data, rounded.value.data];
      const largest = new Float64Array(channels);
      for (let i = 0; i < from.length; i++) {
        const c = Math.floor(i / block) % channels;
        largest[c] = Math.max(largest[c]!, Math.abs(from[i]!));
      }
      for (let i = 0; i < from.length; i++) {
        const scale = Math.fround(largest[Math.floor(i / block) % channels]! / 127);
        to[i] = scale === 0 ? 0 : roundHalfAway(from[i]! / scale) * scale;
      }
    },
  });
  return rounded;
}

/** An activation as its integers would hold it; outside its range the gradient is 0. */
export function fakeActivation(
  plan: Planner,
  index: number,
  { scale, zeroPoint, least, most }: FakeRange,
): TrainNode {
  const x = plan.slot(index);
  const y = plan.activation(x.size, x.gradient !== undefined);
  plan.bind(index, y);
  const [low, high] = [(least - zeroPoint) * scale, (most - zeroPoint) * scale];
  return {
    forward: ({ rows }) => {
      const [from, to] = [x.value.data, y.value.data];
      for (let i = 0; i < rows * x.size; i++) {
        const q = roundHalfAway(from[i]! / scale) + zeroPoint;
        to[i] = ((q < least ? least : q > most ? most : q) - zeroPoint) * scale;
      }
    },
    backward: ({ rows }) => {
      if (!x.gradient) return;
      const [from, dx, dy] = [x.value.data, x.gradient.data, y.gradient!.data];
      for (let i = 0; i < rows * x.size; i++) if (from[i]! >= low && from[i]! <= high) dx[i]! += dy[i]!;
    },
  };
}
