import type { Tensor } from '@tensorflow/tfjs-core';
import { roundHalfAway } from '../../../../core/index.js';
import type { FakeRange } from '../types.js';
import type { Core } from './load.js';

/** As the fast engine's: see fast/nodes/fake.ts. */
export function fakeWeights(tf: Core, weights: Tensor, axis: number): Tensor {
  const straight = tf.customGrad((x) => {
    const others = weights.shape.map((_, k) => k).filter((k) => k !== axis);
    const scale = tf.div(tf.max(tf.abs(x as Tensor), others, true), 127);
    const value = tf.mul(rounded(tf, tf.divNoNan(x as Tensor, scale)), scale);
    return { value, gradFunc: (dy) => dy as Tensor };
  });
  return straight(weights);
}

export function fakeActivation(
  tf: Core,
  value: Tensor,
  { scale, zeroPoint, least, most }: FakeRange,
): Tensor {
  const [low, high] = [(least - zeroPoint) * scale, (most - zeroPoint) * scale];
  const straight = tf.customGrad((given, save) => {
    const x = given as Tensor;
    (save as (tensors: Tensor[]) => void)([x]);
    const q = tf.clipByValue(tf.add(rounded(tf, tf.div(x, scale)), zeroPoint), least, most);
    return {
      value: tf.mul(tf.sub(q, zeroPoint), scale),
      gradFunc: (dy, [saved]) => {
        const inside = tf.logicalAnd(tf.greaterEqual(saved!, low), tf.lessEqual(saved!, high));
        return tf.mul(dy as Tensor, tf.cast(inside, 'float32'));
      },
    };
  });
  return straight(value);
}

/** TensorFlow's own rounding takes halves to even. */
function rounded(tf: Core, x: Tensor): Tensor {
  return tf.tensor(Float32Array.from(x.dataSync(), roundHalfAway), x.shape);
}
