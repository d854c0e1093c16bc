import { roundHalfAway } from '../../core/index.js';
import type { Activation } from '../../formats/index.js';
import { quantizeMultiplier } from './fixed-point.js';
import type { Node, Operand } from './node.js';

/** Scale and zero point of a tensor with one scale. */
export function scaleOf(node: Node, { tensor }: Operand): { scale: number; zeroPoint: number } {
  const { scale, zeroPoint } = tensor.quantization ?? { scale: [], zeroPoint: [] };
  if (scale.length !== 1 || !(scale[0]! > 0))
    throw node.malformed(`expected one positive scale of tensor ${tensor.name}, got ${scale.length}`);
  if (zeroPoint[0]! < -128 || zeroPoint[0]! > 127)
    throw node.malformed(`zero point ${zeroPoint[0]} of tensor ${tensor.name} is not an int8`);
  return { scale: scale[0]!, zeroPoint: zeroPoint[0]! };
}

/** What the output's type can hold. */
export function typeRange({ output }: Node): { low: number; high: number } {
  return output.values instanceof Int16Array ? { low: -32768, high: 32767 } : { low: -128, high: 127 };
}

/** A real number as steps of a scale, in single precision as the reference kernels form it; it must fit 32 bits. */
export function stepsOf(node: Node, real: number, scale: number): number {
  const steps = Math.fround(real / scale);
  if (Math.abs(steps) < 2 ** 31) return roundHalfAway(steps);
  throw node.malformed(`${real} is ${steps} steps of the scale ${scale} (below 2^31)`);
}

/** Range of a fused activation, as quantized values of the output. */
export function activationRange(node: Node, activation: Activation): { low: number; high: number } {
  const { scale, zeroPoint } = scaleOf(node, node.output);
  const least = typeRange(node).low;
  const most = typeRange(node).high;
  const quantized = (real: number) => zeroPoint + stepsOf(node, real, scale);
  let [low, high] = [least, most];
  if (activation === 'relu') low = zeroPoint;
  if (activation === 'relu6') [low, high] = [zeroPoint, quantized(6)];
  if (activation === 'relu_n1_to_1') [low, high] = [quantized(-1), quantized(1)];
  return { low: Math.max(least, low), high: Math.min(most, high) };
}

/**
 * Multiplier and shift per output channel: input scale × weight scale / output scale. Weight scales: one, or one per
 * channel along `axis`.
 */
export function channelMultipliers(node: Node, channels: number, axis: number) {
  const weights = node.input(1).tensor;
  const scales = weights.quantization?.scale ?? [];
  if (scales.length !== 1 && scales.length !== channels)
    throw node.malformed(`expected 1 or ${channels} weight scales, got ${scales.length}`);
  if (scales.length > 1 && weights.quantization!.axis !== axis)
    throw node.unsupported(`weight scales along dimension ${weights.quantization!.axis}`);
  const input = scaleOf(node, node.input(0)).scale;
  const output = scaleOf(node, node.output).scale;
  const single =
    node.ratioPrecision === 'single' && node.operator.op === 'FULLY_CONNECTED' && scales.length === 1;
  const multipliers = new Int32Array(channels);
  const shifts = new Int32Array(channels);
  for (let channel = 0; channel < channels; channel++) {
    const product = input * scales[scales.length === 1 ? 0 : channel]!;
    const { multiplier, shift } = ratio(node, (single ? Math.fround(product) : product) / output);
    multipliers[channel] = multiplier;
    shifts[channel] = shift;
  }
  return { multipliers, shifts };
}

/** A ratio of scales as an integer multiplier. */
export function ratio(node: Node, value: number) {
  const result = quantizeMultiplier(value);
  if (!(result.shift <= 30)) throw node.malformed(`the ratio of its scales, ${value}, is too large`);
  return result;
}
