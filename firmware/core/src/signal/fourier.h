/*
 * Discrete Fourier transform of any length n, without scaling. It runs in stages or, if the length has a large prime factor, as a
 * convolution with a chirp (Bluestein 1970). The algorithm is that of src/lib/signal/fourier.ts.
 */
#ifndef AIOT_SIGNAL_FOURIER_H
#define AIOT_SIGNAL_FOURIER_H

#include "stages.h"

typedef struct {
  size_t n;
  /* The n values, transformed in place. */
  double *re;
  double *im;
  /* The work arrays in `stages` have at least n values each. Between transforms, they may be used for other data. */
  aiot_stages stages;
  /* Tables of the convolution; NULL if it is not used. The first two have n values each, the others stages.n. */
  double *chirp_cos, *chirp_sin;
  double *filter_re, *filter_im, *chirp_re, *chirp_im;
} aiot_fourier;

/* Prepares a transform of length n. False = the arena is too small. */
bool aiot_fourier_open(aiot_fourier *fourier, size_t n, aiot_arena *arena);

/* Transforms re and im. */
void aiot_fourier_run(const aiot_fourier *fourier);

#endif
