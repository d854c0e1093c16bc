/*
 * Strongest frequency of a signal, as the guide's firmware looks for it: symmetric Hamming window, magnitudes, the largest strict
 * local maximum among bins 1 to n/2, refined by the parabola through its neighbours. The guide kept the mean, which hides all below
 * bin 2; here it is taken out unless asked for.
 */
#ifndef AIOT_SPECTRUM_H
#define AIOT_SPECTRUM_H

#include <stdbool.h>

#include "aiot/arena.h"
#include "aiot/code.h"

typedef struct aiot_spectrum aiot_spectrum;

typedef struct {
  /* 0 where there is no maximum, as in a constant signal. */
  double frequency_hz;
  /* |X| at the maximum's bin, not normalized, as the guide has it. */
  double magnitude;
  /* Of a sine of that magnitude, in the samples' unit. */
  double amplitude;
  size_t bin;
} aiot_peak;

/*
 * `samples`: a power of two from 4 to 65536; `rate_hz` is at which they are truly taken. AIOT_CONFIG_MALFORMED for other numbers,
 * AIOT_MEMORY_SHORT.
 */
aiot_code aiot_spectrum_open(size_t samples, double rate_hz, bool keep_mean, aiot_arena *arena, aiot_spectrum **out);

/* Of as many samples as it was opened for; they stay as they are. */
aiot_peak aiot_spectrum_peak(aiot_spectrum *spectrum, const double *samples);

/* |X| of bins 0 to n/2 of the last samples. */
const double *aiot_spectrum_magnitudes(const aiot_spectrum *spectrum);

#endif
