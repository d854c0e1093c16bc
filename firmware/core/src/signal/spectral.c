/* Ten features per field that are common in machine monitoring, as in src/lib/signal/feature-sets.ts. */
#include <math.h>

#include "bands.h"
#include "room.h"
#include "set.h"

enum { octaves = 5, measures = 5 + octaves };

static const char *const measure[measures] = {"_rms",           "_deviation",     "_p2p",           "_kurtosis",      "_peak_hz",
                                              "_share_octave1", "_share_octave2", "_share_octave3", "_share_octave4", "_share_octave5"};

typedef struct {
  size_t fields;
  size_t samples;
  aiot_bands bands;
} state;

static bool fits(const aiot_signal_spec *spec) {
  (void)spec;
  return true;
}

static size_t count(const aiot_signal_spec *spec) { return spec->fields * measures; }

static void feature(const aiot_signal_spec *spec, size_t index, char name[AIOT_FEATURE_NAME_BYTES]) {
  aiot_naming to = {.text = name};
  aiot_name_add(&to, spec->field[index / measures]);
  aiot_name_add(&to, measure[index % measures]);
}

static void *open(const aiot_signal_spec *spec, const aiot_fourier *fourier, aiot_arena *arena) {
  state *own = aiot_arena_take(arena, sizeof(state), _Alignof(state));
  if (!own) return NULL;
  *own = (state){.fields = spec->fields, .samples = spec->window_samples};
  /* The bands are octaves below half the rate. */
  double edges[octaves + 1] = {0, 1.0 / 16, 1.0 / 8, 1.0 / 4, 1.0 / 2, 1};
  for (size_t b = 0; b <= octaves; b++) edges[b] = edges[b] * spec->resample_hz / 2;
  return aiot_bands_open(&own->bands, fourier, spec->resample_hz, edges, octaves, true, arena) ? own : NULL;
}

static void compute(void *of, const double *window, float *out) {
  const state *own = of;
  for (size_t f = 0; f < own->fields; f++) {
    const double *signal = window + f * own->samples;
    const aiot_moments moments = aiot_moments_of(signal, own->samples);
    const aiot_band_power power = aiot_bands_of(&own->bands, signal, &moments);
    double low = signal[0], high = low;
    for (size_t i = 1; i < own->samples; i++) {
      if (signal[i] < low) low = signal[i];
      if (signal[i] > high) high = signal[i];
    }
    *out++ = (float)sqrt(moments.mean * moments.mean + moments.variance);
    *out++ = (float)moments.deviation;
    *out++ = (float)(high - low);
    *out++ = (float)moments.kurtosis;
    *out++ = (float)power.peak_hz;
    for (size_t b = 0; b < octaves; b++) *out++ = (float)power.share[b];
  }
}

const aiot_set aiot_set_spectral = {"spectral", fits, count, feature, open, compute};
