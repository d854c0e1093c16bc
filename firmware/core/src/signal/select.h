/* The features that a signal part selects: a whole set, or names from several sets, as in src/lib/signal/feature-sets.ts. */
#ifndef AIOT_SIGNAL_SELECT_H
#define AIOT_SIGNAL_SELECT_H

#include "set.h"

#define AIOT_SETS 4u

typedef struct {
  uint32_t set;
  uint32_t at;
} aiot_pick;

typedef struct {
  size_t count;
  aiot_fourier fourier;
  /* State of each set, in lookup order; NULL = the set is not used. */
  void *state[AIOT_SETS];
  /* Index of the set that is used as a whole; AIOT_SETS = features are selected individually. */
  size_t whole;
  aiot_pick *pick;
  /* Features of the window, for each set. */
  float *work[AIOT_SETS];
} aiot_selection;

/*
 * Prepares the features that a signal part selects. Errors: AIOT_MODEL_UNSUPPORTED (a set or name that does not exist or does not
 * fit the signal), AIOT_MEMORY_SHORT.
 */
aiot_code aiot_selection_open(aiot_selection *selection, const aiot_signal_spec *spec, aiot_arena *arena);

/* Computes the features of a window; `out` has room for `count` values. */
void aiot_selection_compute(const aiot_selection *selection, const double *window, float *out);

#endif
