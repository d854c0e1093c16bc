/*
 * The integer primitives of TensorFlow Lite's reference kernels ("double rounding", the default of
 * TFLite Micro). Bit-exact with src/lib/runtime/interpreter/fixed-point.ts, which generates
 * firmware/test/golden.inc.
 */
#ifndef AIOT_FIXED_POINT_H
#define AIOT_FIXED_POINT_H

#include <stdint.h>

/* floor((a * b + 2^30) / 2^31), saturated. The only overflow is a = b = INT32_MIN. */
int32_t aiot_doubling_high_multiply(int32_t a, int32_t b);

/* x / 2^exponent, rounded to the nearest, ties away from zero; exponent 0 .. 31. */
int32_t aiot_rounding_shift_right(int32_t x, int exponent);

/* x * 2^exponent saturated to int32; exponent 0 .. 31. */
int32_t aiot_saturating_shift_left(int32_t x, int exponent);

/* x * multiplier * 2^(shift - 31), rounded twice; x * 2^shift must fit int32 if shift > 0; shift -31 .. 30. */
int32_t aiot_multiply_by_quantized(int32_t x, int32_t multiplier, int shift);

#endif
