#include "fixed_functions.h"

#include "aiot/fixed_point.h"

static int32_t times(int32_t a, int32_t b) {
  return aiot_doubling_high_multiply(a, b);
}

/* e^-(2^k) for k = -2 .. 4, in Q0.31. */
static const int32_t exponentials[] = {1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242};

int32_t aiot_exponential(int32_t a, int integer_bits) {
  if (a == 0) return INT32_MAX;
  const int fraction_bits = 31 - integer_bits;
  const int32_t quarter = (int32_t)1 << (fraction_bits - 2);
  /* a = m - remainder with m in [-1/4, 0): a polynomial for m, one factor for each bit of the remainder. */
  const int32_t m = (int32_t)((uint32_t)a & (uint32_t)(quarter - 1)) - quarter;
  const int32_t x = aiot_saturating_shift_left(m, integer_bits) + (1 << 28);
  const int32_t x2 = times(x, x);
  const int32_t x3 = times(x2, x);
  const int32_t x4 = times(x2, x2);
  const int32_t cubic = times(aiot_rounding_shift_right(x4, 2) + x3, 715827883) + x2;
  int32_t result = 1895147668 + times(1895147668, x + aiot_rounding_shift_right(cubic, 1));
  const uint32_t remainder = (uint32_t)m - (uint32_t)a;
  for (int k = -2; k < integer_bits && k <= 4; k++)
    if (remainder >> (fraction_bits + k) & 1) result = times(result, exponentials[k + 2]);
  return result;
}

/* 1/(1 + a) in Q2.29: three steps of Newton's method. */
static int32_t half_denominator_inverse(int32_t a) {
  const int32_t half = (int32_t)(((int64_t)a + ((int64_t)1 << 31)) / 2);
  int32_t x = 1515870810 + times(half, -1010580540);
  for (int step = 0; step < 3; step++) {
    const int32_t error = (1 << 29) - times(half, x);
    x += aiot_saturating_shift_left(times(x, error), 2);
  }
  return x;
}

int32_t aiot_inverse_square_root(int32_t x, int *shift) {
  *shift = 0;
  if (x <= 1) return INT32_MAX;
  int down = 11;
  for (; x >= 1 << 29; down++) x /= 4;
  int bits = 0;
  while (x << bits < 1 << 30) bits++;
  const int pairs = bits / 2 - 1;
  down -= pairs;
  /* Five steps of Newton's method, with three integer bits. */
  const int32_t input = (x << 2 * pairs) >> 1;
  const int32_t half = aiot_rounding_shift_right(input, 1);
  const int32_t three_halves = (1 << 28) + (1 << 27);
  int32_t root = 1 << 28;
  for (int step = 0; step < 5; step++) {
    const int32_t cube = aiot_saturating_shift_left(times(times(root, root), root), 6);
    root = aiot_saturating_shift_left(times(three_halves, root) - times(half, cube), 3);
  }
  /* The square root of 2, halved, in Q0.31. */
  const int32_t result = times(root, 1518500250);
  if (down < 0) return (int32_t)((uint32_t)result << -down);
  *shift = -down;
  return result;
}

int32_t aiot_reciprocal_of_one_plus(int32_t a) {
  return aiot_saturating_shift_left(half_denominator_inverse(a), 1);
}

int32_t aiot_logistic(int32_t v) {
  if (v == 0) return 1 << 30;
  const int32_t positive = aiot_reciprocal_of_one_plus(aiot_exponential(v < 0 ? v : -v, 4));
  return v > 0 ? positive : INT32_MAX - positive;
}

/* (1 - e^-2v)/(1 + e^-2v). The bits of v, read as Q5.26, are the value 2v. */
int32_t aiot_tanh(int32_t v) {
  if (v == 0) return 0;
  const int32_t inverse = half_denominator_inverse(aiot_exponential(v < 0 ? v : -v, 5));
  const int32_t positive = aiot_saturating_shift_left(inverse - (1 << 29), 2);
  return v > 0 ? positive : -positive;
}
