/* Moments of one signal, of the population (1/n), like src/lib/signal/bands.ts. */
#ifndef AIOT_SIGNAL_MOMENTS_H
#define AIOT_SIGNAL_MOMENTS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct {
  double mean;
  double variance;
  double deviation;
  /* Mean cube and mean fourth power of the standardized signal; 0 if it is flat. */
  double skewness;
  double kurtosis;
  /* Only rounding errors are left of it. */
  bool flat;
} aiot_moments;

aiot_moments aiot_moments_of(const double *signal, size_t n);

/* The same, with a known mean. */
aiot_moments aiot_central_moments(const double *signal, size_t n, double mean);

#endif
