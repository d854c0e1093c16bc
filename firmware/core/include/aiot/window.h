/*
 * Samples -> windows: a ring that holds the last `length` samples of `axes` values each and says when a window is full:
 * first after `length` samples, then after every `stride` more. The caller owns the memory; nothing is allocated.
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
  /* Where the next sample goes, and how many are missing until the next window. */
  size_t head;
  size_t missing;
} aiot_window;

/* `ring` has length * axes elements; all three numbers are at least 1. */
void aiot_window_init(aiot_window *window, float *ring, size_t length, size_t axes, size_t stride);

/* Takes one sample of `axes` values; true when a window is full now. */
bool aiot_window_push(aiot_window *window, const float *sample);

/* Copies the window, oldest sample first, into `out` of length * axes elements. */
void aiot_window_copy(const aiot_window *window, float *out);

/* Begins anew, as after a gap in the samples: a window never spans one. */
void aiot_window_reset(aiot_window *window);

#endif
