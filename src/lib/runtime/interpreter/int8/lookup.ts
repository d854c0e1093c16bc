import { logistic as logisticOf, tanh as tanhOf } from '../fixed-functions.js';
import { frexp, multiplyByQuantized, roundingShiftRight } from '../fixed-point.js';
import { perElement } from '../integer/rescale.js';
import type { Node } from '../node.js';
import { scaleOf } from '../quantized.js';

/** LOGISTIC and TANH: outside the radius they saturate, inside `inner` is given the input as Q4.27. */
function saturating(node: Node, inner: (v: number) => number): () => void {
  const { scale, zeroPoint } = scaleOf(node, node.input(0));
  // Beyond, the radius is 0 and even an input of zero would saturate.
  if (scale >= 16) throw node.unsupported(`an input scale of ${scale} (below 16)`);
  // Below, a shift would be negative, which TFLite Micro does not expect.
  if (scale < 2 ** -28) throw node.unsupported(`an input scale of ${scale} (at least 2^−28)`);
  const { fraction, exponent } = frexp(scale * 2 ** 27);
  const multiplier = Math.round(fraction * 2 ** 31);
  const radius = Math.floor((15 * 2 ** 27) / 2 ** exponent);
  return perElement(node, (q) => {
    const d = q - zeroPoint;
    if (d <= -radius) return -128;
    if (d >= radius) return 127;
    return inner(multiplyByQuantized(d, multiplier, exponent));
  });
}

/** LOGISTIC on int8; output always (1/256, −128). */
export function logistic(node: Node): () => void {
  return saturating(node, (v) => roundingShiftRight(logisticOf(v), 23) - 128);
}

/** TANH on int8; output always (1/128, 0). */
export function tanh(node: Node): () => void {
  return saturating(node, (v) => roundingShiftRight(tanhOf(v), 24));
}
