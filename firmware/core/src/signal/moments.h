/* Population moments (1/n) of one signal, as in src/lib/signal/bands.ts. */
#ifndef AIOT_SIGNAL_MOMENTS_H
#define AIOT_SIGNAL_MOMENTS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct {
  double mean;
  double variance;
  double deviation;
  /* Means of the cube and the fourth power of the standardized signal; 0 if it is flat. */
  double skewness;
  double kurtosis;
  /* Whether the signal is constant, apart from rounding errors. */
  bool flat;
} aiot_moments;

aiot_moments aiot_moments_of(const double *signal, size_t n);

/* Moments of a signal whose mean is known. */
aiot_moments aiot_central_moments(const double *signal, size_t n, double mean);

#endif
