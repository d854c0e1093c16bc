#include "aiot/spectrum.h"

#include <math.h>
#include <string.h>

#include "fourier.h"
#include "room.h"
#include "turn.h"

struct aiot_spectrum {
  aiot_fourier fourier;
  double rate_hz;
  bool keep_mean;
  double *weight;
  double weights;
  /* Magnitudes of bins 0 to n/2 + 1. */
  double *magnitude;
};

aiot_code aiot_spectrum_open(size_t samples, double rate_hz, bool keep_mean, aiot_arena *arena, aiot_spectrum **out) {
  *out = NULL;
  const bool power_of_two = samples >= 4 && samples <= AIOT_WINDOW_MAX && (samples & (samples - 1)) == 0;
  if (!power_of_two || !(rate_hz > 0) || !isfinite(rate_hz)) return AIOT_CONFIG_MALFORMED;
  aiot_spectrum *own = aiot_arena_take(arena, sizeof(aiot_spectrum), _Alignof(aiot_spectrum));
  if (!own || !aiot_fourier_open(&own->fourier, samples, arena)) return AIOT_MEMORY_SHORT;
  own->rate_hz = rate_hz;
  own->keep_mean = keep_mean;
  own->weight = aiot_doubles(arena, samples);
  own->magnitude = aiot_doubles(arena, samples / 2 + 2);
  if (!own->weight || !own->magnitude) return AIOT_MEMORY_SHORT;
  for (size_t i = 0; i < samples; i++) {
    own->weight[i] = 0.54 - 0.46 * aiot_turn((double)i, (double)(samples - 1)).cos;
    own->weights += own->weight[i];
  }
  *out = own;
  return AIOT_OK;
}

static void transform(aiot_spectrum *own, const double *samples) {
  const aiot_fourier *f = &own->fourier;
  const size_t n = f->n;
  double mean = 0;
  for (size_t i = 0; !own->keep_mean && i < n; i++) mean += samples[i];
  mean /= (double)n;
  bool constant = true;
  for (size_t i = 0; i < n; i++) {
    constant = constant && samples[i] == samples[0];
    f->re[i] = (samples[i] - mean) * own->weight[i];
    f->im[i] = 0;
  }
  /* After the mean of a constant signal is removed, only rounding errors remain, and these have no frequency. */
  if (constant && !own->keep_mean) memset(f->re, 0, n * sizeof(double));
  aiot_fourier_run(f);
  for (size_t k = 0; k <= n / 2 + 1; k++) own->magnitude[k] = sqrt(f->re[k] * f->re[k] + f->im[k] * f->im[k]);
  /* The upper half of a real signal's spectrum mirrors the lower half. */
  own->magnitude[n / 2 + 1] = own->magnitude[n / 2 - 1];
}

aiot_peak aiot_spectrum_peak(aiot_spectrum *own, const double *samples) {
  transform(own, samples);
  const double *m = own->magnitude;
  const size_t half = own->fourier.n / 2;
  /* Values below 1e-12 of the largest value are rounding errors. */
  double floor = 0;
  for (size_t k = 0; k <= half; k++) floor = fmax(floor, m[k]);
  floor *= 1e-12;
  aiot_peak peak = {0, 0, 0, 0};
  for (size_t k = 1; k <= half; k++) {
    if (m[k] > floor && m[k] > m[k - 1] && m[k] > m[k + 1] && m[k] > peak.magnitude) {
      peak.magnitude = m[k];
      peak.bin = k;
    }
  }
  if (peak.bin == 0) return peak;
  const double a = m[peak.bin - 1], b = peak.magnitude, c = m[peak.bin + 1];
  const double offset = 0.5 * (a - c) / (a - 2 * b + c);
  peak.frequency_hz = ((double)peak.bin + offset) * own->rate_hz / (double)own->fourier.n;
  peak.amplitude = (peak.bin == half ? 1 : 2) * b / own->weights;
  return peak;
}

const double *aiot_spectrum_magnitudes(const aiot_spectrum *spectrum) { return spectrum->magnitude; }
