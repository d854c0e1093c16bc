/* Converts the scales of tensors to the integers that the kernels use (src/lib/runtime/interpreter/fixed-point.ts). */
#ifndef AIOT_QUANTIZED_H
#define AIOT_QUANTIZED_H

#include <string.h>

#include "network.h"

/* A ratio r of two scales: r = multiplier * 2^(shift - 31). */
typedef struct {
  int32_t multiplier;
  int32_t shift;
} aiot_ratio;

typedef struct {
  double scale;
  int32_t zero_point;
} aiot_scale;

/* Converts a ratio. False if it is too large for the kernels (shift above 30), below 0 or not a number. */
bool aiot_ratio_of(double real, aiot_ratio *out);
int32_t aiot_ratio_times(int32_t x, aiot_ratio ratio);
/*
 * x * multiplier * 2^(shift - 31) of |x| < 2^47, with a multiplier of 15 bits, rounded half up (TFLite's MultiplyByQuantizedMultiplier of
 * int64).
 */
int32_t aiot_ratio_times_wide(int64_t x, aiot_ratio ratio);

/* Reads the scale of an int8 activation; false unless it has exactly one scale, which is above 0. */
bool aiot_scale_of(aiot_flatbuffer *file, const aiot_operand *operand, aiot_scale *out);
/*
 * Like aiot_scale_of, for an activation of int8 or uint8. For uint8, the values and the zero point are 128 lower, so that they
 * fit int8.
 */
bool aiot_byte_scale_of(aiot_flatbuffer *file, const aiot_operand *operand, aiot_scale *out);
/* Like aiot_scale_of, for int8 or int16, if the zero point fits int8. */
bool aiot_integer_scale_of(aiot_flatbuffer *file, const aiot_operand *operand, aiot_scale *out);
/* Like aiot_scale_of, for int8, or for int16 whose zero point is 0. */
bool aiot_activation_scale_of(aiot_flatbuffer *file, const aiot_operand *operand, aiot_scale *out);
/* Like aiot_scale_of, for int8, int16 or int32 with any zero point of that type, as QUANTIZE and DEQUANTIZE read them. */
bool aiot_stored_scale_of(aiot_flatbuffer *file, const aiot_operand *operand, aiot_scale *out);
/*
 * Whether two activations have the same type, which is one of `types` (bits 1 << type). Those of int8 and int16 must also have the same
 * quantization, as in aiot_scale_same.
 */
bool aiot_alike(aiot_flatbuffer *file, const aiot_operand *a, const aiot_operand *b, uint32_t types);
/* Whether two activations have the same quantization; scales may differ by one part in a million. */
bool aiot_scale_same(aiot_flatbuffer *file, const aiot_operand *a, const aiot_operand *b);
/* Whether they have exactly the same quantization. */
bool aiot_scale_equal(aiot_flatbuffer *file, const aiot_operand *a, const aiot_operand *b);
/* Whether an output has the scale that a kernel assumes. */
bool aiot_scale_is(aiot_flatbuffer *file, const aiot_operand *operand, double scale, int32_t zero_point);

/* Whether a real number, in steps of this scale, fits 32 bits. */
bool aiot_scale_holds(double scale, double real);

/* The minimum and maximum of an output with a fused activation (0 none, 1 RELU, 2 RELU_N1_TO_1, 3 RELU6). */
typedef struct {
  int32_t low, high;
} aiot_range;
bool aiot_range_of(aiot_scale output, int32_t activation, aiot_range *out);
/* Like aiot_range_of, for an output of int8 or int16. */
bool aiot_range_within(int32_t type, aiot_scale output, int32_t activation, aiot_range *out);
/* All values of int8 or int16. */
aiot_range aiot_range_whole(int32_t type);
/* Like aiot_range_whole, also for int32. */
aiot_range aiot_range_stored(int32_t type);

static inline int8_t aiot_range_clamp(aiot_range range, int32_t value) {
  return (int8_t)(value < range.low ? range.low : value > range.high ? range.high : value);
}

static inline int32_t aiot_range_limit(aiot_range range, int32_t value) {
  return value < range.low ? range.low : value > range.high ? range.high : value;
}

/* An element of int8, bool, int16 or int32. Constants in a file are not aligned. */
static inline int32_t aiot_load(const int8_t *x, int32_t type, int32_t index) {
  int16_t half;
  int32_t whole;
  switch (type) {
    case AIOT_INT16:
      memcpy(&half, x + 2 * index, sizeof half);
      return half;
    case AIOT_INT32:
      memcpy(&whole, x + 4 * index, sizeof whole);
      return whole;
    default:
      return x[index];
  }
}

static inline void aiot_store(int8_t *y, int32_t type, int32_t index, int32_t value) {
  const int16_t half = (int16_t)(uint16_t)value;
  switch (type) {
    case AIOT_INT16:
      memcpy(y + 2 * index, &half, sizeof half);
      break;
    case AIOT_INT32:
      memcpy(y + 4 * index, &value, sizeof value);
      break;
    default:
      y[index] = (int8_t)(uint8_t)value;
  }
}

/* `real` rounded to the nearest integer, halves away from zero, limited to +-2^30. */
int32_t aiot_round(double real);

#endif
