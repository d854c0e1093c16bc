/* Moments of one signal, of the population (1/n), as src/lib/signal/bands.ts. */
#ifndef AIOT_SIGNAL_MOMENTS_H
#define AIOT_SIGNAL_MOMENTS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct {
  double mean;
  double variance;
  double deviation;
  /* Mean cube and mean fourth power of the standardized signal; 0 when it is flat. */
  double skewness;
  double kurtosis;
  /* No more than rounding is left of it. */
  bool flat;
} aiot_moments;

aiot_moments aiot_moments_of(const double *signal, size_t n);

/* The same, the mean being known. */
aiot_moments aiot_central_moments(const double *signal, size_t n, double mean);

#endif
