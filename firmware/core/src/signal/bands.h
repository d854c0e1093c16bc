/* Power of a signal per frequency band, after its mean is removed, as in src/lib/signal/bands.ts. */
#ifndef AIOT_SIGNAL_BANDS_H
#define AIOT_SIGNAL_BANDS_H

#include "fourier.h"
#include "moments.h"

#define AIOT_BANDS_MAX 6u

typedef struct {
  const aiot_fourier *fourier;
  double rate_hz;
  size_t count;
  /* The band of each bin from 0 to n/2; -1 = none. */
  int8_t *band_of;
  /* n weights; NULL = all equal. */
  double *weight;
} aiot_bands;

typedef struct {
  /* Frequency of the strongest bin within the bands, Hz; 0 for a flat signal. */
  double peak_hz;
  double share[AIOT_BANDS_MAX];
} aiot_band_power;

/*
 * Opens the bands. `edges_hz` has count + 1 ascending values; band b contains edges[b] < f <= edges[b + 1]. `hann` applies a Hann
 * window, which reduces leakage from strong lines.
 */
bool aiot_bands_open(aiot_bands *bands, const aiot_fourier *fourier, double rate_hz, const double *edges_hz, size_t count, bool hann,
                     aiot_arena *arena);

/* Computes the power per band. Overwrites the transform's data. */
aiot_band_power aiot_bands_of(const aiot_bands *bands, const double *signal, const aiot_moments *moments);

#endif
