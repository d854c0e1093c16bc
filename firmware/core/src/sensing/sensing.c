#include "aiot/sensing.h"

#include <math.h>

typedef double (*read_value)(const void *values, size_t at);

static aiot_summary summary_of(const void *values, read_value value, size_t samples, size_t axes, size_t axis) {
  const double count = (double)samples;
  double sum = 0, low = value(values, axis), high = low;
  for (size_t i = 0; i < samples; i++) {
    const double x = value(values, i * axes + axis);
    sum += x;
    low = x < low ? x : low;
    high = x > high ? x : high;
  }
  /* The mean is subtracted before squaring, because the squares of a small swing on a large offset would lose all precision. */
  const double mean = sum / count;
  double squares = 0;
  for (size_t i = 0; i < samples; i++) {
    const double d = value(values, i * axes + axis) - mean;
    squares += d * d;
  }
  const double variance = squares / count;
  return (aiot_summary){.mean = mean, .rms = sqrt(mean * mean + variance), .ac_rms = sqrt(variance), .low = low, .high = high};
}

static double float_at(const void *values, size_t at) { return (double)((const float *)values)[at]; }
static double count_at(const void *values, size_t at) { return (double)((const uint16_t *)values)[at]; }

aiot_summary aiot_summary_of(const float *values, size_t samples, size_t axes, size_t axis) { return summary_of(values, float_at, samples, axes, axis); }

aiot_summary aiot_summary_of_counts(const uint16_t *counts, size_t samples, size_t axes, size_t axis) { return summary_of(counts, count_at, samples, axes, axis); }

double aiot_volts_per_count(aiot_converter converter) {
  return converter.reference_volts / (double)((1ul << converter.bits) - 1);
}

aiot_channel aiot_tmp36(aiot_converter converter) {
  return (aiot_channel){AIOT_MEAN, aiot_volts_per_count(converter), 100, -50};
}

aiot_channel aiot_sct013(aiot_converter converter, double turns, double burden_ohms) {
  return (aiot_channel){AIOT_AC_RMS, aiot_volts_per_count(converter), aiot_current_calibration(turns, burden_ohms), 0};
}

aiot_channel aiot_max4465(aiot_converter converter) {
  return (aiot_channel){AIOT_PEAK_TO_PEAK, aiot_volts_per_count(converter), 1, 0};
}

aiot_channel aiot_piezo(aiot_converter converter) { return (aiot_channel){AIOT_AC_RMS, aiot_volts_per_count(converter), 1, 0}; }

static double quantity_of(aiot_quantity quantity, const aiot_summary *s) {
  switch (quantity) {
    case AIOT_MEAN: return s->mean;
    case AIOT_RMS: return s->rms;
    case AIOT_AC_RMS: return s->ac_rms;
    case AIOT_PEAK_TO_PEAK: return s->high - s->low;
  }
  return 0;
}

double aiot_channel_value(const aiot_channel *channel, const aiot_summary *counts) {
  return channel->scale * (quantity_of(channel->quantity, counts) * channel->volts_per_count) + channel->offset;
}

double aiot_tmp36_celsius(double volts) { return (volts - 0.5) * 100; }

double aiot_current_calibration(double turns, double burden_ohms) { return turns / burden_ohms; }

double aiot_burden_ohms(double amperes, double turns, double swing_volts) { return swing_volts / 2 * turns / (sqrt(2.0) * amperes); }

double aiot_burden_watts(double amperes, double turns, double burden_ohms) {
  const double secondary = amperes / turns;
  return secondary * secondary * burden_ohms;
}

double aiot_bias_corner_hz(double upper_ohms, double lower_ohms, double farads) {
  const double parallel = upper_ohms * lower_ohms / (upper_ohms + lower_ohms);
  return 1 / (2 * 3.14159265358979323846 * parallel * farads);
}
