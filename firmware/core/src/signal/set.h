/*
 * A set of features of one window. It is opened once for a signal, which allocates tables and work space from the arena. The sets
 * and their names are those of src/lib/signal/feature-sets.ts.
 */
#ifndef AIOT_SIGNAL_SET_H
#define AIOT_SIGNAL_SET_H

#include "aiot/bundle.h"
#include "fourier.h"

/* Maximum size of a field's name with a set's suffix, including the NUL. */
#define AIOT_FEATURE_NAME_BYTES 96u

typedef struct {
  const char *name;
  /* Whether the set supports these fields and this window. */
  bool (*fits)(const aiot_signal_spec *spec);
  size_t (*count)(const aiot_signal_spec *spec);
  /* Name of the feature at `index`, which is less than the count. */
  void (*feature)(const aiot_signal_spec *spec, size_t index, char name[AIOT_FEATURE_NAME_BYTES]);
  /* Allocates work space and tables; NULL = the arena is too small. `fourier` has the window's length and is shared by the sets. */
  void *(*open)(const aiot_signal_spec *spec, const aiot_fourier *fourier, aiot_arena *arena);
  /* Computes the features. `window`: field after field, window_samples values each. `out`: count values. */
  void (*compute)(void *state, const double *window, float *out);
} aiot_set;

extern const aiot_set aiot_set_raw;
extern const aiot_set aiot_set_spectral;
extern const aiot_set aiot_set_motion;
extern const aiot_set aiot_set_har;

/* A name that is being built. Characters that do not fit are dropped. */
typedef struct {
  char *text;
  size_t length;
} aiot_naming;

void aiot_name_add(aiot_naming *name, const char *text);
void aiot_name_add_number(aiot_naming *name, size_t number);

#endif
