/*
 * Fourier transforms of int32 and float32, and inverse transforms of int16, int32 and float32, with the results of KISS FFT
 * (src/lib/signal/sample-transform.ts).
 */
#ifndef AIOT_SIGNAL_SAMPLE_TRANSFORM_H
#define AIOT_SIGNAL_SAMPLE_TRANSFORM_H

#include "front_end.h"

typedef struct {
  size_t length;
  /* Bits of fractions: 15 for int16, 31 for int32. */
  int bits;
  bool inverse;
  /* Rotations of the complex transform and of its conversion, and pairs of the complex transform. */
  int32_t *inner, *outer, *work;
  uint8_t factor[AIOT_TRANSFORM_LEVELS];
  size_t factors;
} aiot_sample_transform;

/* Prepares a transform of `length` values, a power of two from 4 to AIOT_TRANSFORM_MAX. False = the arena is too small. */
bool aiot_sample_transform_open(aiot_sample_transform *transform, size_t length, int bits, bool inverse, aiot_arena *arena);

/* Transforms `length` samples into length / 2 + 1 pairs of real and imaginary parts; the inverse transforms these pairs into samples. */
void aiot_sample_transform_run(const aiot_sample_transform *transform, const int32_t *in, int32_t *out);

/* The same transforms of float32. Those of the inverse are divided by `length`. */
typedef struct {
  size_t length;
  bool inverse;
  float *inner, *outer, *work;
  uint8_t factor[AIOT_TRANSFORM_LEVELS];
  size_t factors;
} aiot_real_transform;

bool aiot_real_transform_open(aiot_real_transform *transform, size_t length, bool inverse, aiot_arena *arena);
void aiot_real_transform_run(const aiot_real_transform *transform, const float *in, float *out);

#endif
