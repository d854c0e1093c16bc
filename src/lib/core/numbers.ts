/** A source of random numbers in [0, 1). Passed in wherever randomness is used, so that a seed reproduces a run. */
export type Random = () => number;

/** Seeded generator (mulberry32: 32 bits of state, period 2³²). Not for keys, which come from node:crypto. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** Standard normal deviate (Box–Muller). */
export function gaussian(random: Random): number {
  const u = 1 - random();
  return Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * random());
}

/** The integers from 0 to `count` − 1 in the order that `shuffled` would produce, in four bytes each. */
export function shuffledNumbers(count: number, random: Random): Uint32Array {
  const out = new Uint32Array(count);
  for (let i = 0; i < count; i++) out[i] = i;
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    const last = out[i]!;
    out[i] = out[j]!;
    out[j] = last;
  }
  return out;
}

/** A shuffled copy of the items (Fisher–Yates). */
export function shuffled<T>(items: readonly T[], random: Random): T[] {
  const out = [...items];
  for (let i = out.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [out[i], out[j]] = [out[j] as T, out[i] as T];
  }
  return out;
}

/**
 * Rounds to the nearest integer, with halves away from zero, like C's round() and TensorFlow Lite's TfLiteRound. Does not use floor(x +
 * 0.5), which rounds the number just below one half incorrectly. Never returns −0, which no integer type can represent.
 */
export function roundHalfAway(x: number): number {
  const whole = Math.trunc(x) + 0;
  if (Math.abs(x - whole) < 0.5) return whole;
  return x < 0 ? whole - 1 : whole + 1;
}

/** Rounds to the nearest integer, and halves to the even one, like Python's round(). */
export function roundHalfEven(x: number): number {
  const down = Math.floor(x);
  const rest = x - down;
  if (rest !== 0.5) return rest < 0.5 ? down : down + 1;
  return down % 2 === 0 ? down : down + 1;
}

/**
 * Quantile of ascending values, interpolated linearly between the two nearest (numpy's default; Hyndman and Fan's type 7). 0 if there are
 * no values.
 */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  const at = share * (sorted.length - 1);
  const low = Math.floor(at);
  const value = sorted[low] ?? 0;
  const part = at - low;
  return part === 0 ? value : value + part * ((sorted[low + 1] ?? value) - value);
}
