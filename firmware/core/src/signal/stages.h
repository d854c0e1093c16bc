/*
 * Complex Fourier transform of n values in place: mixed radix in Stockham's order. The operations and their order are those of
 * src/lib/signal/fourier.ts.
 */
#ifndef AIOT_SIGNAL_STAGES_H
#define AIOT_SIGNAL_STAGES_H

#include <stdbool.h>

#include "aiot/arena.h"

/*
 * Largest prime factor for which the stages are used. For larger ones, Bluestein's two transforms of more than twice the length
 * are faster.
 */
#define AIOT_FACTOR_MAX 60u
/* Maximum number of factors of a length below 2^19, with fours first. */
#define AIOT_FACTORS_MAX 16u

typedef struct {
  size_t n;
  /* exp(-2 pi i t / n) */
  double *cos;
  double *sin;
  double *work_re;
  double *work_im;
  /* Sums and differences of an odd radix: 4 * (p - 1) / 2 values, or NULL. */
  double *odd;
  double cos72, sin72, cos144, sin144;
  size_t count;
  uint8_t factor[AIOT_FACTORS_MAX];
} aiot_stages;

size_t aiot_largest_factor(size_t n);

/* Prepares a transform of length n, which must have no prime factor above AIOT_FACTOR_MAX. False = the arena is too small. */
bool aiot_stages_open(aiot_stages *stages, size_t n, aiot_arena *arena);

void aiot_stages_run(const aiot_stages *stages, double *re, double *im);

#endif
