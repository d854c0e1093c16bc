import { logistic as logisticOf, tanh as tanhOf } from '../fixed-functions.js';
import { frexp, multiplyByQuantized, roundAway, roundingShiftRight } from '../fixed-point.js';
import type { Node } from '../node.js';
import { ratio, scaleOf } from '../quantized.js';

/** An operator whose output byte depends on one input byte: computed for all 256 once. */
function lookup(node: Node, output: (q: number) => number): () => void {
  const [x, y] = [node.int8(0), node.int8Output];
  node.expectOutputSize(x.length);
  const table = Int8Array.from({ length: 256 }, (_, index) => {
    const value = output(index - 128);
    return value < -128 ? -128 : value > 127 ? 127 : value;
  });
  return () => {
    for (let i = 0; i < x.length; i++) y[i] = table[x[i]! + 128]!;
  };
}

/** LOGISTIC and TANH: outside the radius they saturate, inside `inner` is given the input as Q4.27. */
function saturating(node: Node, inner: (v: number) => number): () => void {
  const { scale, zeroPoint } = scaleOf(node, node.input(0));
  // Beyond, the radius is 0 and even an input of zero would saturate.
  if (scale >= 16) throw node.unsupported(`an input scale of ${scale} (below 16)`);
  const { fraction, exponent } = frexp(scale * 2 ** 27);
  const multiplier = Math.round(fraction * 2 ** 31);
  const radius = Math.floor((15 * 2 ** 27) / 2 ** exponent);
  return lookup(node, (q) => {
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

/** RELU on int8, rescaling from the input's to the output's parameters. */
export function relu(node: Node): () => void {
  const [input, output] = [scaleOf(node, node.input(0)), scaleOf(node, node.output)];
  const quotient = input.scale / output.scale;
  const { multiplier, shift } = ratio(
    node,
    node.ratioPrecision === 'single' ? Math.fround(quotient) : quotient,
  );
  return lookup(node, (q) =>
    Math.max(
      output.zeroPoint,
      multiplyByQuantized(q - input.zeroPoint, multiplier, shift) + output.zeroPoint,
    ),
  );
}

/** RELU6 on int8: a clamp in the input's parameters, which the output shares. */
export function relu6(node: Node): () => void {
  const { scale, zeroPoint } = scaleOf(node, node.input(0));
  const six = zeroPoint + roundAway(Math.fround(6 / scale));
  return lookup(node, (q) => Math.min(Math.max(q, zeroPoint), six));
}

/** QUANTIZE from int8 to int8: another scale and zero point. */
export function requantize(node: Node): () => void {
  const [input, output] = [scaleOf(node, node.input(0)), scaleOf(node, node.output)];
  const { multiplier, shift } = ratio(node, input.scale / output.scale);
  return lookup(node, (q) => multiplyByQuantized(q - input.zeroPoint, multiplier, shift) + output.zeroPoint);
}
