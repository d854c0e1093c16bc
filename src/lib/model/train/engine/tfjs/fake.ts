import type { Tensor } from '@tensorflow/tfjs-core';
import { roundAway } from '../fast/nodes/fake.js';
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
  const straight = tf.customGrad((x) => {
    const q = tf.clipByValue(tf.add(rounded(tf, tf.div(x as Tensor, scale)), zeroPoint), least, most);
    const inside = tf.logicalAnd(
      tf.greaterEqual(x as Tensor, (least - zeroPoint) * scale),
      tf.lessEqual(x as Tensor, (most - zeroPoint) * scale),
    );
    return {
      value: tf.mul(tf.sub(q, zeroPoint), scale),
      gradFunc: (dy) => tf.mul(dy as Tensor, tf.cast(inside, 'float32')),
    };
  });
  return straight(value);
}

/** TensorFlow's own rounding takes halves to even. */
function rounded(tf: Core, x: Tensor): Tensor {
  return tf.tensor(Float32Array.from(x.dataSync(), roundAway), x.shape);
}
