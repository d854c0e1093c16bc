#include "select.h"

#include <string.h>

#include "room.h"

/* The sets in lookup order: a name that two sets contain belongs to the first one. */
static const aiot_set *const sets[AIOT_SETS] = {&aiot_set_har, &aiot_set_motion, &aiot_set_spectral, &aiot_set_raw};
enum { RAW = AIOT_SETS - 1 };

/* Index of a name in a set, or the set's count. */
static size_t place_of(const aiot_set *set, const aiot_signal_spec *spec, const char *name) {
  const size_t count = set->count(spec);
  char own[AIOT_FEATURE_NAME_BYTES];
  for (size_t i = 0; i < count; i++) {
    set->feature(spec, i, own);
    if (strcmp(own, name) == 0) return i;
  }
  return count;
}

static bool find(const aiot_signal_spec *spec, const char *name, aiot_pick *pick) {
  for (size_t s = 0; s < AIOT_SETS; s++) {
    if (!sets[s]->fits(spec)) continue;
    const size_t at = place_of(sets[s], spec, name);
    if (at == sets[s]->count(spec)) continue;
    *pick = (aiot_pick){.set = (uint32_t)s, .at = (uint32_t)at};
    return true;
  }
  return false;
}

static aiot_code pick_all(aiot_selection *selection, const aiot_signal_spec *spec, bool used[AIOT_SETS], aiot_arena *arena) {
  selection->count = spec->features;
  selection->pick = aiot_room(arena, spec->features, sizeof(aiot_pick));
  if (!selection->pick) return AIOT_MEMORY_SHORT;
  for (size_t i = 0; i < spec->features; i++) {
    if (!find(spec, spec->feature[i], &selection->pick[i])) return AIOT_MODEL_UNSUPPORTED;
    used[selection->pick[i].set] = true;
  }
  for (size_t s = 0; s < AIOT_SETS; s++) {
    if (!used[s]) continue;
    selection->work[s] = aiot_room(arena, sets[s]->count(spec), sizeof(float));
    if (!selection->work[s]) return AIOT_MEMORY_SHORT;
  }
  return AIOT_OK;
}

aiot_code aiot_selection_open(aiot_selection *selection, const aiot_signal_spec *spec, aiot_arena *arena) {
  *selection = (aiot_selection){.whole = AIOT_SETS};
  bool used[AIOT_SETS] = {false};
  if (spec->set) {
    /* The pixels of a picture are its samples. */
    const char *name = strcmp(spec->set, "image") == 0 ? aiot_set_raw.name : spec->set;
    for (size_t s = 0; s < AIOT_SETS; s++) {
      if (strcmp(name, sets[s]->name) == 0 && sets[s]->fits(spec)) selection->whole = s;
    }
    if (selection->whole == AIOT_SETS) return AIOT_MODEL_UNSUPPORTED;
    used[selection->whole] = true;
    selection->count = sets[selection->whole]->count(spec);
  } else {
    const aiot_code code = pick_all(selection, spec, used, arena);
    if (code != AIOT_OK) return code;
  }
  bool transforms = false;
  for (size_t s = 0; s < RAW; s++) transforms = transforms || used[s];
  if (transforms && !aiot_fourier_open(&selection->fourier, spec->window_samples, arena)) return AIOT_MEMORY_SHORT;
  for (size_t s = 0; s < AIOT_SETS; s++) {
    if (!used[s]) continue;
    selection->state[s] = sets[s]->open(spec, &selection->fourier, arena);
    if (!selection->state[s]) return AIOT_MEMORY_SHORT;
  }
  return AIOT_OK;
}

void aiot_selection_compute(const aiot_selection *selection, const double *window, float *out) {
  if (selection->whole < AIOT_SETS) {
    sets[selection->whole]->compute(selection->state[selection->whole], window, out);
    return;
  }
  for (size_t s = 0; s < AIOT_SETS; s++) {
    if (selection->state[s]) sets[s]->compute(selection->state[s], window, selection->work[s]);
  }
  for (size_t i = 0; i < selection->count; i++) out[i] = selection->work[selection->pick[i].set][selection->pick[i].at];
}
