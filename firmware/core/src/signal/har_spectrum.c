#include <math.h>
#include <string.h>

#include "har_parts.h"

void aiot_amplitudes(const double *re, const double *im, double mean, double *out, size_t n) {
  const size_t bins = n / 2 + 1;
  out[0] = fabs(mean);
  for (size_t k = 1; k < bins; k++) out[k] = 2 * sqrt(re[k] * re[k] + im[k] * im[k]) / (double)n;
  for (size_t k = bins; k < n; k++) out[k] = 0;
  /*
   * For odd n, the last doubled bin mirrors the previous one. Both are equal by definition, but rounding would make them differ.
   */
  if (n % 2 == 1 && n > 2) out[bins] = out[bins - 1];
}

aiot_spectrum_figures aiot_spectrum_figures_of(const double *amplitude, size_t n, double bin_hz) {
  const size_t top = (n + 1) / 2 < n - 1 ? (n + 1) / 2 : n - 1, last = n / 2;
  double sum = 0, weighted = 0, power = 0;
  for (size_t k = 0; k <= top; k++) {
    const double a = amplitude[k];
    sum += a;
    weighted += a * (double)k * bin_hz;
    if (k > 0 && k <= last) power += a * a * (k == last && n % 2 == 0 ? 0.5 : 1);
  }
  aiot_spectrum_figures out = {.mean_hz = sum > 0 ? weighted / sum : 0};
  double reached = amplitude[0], entropy = 0;
  int quarters = 0;
  for (size_t k = 1; k <= top; k++) {
    const double a = amplitude[k];
    reached += a;
    if (quarters == 0 && sum > 0 && reached / sum >= 0.25) {
      out.one_quarter_hz = (double)k * bin_hz;
      quarters = 1;
    }
    if (quarters == 1 && reached / sum >= 0.75) {
      out.three_quarters_hz = (double)k * bin_hz;
      quarters = 3;
    }
    if (k > last || a == 0) continue;
    const double share = a * a * (k == last && n % 2 == 0 ? 0.5 : 1) / power;
    if (share > 0) entropy -= share * log2(share);
  }
  out.entropy = power > 0 ? entropy : 0;
  return out;
}

size_t aiot_median_bin(const double *amplitude, size_t n, double *work) {
  const size_t m = n / 2;
  work[0] = 0;
  for (size_t k = 0; k < m; k++) work[k + 1] = work[k] + amplitude[k] * amplitude[k];
  size_t at = m / 2, previous = at;
  double last_difference = 1e13, last_left = 1e14;
  int repeats = 0;
  for (unsigned counter = 2; counter < 64; counter++) {
    const double left = work[at], right = work[m] - left;
    const size_t step = counter < 32 ? m >> counter : 0;
    if (left < right) at = previous + step;
    else if (left > right) at = previous - step;
    else break;
    const double difference = fabs(right - left);
    if (left == last_left) repeats++;
    if (repeats == 10 || difference >= 15 * last_difference) break;
    previous = at;
    last_difference = difference;
    last_left = left;
  }
  return previous;
}

/* Adds a peak; if there are already three, it replaces the weakest. */
static size_t keep_strongest(const double *amplitude, size_t peak, size_t out[3], size_t found) {
  if (found < 3) {
    out[found] = peak;
    return found + 1;
  }
  size_t weakest = 0;
  for (size_t k = 1; k < 3; k++) {
    if (amplitude[out[k]] < amplitude[out[weakest]]) weakest = k;
  }
  if (amplitude[peak] > amplitude[out[weakest]]) out[weakest] = peak;
  return found;
}

static void order_pair(size_t *a, size_t *b) {
  if (*a <= *b) return;
  const size_t held = *a;
  *a = *b;
  *b = held;
}

void aiot_strongest_peaks(const double *amplitude, size_t n, size_t out[3]) {
  memset(out, 0, 3 * sizeof(size_t));
  /* All amplitudes above half the rate are 0. */
  const size_t above = (n + 1) / 2 + 2, end = above < n - 1 ? above : n - 1;
  size_t found = 0;
  for (size_t i = 1; i < end;) {
    size_t last = i;
    while (last < n - 1 && amplitude[last + 1] == amplitude[i]) last++;
    /* The maximum of a plateau is its middle. The ends of the spectrum are not maxima. */
    const bool is_peak = amplitude[i - 1] < amplitude[i] && last < n - 1 && amplitude[last + 1] < amplitude[i];
    if (is_peak) found = keep_strongest(amplitude, (i + last) / 2, out, found);
    i = last + 1;
  }
  if (found < 3) return;
  order_pair(&out[0], &out[1]);
  order_pair(&out[1], &out[2]);
  order_pair(&out[0], &out[1]);
}
