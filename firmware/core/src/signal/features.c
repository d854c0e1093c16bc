/* Computes features from samples: low-pass, resampling, window, features, as in src/lib/signal/pipeline.ts. */
#include <math.h>
#include <string.h>

#include "aiot/pipeline.h"
#include "lowpass.h"
#include "mel.h"
#include "micro.h"
#include "resample.h"
#include "room.h"
#include "select.h"

struct aiot_features {
  size_t fields;
  size_t window_samples;
  size_t stride_samples;
  bool filters;
  aiot_lowpass lowpass;
  aiot_lowpass_state *filtered;
  aiot_resampler resampler;
  /* The last filtered sample. */
  double *previous;
  /* The window, field after field; NULL with `mel` or `micro`, which store less. */
  double *window;
  aiot_mel *mel;
  aiot_micro *micro;
  size_t filled;
  /* Number of samples to skip before the next window. It is above 0 only if the stride is longer than the window. */
  size_t skip;
  aiot_selection selection;
  float *out;
};

/* Whether the numbers of a signal part, which may come from a file, are valid. */
static bool is_sound(const aiot_signal_spec *spec) {
  if (spec->fields == 0 || spec->fields > AIOT_FIELDS_MAX) return false;
  if (!(spec->rate_hz > 0) || !isfinite(spec->rate_hz)) return false;
  if (!(spec->resample_hz > 0) || spec->resample_hz > spec->rate_hz) return false;
  if (!(spec->lowpass_hz >= 0) || spec->lowpass_hz >= spec->rate_hz / 2) return false;
  return spec->window_samples > 0 && spec->window_samples <= AIOT_WINDOW_MAX && spec->stride_samples > 0;
}

aiot_code aiot_features_open(const aiot_signal_spec *spec, aiot_arena *arena, aiot_features **out) {
  *out = NULL;
  if (!is_sound(spec)) return AIOT_MODEL_UNSUPPORTED;
  aiot_features *own = aiot_arena_take(arena, sizeof(aiot_features), _Alignof(aiot_features));
  if (!own) return AIOT_MEMORY_SHORT;
  *own = (aiot_features){
      .fields = spec->fields,
      .window_samples = spec->window_samples,
      .stride_samples = spec->stride_samples,
      .filters = spec->lowpass_hz > 0,
      .resampler = {.rate_hz = spec->rate_hz, .resample_hz = spec->resample_hz, .share = 1},
  };
  if (own->filters) {
    aiot_lowpass_init(&own->lowpass, spec->lowpass_hz, spec->rate_hz);
    own->filtered = aiot_arena_take(arena, own->fields * sizeof(aiot_lowpass_state), _Alignof(aiot_lowpass_state));
    if (!own->filtered) return AIOT_MEMORY_SHORT;
  }
  own->previous = aiot_doubles(arena, own->fields);
  if (!own->previous) return AIOT_MEMORY_SHORT;
  if (aiot_mel_wanted(spec) || aiot_micro_wanted(spec)) {
    const aiot_code opened = aiot_mel_wanted(spec) ? aiot_mel_open(spec, arena, &own->mel) : aiot_micro_open(spec, arena, &own->micro);
    if (opened == AIOT_OK) *out = own;
    return opened;
  }
  own->window = aiot_doubles(arena, own->fields * own->window_samples);
  if (!own->window) return AIOT_MEMORY_SHORT;
  const aiot_code code = aiot_selection_open(&own->selection, spec, arena);
  if (code != AIOT_OK) return code;
  own->out = aiot_room(arena, own->selection.count, sizeof(float));
  if (!own->out) return AIOT_MEMORY_SHORT;
  *out = own;
  return AIOT_OK;
}

size_t aiot_features_count(const aiot_features *features) {
  if (features->mel) return aiot_mel_count(features->mel);
  return features->micro ? aiot_micro_count(features->micro) : features->selection.count;
}

static void restart(aiot_features *own) {
  if (own->mel) aiot_mel_restart(own->mel);
  if (own->micro) aiot_micro_restart(own->micro);
}

/* Advances the window by the stride. */
static void advance(aiot_features *own) {
  const size_t n = own->window_samples, stride = own->stride_samples;
  if (stride >= n) {
    own->filled = 0;
    own->skip = stride - n;
    restart(own);
    return;
  }
  own->filled = n - stride;
  if (own->mel) aiot_mel_advance(own->mel, stride);
  if (own->micro) aiot_micro_advance(own->micro, stride);
  if (!own->window) return;
  for (size_t f = 0; f < own->fields; f++) memmove(own->window + f * n, own->window + f * n + stride, (n - stride) * sizeof(double));
}

static void take(aiot_features *own, size_t field, double value) {
  if (own->mel) aiot_mel_add(own->mel, value);
  else if (own->micro) aiot_micro_add(own->micro, value);
  else own->window[field * own->window_samples + own->filled] = value;
}

const float *aiot_features_push(aiot_features *own, const double *sample) {
  const bool output = aiot_resampler_advance(&own->resampler);
  const bool keep = output && own->skip == 0;
  for (size_t f = 0; f < own->fields; f++) {
    const double current = own->filters ? aiot_lowpass_step(&own->lowpass, &own->filtered[f], sample[f]) : sample[f];
    if (keep) take(own, f, aiot_resampler_value(&own->resampler, own->previous[f], current));
    own->previous[f] = current;
  }
  if (!output) return NULL;
  if (!keep) {
    own->skip--;
    return NULL;
  }
  if (++own->filled < own->window_samples) return NULL;
  const float *values = own->out;
  if (own->mel) values = aiot_mel_values(own->mel);
  else if (own->micro) values = aiot_micro_values(own->micro);
  else aiot_selection_compute(&own->selection, own->window, own->out);
  advance(own);
  return values;
}

void aiot_features_reset(aiot_features *own) {
  if (own->filters) memset(own->filtered, 0, own->fields * sizeof(aiot_lowpass_state));
  own->resampler.inputs = 0;
  own->resampler.outputs = 0;
  own->filled = 0;
  own->skip = 0;
  restart(own);
  if (own->micro) aiot_micro_reset(own->micro);
}
