#include "moments.h"

#include <math.h>

aiot_moments aiot_moments_of(const double *signal, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; i++) sum += signal[i];
  return aiot_central_moments(signal, n, sum / (double)n);
}

aiot_moments aiot_central_moments(const double *signal, size_t n, double mean) {
  double m2 = 0, m3 = 0, m4 = 0;
  for (size_t i = 0; i < n; i++) {
    const double d = signal[i] - mean;
    const double square = d * d, cube = square * d;
    m2 += square;
    m3 += cube;
    m4 += cube * d;
  }
  const double count = (double)n;
  aiot_moments out = {.mean = mean, .variance = m2 / count};
  out.deviation = sqrt(out.variance);
  /* A millionth of the mean is below the resolution of any sensor, and above the rounding errors of single precision. */
  out.flat = out.variance <= 1e-12 * mean * mean + 1e-18;
  out.skewness = out.flat ? 0 : m3 / count / (out.variance * out.deviation);
  out.kurtosis = out.flat ? 0 : m4 / count / (out.variance * out.variance);
  return out;
}
