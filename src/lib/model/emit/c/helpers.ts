import type { Helper } from './piece.js';

const texts: Readonly<Record<Helper, string>> = {
  clamped: `static inline int8_t clamped(int32_t value, int32_t low, int32_t high) {
  return (int8_t)(value < low ? low : value > high ? high : value);
}`,
  scaledDown: `/*
 * x * multiplier / 2^(32 + less), rounded twice: to a half of 2^31 up, then halves away from zero. Right shifts of negative
 * numbers are arithmetic in every compiler that this is for.
 */
static inline int32_t scaled_down(int32_t x, int32_t multiplier, int less) {
  const int32_t high = (int32_t)(((int64_t)x * multiplier + 1073741824) >> 31);
  return (((high + (high >> 31)) >> less) + 1) >> 1;
}`,
  scaled: `/* x * multiplier * 2^(shift - 31), rounded as TFLite's reference kernels do. */
static inline int32_t scaled(int32_t x, int32_t multiplier, int shift) {
  const int32_t wide = shift > 0 ? (int32_t)((uint32_t)x << shift) : x;
  const int32_t high = (int32_t)(((int64_t)wide * multiplier + 1073741824) >> 31);
  return shift < 0 ? (((high + (high >> 31)) >> (-shift - 1)) + 1) >> 1 : high;
}`,
  inverse: `/* a * b / 2^31 */
static inline int32_t product(int32_t a, int32_t b) {
  return (int32_t)(((int64_t)a * b + 1073741824) >> 31);
}

static inline int32_t times_saturated(int32_t x, int32_t factor) {
  const int64_t wide = (int64_t)x * factor;
  return wide > INT32_MAX ? INT32_MAX : wide < INT32_MIN ? INT32_MIN : (int32_t)wide;
}

/* 1/(1 + a) of a in [0, 1) with 31 bits of fraction: three steps of Newton's method, as gemmlowp takes them. */
static inline int32_t inverse(int32_t a) {
  const int32_t half = (int32_t)(((int64_t)a + 2147483648) / 2);
  int32_t x = 1515870810 + product(half, -1010580540);
  for (int step = 0; step < 3; step++) x += times_saturated(product(x, 536870912 - product(half, x)), 4);
  return times_saturated(x, 2);
}`,
};

/** The helpers' functions, in an order in which each stands before its callers. */
export function helperTexts(used: ReadonlySet<Helper>): string[] {
  const order: Helper[] = ['clamped', 'scaledDown', 'scaled', 'inverse'];
  return order.filter((helper) => used.has(helper)).map((helper) => texts[helper]);
}
