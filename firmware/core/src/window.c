#include "aiot/window.h"

#include <string.h>

void aiot_window_init(aiot_window *window, float *ring, size_t length, size_t axes, size_t stride) {
  *window = (aiot_window){.ring = ring, .length = length, .axes = axes, .stride = stride};
  aiot_window_reset(window);
}

void aiot_window_reset(aiot_window *window) {
  window->head = 0;
  window->missing = window->length;
}

bool aiot_window_push(aiot_window *window, const float *sample) {
  memcpy(window->ring + window->head * window->axes, sample, window->axes * sizeof(float));
  window->head = (window->head + 1) % window->length;
  window->missing--;
  if (window->missing > 0) return false;
  window->missing = window->stride;
  return true;
}

void aiot_window_copy(const aiot_window *window, float *out) {
  const size_t older = (window->length - window->head) * window->axes;
  const size_t newer = window->head * window->axes;
  memcpy(out, window->ring + newer, older * sizeof(float));
  memcpy(out + older, window->ring, newer * sizeof(float));
}
