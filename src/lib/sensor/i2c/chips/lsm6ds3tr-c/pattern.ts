import { reg } from './registers.js';

/** Of the decimation codes: tick of so many; 0 = not stored. */
const divisors = [0, 1, 2, 3, 4, 8, 16, 32];

/** The decimations of the four data sets as FIFO_CTRL3 and 4 have them: gyroscope, accelerometer, external, time or temperature. */
export function decimations(registers: Uint8Array): readonly number[] {
  const three = registers[reg.FIFO_CTRL3]!;
  const four = registers[reg.FIFO_CTRL4]!;
  return [(three >> 3) & 7, three & 7, four & 7, (four >> 3) & 7].map((code) => divisors[code]!);
}

/** Sets of each tick, and words of one repetition. */
export interface Pattern {
  ticks: readonly (readonly number[])[];
  words: number;
}

/**
 * Which sets are stored at each tick of one repetition (AN5130: all of them at its first, in their order; later those whose turn it
 * is), and its words.
 */
export function patternOf(every: readonly number[]): {
  ticks: readonly (readonly number[])[];
  words: number;
} {
  const stored = every.flatMap((each, set) => (each > 0 ? [{ each, set }] : []));
  const length = stored.reduce((multiple, { each }) => leastCommonMultiple(multiple, each), 1);
  const ticks = Array.from({ length }, (_, tick) =>
    stored.filter(({ each }) => tick % each === 0).map(({ set }) => set),
  );
  return { ticks, words: 3 * ticks.reduce((sum, sets) => sum + sets.length, 0) };
}

function leastCommonMultiple(a: number, b: number): number {
  let [x, y] = [a, b];
  while (y > 0) [x, y] = [y, x % y];
  return (a * b) / x;
}
