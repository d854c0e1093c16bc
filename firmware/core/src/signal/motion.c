/* 36 features of a three-axis accelerometer that do not depend on how it is worn, as in src/lib/signal/feature-sets.ts. */
#include <math.h>

#include "bands.h"
#include "room.h"
#include "set.h"

enum { parts = 3, bands = 6, measures = 6 + bands };

static const char *const part_name[parts] = {"magnitude", "along", "across"};
static const char *const measure[measures] = {"_deviation",     "_step",          "_peak_hz",      "_share_0_1hz",   "_share_1_2hz", "_share_2_3.5hz",
                                              "_share_3.5_5.5hz", "_share_5.5_8hz", "_share_8_12hz", "_log_power", "_skewness",    "_kurtosis"};
static const double edges_hz[bands + 1] = {0, 1, 2, 3.5, 5.5, 8, 12};

typedef struct {
  size_t samples;
  aiot_bands bands;
  double *signal;
} state;

static bool fits(const aiot_signal_spec *spec) { return spec->fields == 3; }

static size_t count(const aiot_signal_spec *spec) {
  (void)spec;
  return parts * measures;
}

static void feature(const aiot_signal_spec *spec, size_t index, char name[AIOT_FEATURE_NAME_BYTES]) {
  (void)spec;
  aiot_naming to = {.text = name};
  aiot_name_add(&to, part_name[index / measures]);
  aiot_name_add(&to, measure[index % measures]);
}

static void *open(const aiot_signal_spec *spec, const aiot_fourier *fourier, aiot_arena *arena) {
  state *own = aiot_arena_take(arena, sizeof(state), _Alignof(state));
  if (!own) return NULL;
  *own = (state){.samples = spec->window_samples, .signal = aiot_doubles(arena, spec->window_samples)};
  if (!own->signal) return NULL;
  return aiot_bands_open(&own->bands, fourier, spec->resample_hz, edges_hz, bands, false, arena) ? own : NULL;
}

/*
 * Unit vector along gravity, which is the mean of the window. It is 0 in free fall, so that all motion counts as perpendicular to
 * it.
 */
static void direction(const double *window, size_t n, double g[3]) {
  for (size_t axis = 0; axis < 3; axis++) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += window[axis * n + i];
    g[axis] = sum;
  }
  const double length = sqrt(g[0] * g[0] + g[1] * g[1] + g[2] * g[2]);
  const double scale = length > 1e-9 * (double)n ? 1 / length : 0;
  for (size_t axis = 0; axis < 3; axis++) g[axis] *= scale;
}

/* One of the three signals into which the window's vectors are split. */
static void resolve(const double *window, size_t n, const double g[3], size_t part, double *out) {
  const double *x = window, *y = window + n, *z = window + 2 * n;
  for (size_t i = 0; i < n; i++) {
    if (part == 0) {
      out[i] = sqrt(x[i] * x[i] + y[i] * y[i] + z[i] * z[i]);
      continue;
    }
    const double a = x[i] * g[0] + y[i] * g[1] + z[i] * g[2];
    const double dx = x[i] - a * g[0], dy = y[i] - a * g[1], dz = z[i] - a * g[2];
    out[i] = part == 1 ? a : sqrt(dx * dx + dy * dy + dz * dz);
  }
}

static double mean_step(const double *signal, size_t n) {
  if (n < 2) return 0;
  double sum = 0;
  for (size_t i = 1; i < n; i++) sum += fabs(signal[i] - signal[i - 1]);
  return sum / (double)(n - 1);
}

static void compute(void *of, const double *window, float *out) {
  const state *own = of;
  const size_t n = own->samples;
  double g[3];
  direction(window, n, g);
  for (size_t part = 0; part < parts; part++) {
    resolve(window, n, g, part, own->signal);
    const aiot_moments moments = aiot_moments_of(own->signal, n);
    const aiot_band_power power = aiot_bands_of(&own->bands, own->signal, &moments);
    *out++ = (float)moments.deviation;
    *out++ = (float)mean_step(own->signal, n);
    *out++ = (float)power.peak_hz;
    for (size_t b = 0; b < bands; b++) *out++ = (float)power.share[b];
    *out++ = (float)log10(moments.variance + 1e-9);
    *out++ = (float)moments.skewness;
    *out++ = (float)moments.kurtosis;
  }
}

const aiot_set aiot_set_motion = {"motion", fits, count, feature, open, compute};
