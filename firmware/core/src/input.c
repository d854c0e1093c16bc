#include "aiot/input.h"

#include <math.h>

static double quantized(const aiot_input_spec *spec, size_t index, double feature, double low, double high) {
  const size_t place = aiot_input_place(spec, index);
  const double standardized = (feature - spec->mean[place]) / spec->deviation[place];
  const double q = round(standardized / spec->scale) + (double)spec->zero_point;
  if (isnan(q)) return (double)spec->zero_point;
  /* Clamped before the cast, because converting a double beyond the integer's range is undefined (C11, 6.3.1.4). */
  return q < low ? low : q > high ? high : q;
}

int8_t aiot_quantize_feature(const aiot_input_spec *spec, size_t index, double feature) {
  return (int8_t)quantized(spec, index, feature, INT8_MIN, INT8_MAX);
}

int16_t aiot_quantize_feature16(const aiot_input_spec *spec, size_t index, double feature) {
  return (int16_t)quantized(spec, index, feature, INT16_MIN, INT16_MAX);
}

void aiot_quantize_input(const aiot_input_spec *spec, const double *features, int8_t *out) {
  for (size_t i = 0; i < spec->count; i++) out[i] = aiot_quantize_feature(spec, i, features[i]);
}
