#include "aiot/fixed_point.h"

/* In C11, right shifts of negative numbers are implementation-defined (6.5.7), so the bits are shifted as unsigned. */
static int32_t floor_shift_right(int32_t x, int exponent) {
  const uint32_t sign = x < 0 ? UINT32_MAX : 0;
  return (int32_t)((((uint32_t)x ^ sign) >> exponent) ^ sign);
}

int32_t aiot_doubling_high_multiply(int32_t a, int32_t b) {
  if (a == INT32_MIN && b == INT32_MIN) return INT32_MAX;
  const int64_t product = (int64_t)a * (int64_t)b;
  return (int32_t)(uint32_t)((uint64_t)(product + ((int64_t)1 << 30)) >> 31);
}

int32_t aiot_rounding_shift_right(int32_t x, int exponent) {
  if (exponent == 0) return x;
  if (exponent > 31) return x == INT32_MIN && exponent == 32 ? -1 : 0;
  /* Ties are rounded away from zero, so a negative number is rounded up only if the remainder is more than half. */
  const uint32_t mask = ((uint32_t)1 << exponent) - 1;
  const uint32_t most = (mask >> 1) + (x < 0 ? 1 : 0);
  return floor_shift_right(x, exponent) + (((uint32_t)x & mask) > most ? 1 : 0);
}

int32_t aiot_saturating_shift_left(int32_t x, int exponent) {
  const int64_t shifted = (int64_t)x * ((int64_t)1 << exponent);
  if (shifted > INT32_MAX) return INT32_MAX;
  return shifted < INT32_MIN ? INT32_MIN : (int32_t)shifted;
}

int32_t aiot_multiply_by_quantized(int32_t x, int32_t multiplier, int shift) {
  if (shift <= 0) return aiot_rounding_shift_right(aiot_doubling_high_multiply(x, multiplier), -shift);
  return aiot_doubling_high_multiply((int32_t)((int64_t)x * ((int64_t)1 << shift)), multiplier);
}
