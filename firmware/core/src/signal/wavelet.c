#include <math.h>

#include "har_parts.h"

enum { taps = 8 };

/* Analysis low-pass of the Symlet with four vanishing moments (Daubechies, Ten Lectures on Wavelets, table 6.3). */
static const double low[taps] = {-0.07576571478927333, -0.02963552764599851, 0.49761866763201545,   0.8037387518059161,
                                 0.29785779560527736,  -0.09921954357684722, -0.012603967262037833, 0.0322231006040427};

/* The high-pass is its mirror with alternating signs. */
static double tap_of(size_t tap, bool high) {
  if (!high) return low[tap];
  return tap % 2 == 0 ? -low[taps - 1 - tap] : low[taps - 1 - tap];
}

/*
 * One coefficient. The signal is continued by its mirror image at both ends (half-sample symmetric). It has more samples than the
 * filter.
 */
static double coefficient(const double *from, size_t n, size_t k, bool high) {
  double sum = 0;
  for (size_t tap = 0; tap < taps; tap++) {
    size_t i = 2 * k + 1;
    i = i >= tap ? i - tap : tap - i - 1;
    if (i >= n) i = 2 * n - 1 - i;
    sum += tap_of(tap, high) * from[i];
  }
  return sum;
}

void aiot_wavelet(const double *signal, size_t n, double *first, double *second, double out[AIOT_WAVELET_LEVELS + 1]) {
  size_t last = n;
  for (size_t level = 0; level < AIOT_WAVELET_LEVELS; level++) last = (last + taps - 1) / 2;
  const size_t from_end = AIOT_WAVELET_LEVELS + 1;
  const double *from = signal;
  double *to = first;
  for (size_t level = 0; level < AIOT_WAVELET_LEVELS; level++) {
    const size_t length = (n + taps - 1) / 2;
    for (size_t k = 0; k < length; k++) to[k] = coefficient(from, n, k, false);
    out[AIOT_WAVELET_LEVELS - level] = fabs(coefficient(from, n, length - from_end, true)) / (double)last;
    from = to;
    to = to == first ? second : first;
    n = length;
  }
  out[0] = fabs(from[n - from_end]) / (double)last;
}
