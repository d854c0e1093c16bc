import { perElement } from '../integer/rescale.js';
import type { Node } from '../node.js';
import { scaleOf } from '../quantized.js';

/**
 * 65536/(1 + e^−t) at t = i/24, each moved by half of what a straight line to the next would be off in the middle: the
 * 256 numbers of TFLite's sigmoid_table_uint16.
 */
const table = (() => {
  const sigmoid = (t: number) => 65536 / (1 + Math.exp(-t));
  return Int32Array.from({ length: 256 }, (_, i) => {
    if (i === 255) return 65535;
    const [here, middle, next] = [sigmoid(i / 24), sigmoid(i / 24 + 1 / 48), sigmoid((i + 1) / 24)];
    return Math.round(here + 0.5 * (middle - 0.5 * (here + next)));
  });
})();

/** Multiplier and shift that bring the input to units of 1/(3 · 4096). */
function inputScale(node: Node, exact: readonly number[]): { multiplier: number; shift: number } {
  const { scale } = scaleOf(node, node.input(0));
  const power = Math.round(Math.log2(scale));
  if (Math.abs(Math.log2(scale) - power) < 1e-3 && exact.includes(12 + power))
    return { multiplier: 3 * 2 ** (12 + power), shift: 0 };
  let multiplier = scale * 4096 * 3;
  let shift = 0;
  while (multiplier <= 32767 / 2 && shift <= 30) {
    multiplier *= 2;
    shift += 1;
  }
  // The product with the input must stay within 32 bits.
  if (multiplier >= 32768) throw node.unsupported(`an input scale of ${scale}`);
  return { multiplier: Math.trunc(multiplier), shift };
}

function interpolated(
  node: Node,
  exact: readonly number[],
  output: (v: number, a: number) => number,
): () => void {
  const { multiplier, shift } = inputScale(node, exact);
  const half = shift > 0 ? 2 ** (shift - 1) : 0;
  return perElement(node, (x) => {
    const v = Math.floor((x * multiplier + half) / 2 ** shift);
    return output(v, Math.abs(v));
  });
}

/** LOGISTIC on int16, output always 2^−15. */
export function logistic(node: Node): () => void {
  return interpolated(node, [0], (v, a) => {
    const [u, fraction] = [a >> 9, a & 511];
    const g = u >= 255 ? 0x7fff * 1024 : table[u]! * 512 + fraction * (table[u + 1]! - table[u]!);
    return v >= 0 ? (g + 512) >> 10 : (2 ** 25 - g + 511) >> 10;
  });
}

/** TANH on int16, output always 2^−15. */
export function tanh(node: Node): () => void {
  return interpolated(node, [0, 1], (v, a) => {
    const [u, fraction] = [a >> 8, a & 255];
    const g = u >= 255 ? 0xffff * 256 : table[u]! * 256 + fraction * (table[u + 1]! - table[u]!);
    return v >= 0 ? (g - 2 ** 23 + 128) >> 8 : (2 ** 23 - g + 127) >> 8;
  });
}
