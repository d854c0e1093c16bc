import type { OperatorOptions } from '../../../formats/index.js';
import { multiplyByQuantized } from '../fixed-point.js';
import type { Node } from '../node.js';
import { ratio, scaleOf, stepsOf, typeRange } from '../quantized.js';

/** An operator whose output depends on one input element: on int8 computed for all 256 once. */
export function perElement(node: Node, output: (q: number) => number): () => void {
  const [x, y] = [node.integers(0), node.integerOutput];
  node.expectOutputSize(x.length);
  const { low, high } = typeRange(node);
  const clamped = (q: number) => {
    const value = output(q);
    return value < low ? low : value > high ? high : value;
  };
  if (x instanceof Int16Array)
    return () => {
      for (let i = 0; i < x.length; i++) y[i] = clamped(x[i]!);
    };
  const table = Int16Array.from({ length: 256 }, (_, index) => clamped(index - 128));
  return () => {
    for (let i = 0; i < x.length; i++) y[i] = table[x[i]! + 128]!;
  };
}

/** RELU, rescaling from the input's to the output's parameters. */
export function relu(node: Node): () => void {
  const [input, output] = [scaleOf(node, node.input(0)), scaleOf(node, node.output)];
  const quotient = input.scale / output.scale;
  const { multiplier, shift } = ratio(
    node,
    node.ratioPrecision === 'single' ? Math.fround(quotient) : quotient,
  );
  return perElement(node, (q) =>
    Math.max(
      output.zeroPoint,
      multiplyByQuantized(q - input.zeroPoint, multiplier, shift) + output.zeroPoint,
    ),
  );
}

/** RELU6: a clamp in the input's parameters, which the output shares. */
export function relu6(node: Node): () => void {
  const { scale, zeroPoint } = scaleOf(node, node.input(0));
  const six = zeroPoint + stepsOf(node, 6, scale);
  return perElement(node, (q) => Math.min(Math.max(q, zeroPoint), six));
}

/** LEAKY_RELU: one multiplier for what is positive, one with the slope in it for what is negative. */
export function leakyRelu(node: Node<OperatorOptions['LEAKY_RELU']>): () => void {
  const [input, output] = [scaleOf(node, node.input(0)), scaleOf(node, node.output)];
  const single = node.ratioPrecision === 'single';
  const precise = (value: number) => (single ? Math.fround(value) : value);
  const { alpha } = node.options;
  const positive = ratio(node, precise(input.scale / output.scale));
  const negative = ratio(node, precise(precise(input.scale * Math.abs(alpha)) / output.scale));
  const slope = alpha < 0 ? -negative.multiplier : negative.multiplier;
  return perElement(node, (q) => {
    const d = q - input.zeroPoint;
    const value =
      d >= 0
        ? multiplyByQuantized(d, positive.multiplier, positive.shift)
        : multiplyByQuantized(d, slope, negative.shift);
    return value + output.zeroPoint;
  });
}

/** QUANTIZE between int8 and int16, or to another scale and zero point. */
export function requantize(node: Node): () => void {
  const [input, output] = [scaleOf(node, node.input(0)), scaleOf(node, node.output)];
  const { multiplier, shift } = ratio(node, input.scale / output.scale);
  return perElement(
    node,
    (q) => multiplyByQuantized(q - input.zeroPoint, multiplier, shift) + output.zeroPoint,
  );
}
