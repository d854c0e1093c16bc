/*
 * Operators on float32 (kernels_real.c), with the results of src/lib/runtime/interpreter/float.ts. Sums of layers are in double precision.
 * Elsewhere, each product is rounded to single precision before it is added.
 */
#ifndef AIOT_REAL_H
#define AIOT_REAL_H

#include <string.h>

#include "network.h"

/* An element. Constants in a file are not aligned. */
static inline float aiot_real_at(const int8_t *x, int32_t index) {
  float value;
  memcpy(&value, x + 4 * (size_t)index, sizeof value);
  return value;
}

static inline void aiot_real_set(int8_t *y, int32_t index, float value) {
  memcpy(y + 4 * (size_t)index, &value, sizeof value);
}

/* a * b, rounded once. A compiler cannot fuse it with an addition. */
static inline float aiot_real_product(float a, float b) {
  return (float)((double)a * (double)b);
}

/* A value within the range of a fused activation (0 none, 1 RELU, 2 RELU_N1_TO_1, 3 RELU6). */
static inline double aiot_real_limit(int32_t activation, double value) {
  const double low = activation == 2 ? -1.0 : 0.0, high = activation == 2 ? 1.0 : 6.0;
  if (activation == 0) return value;
  if (value < low) return low;
  return activation > 1 && value > high ? high : value;
}

static inline bool aiot_real_activation(int32_t activation) {
  return activation >= 0 && activation <= 3;
}

static inline bool aiot_is_real(const aiot_operand *operand) {
  return operand != NULL && operand->type == AIOT_FLOAT32;
}

/* An operator with one output for each input, of the same type. */
aiot_code aiot_prepare_real_values(const aiot_operator *operator);
aiot_code aiot_prepare_real_fully_connected(const aiot_operator *operator);
/* For CONV_2D and DEPTHWISE_CONV_2D. */
aiot_code aiot_prepare_real_window(const aiot_operator *operator);
aiot_code aiot_prepare_real_transpose_convolution(const aiot_operator *operator);
aiot_code aiot_prepare_real_svdf(const aiot_operator *operator);
aiot_code aiot_prepare_real_lstm(const aiot_operator *operator);

#endif
