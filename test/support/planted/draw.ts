import { gaussian, seededRandom } from '../../../src/lib/core/numbers.js';

/** Random draws for one data set. The same name and seed always yield the same set. */
export interface Draw {
  /** Uniform in [0, 1). */
  unit(): number;
  between(low: number, high: number): number;
  normal(mean?: number, deviation?: number): number;
  /** Log-normal, within a factor of e^`sigma` of `median` in two of three draws. */
  around(median: number, sigma: number): number;
  /** Integer from low to high, inclusive. */
  whole(low: number, high: number): number;
  pick<T>(items: readonly T[]): T;
  chance(share: number): boolean;
}

export function createDraw(name: string, seed: number): Draw {
  let state = 0x811c9dc5;
  for (const letter of `${name}#${seed}`) state = Math.imul(state ^ letter.charCodeAt(0), 0x01000193);
  const random = seededRandom(state);
  const between = (low: number, high: number) => low + (high - low) * random();
  const whole = (low: number, high: number) => low + Math.floor(random() * (high - low + 1));
  return {
    unit: random,
    between,
    normal: (mean = 0, deviation = 1) => mean + deviation * gaussian(random),
    around: (median, sigma) => median * Math.exp(sigma * gaussian(random)),
    whole,
    pick: (items) => items[whole(0, items.length - 1)]!,
    chance: (share) => random() < share,
  };
}

/** Noise with memory, an AR(1) process of unit variance with the given time constant in samples. */
export function wander(draw: Draw, timeConstant: number): () => number {
  const keep = Math.exp(-1 / timeConstant);
  const fresh = Math.sqrt(1 - keep * keep);
  let value = draw.normal();
  return () => {
    value = keep * value + fresh * draw.normal();
    return value;
  };
}

/** Rounds to a multiple of a step, like a sensor's converter. */
export function stepped(value: number, step: number): number {
  const perUnit = Math.round(1 / step);
  if (Math.abs(perUnit * step - 1) < 1e-9) return Math.round(value * perUnit) / perUnit;
  return Math.round(value / step) * step;
}
