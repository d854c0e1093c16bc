/*
 * Collects samples into windows, in a ring of the last `length` samples of `axes` values each. A window is full after `length`
 * samples, then after every `stride` more. The caller provides the memory; nothing is allocated.
 */
#ifndef AIOT_WINDOW_H
#define AIOT_WINDOW_H

#include <stdbool.h>
#include <stddef.h>

typedef struct {
  /* length * axes values. */
  float *ring;
  size_t length;
  size_t axes;
  size_t stride;
  /* Position of the next sample, and the number of samples missing until the next window. */
  size_t head;
  size_t missing;
} aiot_window;

/* `ring` has length * axes elements; all three numbers are at least 1. */
void aiot_window_init(aiot_window *window, float *ring, size_t length, size_t axes, size_t stride);

/* Adds one sample of `axes` values; true if a window is now full. */
bool aiot_window_push(aiot_window *window, const float *sample);

/* Copies the window, oldest sample first, into `out` of length * axes elements. */
void aiot_window_copy(const aiot_window *window, float *out);

/* Starts again, for example after a gap in the samples, because a window must never span a gap. */
void aiot_window_reset(aiot_window *window);

#endif
