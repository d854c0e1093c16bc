/* Fixed-point functions with the results of those in gemmlowp's fixedpoint.h (src/lib/runtime/interpreter/fixed-point.ts). */
#ifndef AIOT_FIXED_FUNCTIONS_H
#define AIOT_FIXED_FUNCTIONS_H

#include <stdint.h>

/* e^a as Q0.31, for a <= 0 in Q`integer_bits`.(31 - integer_bits). `integer_bits` is 4 or 5. */
int32_t aiot_exponential(int32_t a, int integer_bits);
/* 1/sqrt(x) as multiplier * 2^(shift - 31), for x >= 0. 0 is treated as 1. */
int32_t aiot_inverse_square_root(int32_t x, int *shift);
/* 1/(1 + a) of a in [0, 1], Q0.31 -> Q0.31. */
int32_t aiot_reciprocal_of_one_plus(int32_t a);
/* ln x for x of at least 1: Q12.19 -> Q5.26. */
int32_t aiot_logarithm(int32_t x);
/* 1/(1 + e^-v) and tanh(v) of v in Q4.27, as Q0.31. v must not be INT32_MIN. */
int32_t aiot_logistic(int32_t v);
int32_t aiot_tanh(int32_t v);
/* 1/(1 + e^-x) and tanh(x) in Q0.15, for v = x * 3 * 4096. */
int32_t aiot_logistic16(int32_t v);
int32_t aiot_tanh16(int32_t v);

#endif
