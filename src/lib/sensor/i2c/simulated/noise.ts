import { gaussian, type Random } from '../../../core/index.js';

const size = 8192;

/** Standard normal deviates at the cost of a look into a table: millions of samples are simulated in a second. */
export function noiseOf(random: Random): () => number {
  const table = Float64Array.from({ length: size }, () => gaussian(random));
  return () => table[(random() * size) | 0]!;
}

/** Rounded and held within ±32767, as the chips' outputs are. */
export function toCounts(value: number): number {
  const rounded = Math.round(value);
  return rounded > 32767 ? 32767 : rounded < -32767 ? -32767 : rounded;
}
