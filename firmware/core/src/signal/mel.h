/*
 * Mel spectrogram and cepstral coefficients of a window, computed frame by frame as the samples arrive: src/lib/signal/mel.ts. Only one
 * frame of samples and the values of the window's frames are stored.
 */
#ifndef AIOT_SIGNAL_MEL_H
#define AIOT_SIGNAL_MEL_H

#include <stdbool.h>

#include "aiot/bundle.h"

typedef struct aiot_mel aiot_mel;

/* Whether a signal part computes one: its set is `logmel` or `mfcc`. */
bool aiot_mel_wanted(const aiot_signal_spec *spec);

/* Whether frames, stride and frequencies are valid: frameMisfit in src/lib/signal/mel.ts, and the limits of project-schema.ts. */
bool aiot_mel_frames_fit(const aiot_signal_spec *spec);

/* AIOT_MODEL_UNSUPPORTED for settings that do not fit, AIOT_MEMORY_SHORT. */
aiot_code aiot_mel_open(const aiot_signal_spec *spec, aiot_arena *arena, aiot_mel **out);

/* Number of values in one window. */
size_t aiot_mel_count(const aiot_mel *mel);

/* Takes the next sample of a window. */
void aiot_mel_add(aiot_mel *mel, double sample);

/* The values of a complete window, frame after frame, until the next sample. */
const float *aiot_mel_values(const aiot_mel *mel);

/* The next sample belongs to a window that starts this many samples after the current one, or to a separate window. */
void aiot_mel_advance(aiot_mel *mel, size_t samples);
void aiot_mel_restart(aiot_mel *mel);

#endif
