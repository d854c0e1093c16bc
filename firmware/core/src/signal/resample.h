/* Which output samples lie between which input samples, as src/lib/signal/pipeline.ts: linear, never to a higher rate. */
#ifndef AIOT_SIGNAL_RESAMPLE_H
#define AIOT_SIGNAL_RESAMPLE_H

#include <stdbool.h>

typedef struct {
  double rate_hz;
  double resample_hz;
  double inputs;
  double outputs;
  double share;
} aiot_resampler;

/* The next input sample has come; true = an output sample lies at or before it. */
bool aiot_resampler_advance(aiot_resampler *resampler);

/* Value of that output sample, out of the two last input samples. */
double aiot_resampler_value(const aiot_resampler *resampler, double previous, double current);

#endif
