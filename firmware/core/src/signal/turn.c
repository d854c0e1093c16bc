#include "turn.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>

/* 1/k! with alternating signs, the highest power first. */
static const double cos_terms[] = {1.0 / 20922789888000.0, -1.0 / 87178291200.0, 1.0 / 479001600.0, -1.0 / 3628800.0, 1.0 / 40320.0,
                                   -1.0 / 720.0,           1.0 / 24.0,           -1.0 / 2.0,         1.0};
static const double sin_terms[] = {1.0 / 355687428096000.0, -1.0 / 1307674368000.0, 1.0 / 6227020800.0, -1.0 / 39916800.0, 1.0 / 362880.0,
                                   -1.0 / 5040.0,           1.0 / 120.0,            -1.0 / 6.0,         1.0};

static double polynomial(const double *terms, size_t count, double z) {
  double sum = terms[0];
  for (size_t i = 1; i < count; i++) sum = sum * z + terms[i];
  return sum;
}

aiot_turned aiot_turn(double numerator, double denominator) {
  const double quarter_pi = 0.78539816339744830962;
  const double eighths = 8 * numerator;
  const double whole = floor(eighths / denominator);
  const unsigned eighth = (unsigned)(uint32_t)whole % 8;
  const double rest = eighth % 2 == 0 ? eighths - whole * denominator : (whole + 1) * denominator - eighths;
  const double x = quarter_pi * (rest / denominator);
  const double z = x * x;
  const double near = polynomial(cos_terms, sizeof(cos_terms) / sizeof(cos_terms[0]), z);
  const double far = polynomial(sin_terms, sizeof(sin_terms) / sizeof(sin_terms[0]), z) * x;
  switch (eighth) {
    case 0: return (aiot_turned){near, far};
    case 1: return (aiot_turned){far, near};
    case 2: return (aiot_turned){-far, near};
    case 3: return (aiot_turned){-near, far};
    case 4: return (aiot_turned){-near, -far};
    case 5: return (aiot_turned){-far, -near};
    case 6: return (aiot_turned){far, -near};
    default: return (aiot_turned){near, -far};
  }
}
