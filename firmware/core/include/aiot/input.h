/* Features of one window -> the network's int8 input, as src/lib/signal/spec.ts does it. */
#ifndef AIOT_INPUT_H
#define AIOT_INPUT_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
  /* Per input: what training measured. Both have `count` elements; no deviation is 0. */
  const double *mean;
  const double *deviation;
  size_t count;
  /* Of the int8 input tensor: real = scale * (q - zero_point). */
  double scale;
  int32_t zero_point;
} aiot_input_spec;

/*
 * q = clamp(round((feature - mean) / deviation / scale) + zero_point) of the feature at `index`, halves away from zero. One that is
 * not a number gives the zero point: undefined behaviour would be worse.
 */
int8_t aiot_quantize_feature(const aiot_input_spec *spec, size_t index, double feature);

/* The same of all: `features` and `out` have spec->count elements. */
void aiot_quantize_input(const aiot_input_spec *spec, const double *features, int8_t *out);

#endif
