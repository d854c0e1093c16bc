#include "resample.h"

bool aiot_resampler_advance(aiot_resampler *resampler) {
  const double at = resampler->inputs;
  resampler->inputs += 1;
  const double position = (resampler->outputs * resampler->rate_hz) / resampler->resample_hz;
  if (position > at) return false;
  resampler->outputs += 1;
  resampler->share = position - (at - 1);
  return true;
}

double aiot_resampler_value(const aiot_resampler *resampler, double previous, double current) {
  return resampler->share == 1 ? current : previous + (current - previous) * resampler->share;
}
