#include "logarithm.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* 1/k for odd k, the highest power first. */
static const double log_terms[] = {1.0 / 23, 1.0 / 21, 1.0 / 19, 1.0 / 17, 1.0 / 15, 1.0 / 13, 1.0 / 11, 1.0 / 9, 1.0 / 7, 1.0 / 5, 1.0 / 3, 1.0};
/* 1/k!, the highest power first. */
static const double exp_terms[] = {1.0 / 1307674368000.0, 1.0 / 87178291200.0, 1.0 / 6227020800.0, 1.0 / 479001600.0,
                                   1.0 / 39916800.0,      1.0 / 3628800.0,     1.0 / 362880.0,     1.0 / 40320.0,
                                   1.0 / 5040.0,          1.0 / 720.0,         1.0 / 120.0,        1.0 / 24.0,
                                   1.0 / 6.0,             1.0 / 2.0,           1.0,                1.0};

static double polynomial(const double *terms, size_t count, double z) {
  double sum = terms[0];
  for (size_t i = 1; i < count; i++) sum = sum * z + terms[i];
  return sum;
}

double aiot_log(double x) {
  const double half_root = 0.70710678118654752440;
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  int exponent = (int)(bits >> 52) - 1022;
  bits = (bits & 0x000fffffffffffffu) | 0x3fe0000000000000u;
  double mantissa;
  memcpy(&mantissa, &bits, sizeof mantissa);
  if (mantissa < half_root) {
    mantissa *= 2;
    exponent--;
  }
  const double s = (mantissa - 1) / (mantissa + 1);
  return exponent * AIOT_LN2 + 2 * s * polynomial(log_terms, sizeof(log_terms) / sizeof(log_terms[0]), s * s);
}

double aiot_exp(double x) {
  const double halvings = floor(x / AIOT_LN2 + 0.5);
  double sum = polynomial(exp_terms, sizeof(exp_terms) / sizeof(exp_terms[0]), x - halvings * AIOT_LN2);
  for (int i = 0; i < (int)halvings; i++) sum *= 2;
  return sum;
}
