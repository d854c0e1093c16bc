import type { OperatorOptions } from '../../../formats/index.js';
import { exponential, reciprocalOfOnePlus } from '../fixed-functions.js';
import { doublingHighMultiply, quantizeMultiplier, roundingShiftRight } from '../fixed-point.js';
import type { Node } from '../node.js';
import { scaleOf } from '../quantized.js';

const differenceBits = 26;
const accumulationShift = 12;

/** SOFTMAX over the last axis on int8, output always (1/256, −128). Input differences are Q5.26, sums Q12.19. */
export function softmax(node: Node<OperatorOptions['SOFTMAX']>): () => void {
  const [x, y] = [node.int8(0), node.int8Output];
  node.expectOutputSize(x.length);
  const classes = node.input(0).tensor.shape.at(-1);
  if (classes === undefined) throw node.malformed('expected an input of at least one dimension');
  // From 512 nearly equal inputs on the sum overflows and TFLite Micro aborts the device.
  if (classes > 511) throw node.unsupported(`a softmax over ${classes} classes (at most 511)`);
  const real = Math.min(
    node.options.beta * scaleOf(node, node.input(0)).scale * 2 ** differenceBits,
    2 ** 31 - 1,
  );
  if (!(real > 1)) throw node.malformed(`its input scale × beta is too small (${real} · 2^−26)`);
  const { multiplier, shift } = quantizeMultiplier(real);
  const least = -Math.floor((31 * 2 ** differenceBits) / 2 ** shift);
  // e^(x − max) depends on the difference alone: 256 of them. 0 stands for "too far below the maximum".
  const exponentials = new Int32Array(256);
  for (let below = 0; below < 256 && -below >= least; below++)
    exponentials[below] = exponential(doublingHighMultiply((-below << shift) | 0, multiplier), 5);
  const terms = exponentials.map((value) => roundingShiftRight(value, accumulationShift));
  return () => {
    for (let start = 0; start < x.length; start += classes) {
      let max = -128;
      for (let i = start; i < start + classes; i++) if (x[i]! > max) max = x[i]!;
      let sum = 0;
      for (let i = start; i < start + classes; i++) sum += terms[max - x[i]!]!;
      const headroom = Math.clz32(sum);
      const inverse = reciprocalOfOnePlus(sum * 2 ** headroom - 2 ** 31);
      const exponent = accumulationShift - headroom + 31 - 8;
      for (let i = start; i < start + classes; i++) {
        const below = max - x[i]!;
        const value = roundingShiftRight(doublingHighMultiply(exponentials[below]!, inverse), exponent) - 128;
        y[i] = -below < least ? -128 : value < -128 ? -128 : value > 127 ? 127 : value;
      }
    }
  };
}
