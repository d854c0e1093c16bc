#include <math.h>
#include <string.h>

#include "har_parts.h"

aiot_axis_sums aiot_axis_sums_of(const double *signal, size_t n) {
  double before = signal[0], sum = before;
  aiot_axis_sums out = {.absolute = fabs(before), .low = before, .high = before};
  for (size_t i = 1; i < n; i++) {
    const double x = signal[i], step = fabs(x - before);
    sum += x;
    out.absolute += x < 0 ? -x : x;
    if (x < out.low) out.low = x;
    if (x > out.high) out.high = x;
    out.waveform += step;
    if (step > 0.05) out.wilson += 1;
    else if (step < 0.05) out.wilson -= 1;
    if ((x > 0) != (before > 0) || (x < 0) != (before < 0)) out.sign_changes += 1;
    before = x;
  }
  out.mean = sum / (double)n;
  return out;
}

double aiot_dot(const double *a, const double *b, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; i++) sum += a[i] * b[i];
  return sum;
}

static double middle_of(double a, double b, double c) {
  if (a < b) return b < c ? b : a < c ? c : a;
  return a < c ? a : b < c ? c : b;
}

/* The k-th smallest value, counted from 0, by Hoare's selection. Afterwards, no value before it is larger. */
static double select_smallest(double *values, size_t n, size_t k) {
  ptrdiff_t left = 0, right = (ptrdiff_t)n - 1;
  const ptrdiff_t wanted = (ptrdiff_t)k;
  while (left < right) {
    const double pivot = middle_of(values[left], values[(left + right) / 2], values[right]);
    ptrdiff_t i = left, j = right;
    while (i <= j) {
      while (values[i] < pivot) i++;
      while (values[j] > pivot) j--;
      if (i > j) break;
      const double held = values[i];
      values[i++] = values[j];
      values[j--] = held;
    }
    if (wanted <= j) right = j;
    else if (wanted >= i) left = i;
    else break;
  }
  return values[wanted];
}

double aiot_median(double *values, size_t n) {
  const size_t k = n / 2;
  const double upper = select_smallest(values, n, k);
  if (n % 2 == 1) return upper;
  double lower = values[0];
  for (size_t i = 1; i < k; i++) {
    if (values[i] > lower) lower = values[i];
  }
  return (lower + upper) / 2;
}

double aiot_median_deviation(const double *signal, size_t n, double *work) {
  memcpy(work, signal, n * sizeof(double));
  const double middle = aiot_median(work, n);
  for (size_t i = 0; i < n; i++) work[i] = fabs(signal[i] - middle);
  return aiot_median(work, n);
}
