/*
 * Strongest frequency of a signal, by the method of the guide's firmware: symmetric Hamming window, magnitudes, the largest
 * strict local maximum among bins 1 to n/2, and a parabola through its neighbors. The guide keeps the mean, which hides
 * everything below bin 2. Here, it is removed by default.
 */
#ifndef AIOT_SPECTRUM_H
#define AIOT_SPECTRUM_H

#include <stdbool.h>

#include "aiot/arena.h"
#include "aiot/code.h"

typedef struct aiot_spectrum aiot_spectrum;

typedef struct {
  /* Frequency of the strongest maximum; 0 if there is none, as for a constant signal. */
  double frequency_hz;
  /* |X| at the maximum's bin, not normalized, like the guide's. */
  double magnitude;
  /* Amplitude of a sine with that magnitude, in the samples' unit. */
  double amplitude;
  size_t bin;
} aiot_peak;

/*
 * `samples`: a power of two from 4 to 65536; `rate_hz`: the true sampling rate.
 * Errors: AIOT_CONFIG_MALFORMED (other values), AIOT_MEMORY_SHORT.
 */
aiot_code aiot_spectrum_open(size_t samples, double rate_hz, bool keep_mean, aiot_arena *arena, aiot_spectrum **out);

/* `samples` has as many values as were specified when opening, and is not changed. */
aiot_peak aiot_spectrum_peak(aiot_spectrum *spectrum, const double *samples);

/* |X| of bins 0 to n/2 of the last samples. */
const double *aiot_spectrum_magnitudes(const aiot_spectrum *spectrum);

#endif
