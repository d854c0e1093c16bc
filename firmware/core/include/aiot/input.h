/* Converts features of one window to the network's int8 or int16 input, like src/lib/signal/spec.ts. */
#ifndef AIOT_INPUT_H
#define AIOT_INPUT_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
  /* Mean and standard deviation of the inputs in the training data. Both arrays have `distinct` elements, which repeat for
   * the `count` inputs; deviations are never 0. */
  const double *mean;
  const double *deviation;
  size_t count;
  /* Quantization of the input tensor: real = scale * (q - zero_point). */
  double scale;
  int32_t zero_point;
  /* Number of different means: `count`, or the channels of a picture or the values of a frame of sound. */
  size_t distinct;
} aiot_input_spec;

/* Index of the mean and deviation of an input. */
static inline size_t aiot_input_place(const aiot_input_spec *spec, size_t index) {
  return spec->distinct == spec->count ? index : index % spec->distinct;
}

/*
 * q = clamp(round((feature - mean) / deviation / scale) + zero_point) of the feature at `index`, with halves rounded away from
 * zero. NaN becomes the zero point, because its conversion would be undefined.
 */
int8_t aiot_quantize_feature(const aiot_input_spec *spec, size_t index, double feature);
/* The same for an int16 input. */
int16_t aiot_quantize_feature16(const aiot_input_spec *spec, size_t index, double feature);

/* Quantizes all features: `features` and `out` have spec->count elements. */
void aiot_quantize_input(const aiot_input_spec *spec, const double *features, int8_t *out);

#endif
