import { roundHalfAway } from '../../../core/index.js';
import type { OperatorOptions } from '../../../formats/index.js';
import { multiplyByQuantized, quantizeMultiplier } from '../fixed-point.js';
import type { Node } from '../node.js';
import { scaleOf } from '../quantized.js';

const clamp16 = (value: number) => Math.max(-32768, Math.min(32767, value));

/** 513 values of `f` from `first` to `last`, each segment moved to halve its worst error (TFLite's LUTPopulate). */
function lookupTable(f: (x: number) => number, first: number, last: number): Int16Array {
  const single = Math.fround;
  const at = (x: number) => single(f(single(x)));
  const step = single((last - first) / 512);
  const scaled = (value: number) => roundHalfAway(single(value * 32768));
  const table = new Int16Array(513);
  for (let i = 0; i < 512; i++) {
    const x = single(first + single(i * step));
    const [here, middle] = [scaled(at(x)), scaled(at(single(x + single(step / 2))))];
    const next = single(at(single(first + single((i + 1) * step))) * 32768);
    const line = roundHalfAway(single(single(next + here) / 2));
    table[i] = clamp16(here - roundHalfAway(single((line - middle) / 2)));
  }
  table[512] = clamp16(scaled(at(last)));
  return table;
}

let tables: { exponentials: Int16Array; inverses: Int16Array } | undefined;

/** Made when the first network wants them: most processes run none of int16. */
function lookupTables() {
  tables ??= {
    exponentials: lookupTable(Math.exp, -10, 0),
    inverses: lookupTable((x) => 1 / (1 + x), 0, 1),
  };
  return tables;
}

function look(table: Int16Array, q: number): number {
  const index = 256 + (q >> 7);
  const base = table[index]!;
  return base + (((table[index + 1]! - base) * (q & 127) + 64) >> 7);
}

/** SOFTMAX over the last axis on int16, output always 2^−15. */
export function softmax(node: Node<OperatorOptions['SOFTMAX']>): () => void {
  const [x, y] = [node.int16(0), node.int16Output];
  const { exponentials, inverses } = lookupTables();
  node.expectOutputSize(x.length);
  const classes = node.input(0).tensor.shape.at(-1) ?? 1;
  const { scale } = scaleOf(node, node.input(0));
  const { multiplier, shift } = quantizeMultiplier((scale * node.options.beta) / (10 / 65535));
  const terms = new Int32Array(classes);
  return () => {
    for (let start = 0; start < x.length; start += classes) {
      let max = -32768;
      for (let i = start; i < start + classes; i++) if (x[i]! > max) max = x[i]!;
      let sum = 0;
      for (let i = 0; i < classes; i++) {
        const below = multiplyByQuantized(x[start + i]! - max, multiplier, shift);
        const term = look(exponentials, clamp16(below + 32767));
        terms[i] = term;
        sum += term;
      }
      const headroom = Math.clz32(sum);
      const part = Math.floor((sum * 2 ** (headroom - 1) + 2 ** 13) / 2 ** 14);
      const inverse = look(inverses, clamp16(part - 98304));
      for (let i = 0; i < classes; i++) {
        const value = Math.floor((terms[i]! * inverse + 2 ** (30 - headroom)) / 2 ** (31 - headroom));
        y[start + i] = value < 0 ? 0 : value > 32767 ? 32767 : value;
      }
    }
  };
}
