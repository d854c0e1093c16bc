/*
 * Integer steps of TensorFlow Lite Micro's audio front end, as in src/lib/signal/microfrontend.ts. The feature set `microfrontend`
 * (micro.c) and the network's operators (kernels_signal.c) share them.
 */
#ifndef AIOT_SIGNAL_FRONT_END_H
#define AIOT_SIGNAL_FRONT_END_H

#include <stdbool.h>

#include "aiot/arena.h"

enum {
  /* Entries of the table of logarithms, and of a table of gains. */
  AIOT_LOGARITHMS = 130,
  AIOT_GAINS = 125,
  /* Longest transform, and its number of levels. */
  AIOT_TRANSFORM_MAX = 65536,
  AIOT_TRANSFORM_LEVELS = 8,
};

/* A Fourier transform of real int16 values, scaled by the inverse of its length. */
typedef struct {
  size_t length;
  /* Complex values: half the length, plus one. */
  int16_t *re;
  int16_t *im;
  /* Rotations of the half-length transform, and of its conversion to the transform of the real values. */
  int16_t *inner;
  int16_t *outer;
  uint8_t factor[AIOT_TRANSFORM_LEVELS];
  size_t factors;
} aiot_transform;

/* Prepares a transform of `length` values, a power of two from 4 to AIOT_TRANSFORM_MAX. False = the arena is too small. */
bool aiot_transform_open(aiot_transform *transform, size_t length, aiot_arena *arena);

/* Transforms `length` samples into re and im. */
void aiot_transform_run(const aiot_transform *transform, const int16_t *samples);

/* Wraps to int16. */
static inline int16_t aiot_wrap16(int32_t value) {
  return (int16_t)(uint16_t)(uint32_t)value;
}

/* Number of bits of x; 0 for 0. */
unsigned aiot_bits_of(uint32_t x);

/* Square root, rounded to the nearest integer that has half as many bits. */
uint32_t aiot_rounded_root(uint64_t x);

/*
 * Gain for a noise estimate x, interpolated in a table with the values at 0 and 1, and three coefficients for each number of bits.
 * The function needs the three entries from `aiot_gain_place` on.
 */
size_t aiot_gain_place(uint32_t x);
int32_t aiot_gain_of(uint32_t x, const int16_t *coefficients);

/* Settings of spectral subtraction. Shares are integers with `share_bits` bits of fraction. */
typedef struct {
  uint32_t smoothing_bits, share_bits;
  /* Shares of a new value and of the previous estimate in the noise estimate, for even and odd bands. */
  uint32_t fresh[2], kept[2];
  /* Minimum share of a signal that is left. */
  uint32_t remaining;
  /* Whether the estimate is limited to the signal. */
  bool clamps;
} aiot_noise_reduction;

/* Updates the band's noise estimate, and returns the signal without the noise. */
uint32_t aiot_without_noise(const aiot_noise_reduction *settings, uint32_t signal, size_t band, uint32_t *noise);

/* A signal-to-noise ratio with 12 bits of fraction as a level with 6 bits: x * x / 4 below 2, and x - 1 above. */
uint32_t aiot_shrunk_ratio(uint64_t ratio);

/* Fills a table of AIOT_LOGARITHMS entries. */
void aiot_fill_logarithms(uint16_t *table);

/* Natural logarithm of an integer above 1, times an integer scale. It wraps at 32 bits before its lowest 16 bits are cut. */
uint32_t aiot_scaled_logarithm(uint32_t x, uint32_t scale, const uint16_t *table);

#endif
