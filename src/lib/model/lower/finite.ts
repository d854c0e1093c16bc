import type { Graph } from '../../formats/index.js';

/** The first constant with a value that is no finite number, in words, or undefined: such a network answers nothing. */
export function brokenConstant({ tensors }: Graph): string | undefined {
  for (const { name, data } of tensors) {
    if (!(data instanceof Float32Array)) continue;
    // A sum of finite float32 numbers stays finite in float64; one pass without a call per number.
    let sum = 0;
    for (let i = 0; i < data.length; i++) sum += data[i]!;
    if (Number.isFinite(sum)) continue;
    const at = data.findIndex((value) => !Number.isFinite(value));
    return `${name} holds ${data[at]} (number ${at + 1} of ${data.length})`;
  }
  return undefined;
}
