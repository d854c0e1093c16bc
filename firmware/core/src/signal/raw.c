/* The feature set `raw`: the unchanged samples in order. */
#include "room.h"
#include "set.h"

typedef struct {
  size_t fields;
  size_t samples;
} state;

static bool fits(const aiot_signal_spec *spec) {
  (void)spec;
  return true;
}

static size_t count(const aiot_signal_spec *spec) { return spec->fields * spec->window_samples; }

static void feature(const aiot_signal_spec *spec, size_t index, char name[AIOT_FEATURE_NAME_BYTES]) {
  aiot_naming to = {.text = name};
  aiot_name_add(&to, spec->field[index % spec->fields]);
  aiot_name_add(&to, "[");
  aiot_name_add_number(&to, index / spec->fields);
  aiot_name_add(&to, "]");
}

static void *open(const aiot_signal_spec *spec, const aiot_fourier *fourier, aiot_arena *arena) {
  (void)fourier;
  state *own = aiot_arena_take(arena, sizeof(state), _Alignof(state));
  if (own) *own = (state){spec->fields, spec->window_samples};
  return own;
}

static void compute(void *of, const double *window, float *out) {
  const state *own = of;
  for (size_t f = 0; f < own->fields; f++) {
    for (size_t s = 0; s < own->samples; s++) out[s * own->fields + f] = (float)window[f * own->samples + s];
  }
}

const aiot_set aiot_set_raw = {"raw", fits, count, feature, open, compute};
