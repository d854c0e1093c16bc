/*
 * TensorFlow Lite Micro's audio front end, in integers: src/lib/signal/microfrontend.ts. The levels of a window's frames are computed as
 * the samples arrive. Noise reduction and gain depend on the window's first frame, so they are computed once the window is complete. In a
 * stream, they continue from window to window, so the values of each frame are computed with its levels.
 */
#ifndef AIOT_SIGNAL_MICRO_H
#define AIOT_SIGNAL_MICRO_H

#include <stdbool.h>

#include "aiot/bundle.h"

typedef struct aiot_micro aiot_micro;

/* Whether a signal part computes it: its set is `microfrontend`. */
bool aiot_micro_wanted(const aiot_signal_spec *spec);

/* AIOT_MODEL_UNSUPPORTED for settings that do not fit, AIOT_MEMORY_SHORT. */
aiot_code aiot_micro_open(const aiot_signal_spec *spec, aiot_arena *arena, aiot_micro **out);

/* Number of values in one window. */
size_t aiot_micro_count(const aiot_micro *micro);

/* Takes the next sample of a window, a share of full scale from -1 to 1. */
void aiot_micro_add(aiot_micro *micro, double sample);

/* Computes the values of a complete window, frame after frame. They are valid until the next window. */
const float *aiot_micro_values(aiot_micro *micro);

/* The next sample belongs to a window that starts this many samples after the current one, or to a separate window. */
void aiot_micro_advance(aiot_micro *micro, size_t samples);
void aiot_micro_restart(aiot_micro *micro);

/* The next sample starts a new recording. */
void aiot_micro_reset(aiot_micro *micro);

#endif
