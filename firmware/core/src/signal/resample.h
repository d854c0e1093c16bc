/* Linear resampling to the same or a lower rate, as in src/lib/signal/pipeline.ts. */
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

/* Advances by one input sample. True if there is an output sample at it, or between it and the previous one. */
bool aiot_resampler_advance(aiot_resampler *resampler);

/* Value of that output sample, from the last two input samples. */
double aiot_resampler_value(const aiot_resampler *resampler, double previous, double current);

#endif
