/* Windows of convolutions and pools over NHWC (src/lib/runtime/interpreter/geometry.ts). */
#ifndef AIOT_WINDOW_AXES_H
#define AIOT_WINDOW_AXES_H

#include "network.h"

/* One spatial axis. */
typedef struct {
  int32_t input, output, filter, stride, dilation;
  /* Number of padding cells before the first cell. */
  int32_t before;
} aiot_axis;

/*
 * Computes rows and columns of a window over `input` with the schema's padding (0 SAME, 1 VALID). False if the window does not
 * fit, or the output's shape differs.
 */
bool aiot_axes_of(const aiot_operand *input, const aiot_operand *output, int32_t padding, int32_t channels,
                  aiot_axis axes[2]);

/* First filter cell inside the image for output position `at`. aiot_axis_end returns one past the last. */
static inline int32_t aiot_axis_first(const aiot_axis *axis, int32_t at) {
  const int32_t start = at * axis->stride - axis->before;
  return start >= 0 ? 0 : (-start + axis->dilation - 1) / axis->dilation;
}

static inline int32_t aiot_axis_end(const aiot_axis *axis, int32_t at) {
  const int32_t left = axis->input - (at * axis->stride - axis->before);
  const int32_t cells = left <= 0 ? 0 : (left + axis->dilation - 1) / axis->dilation;
  return cells < axis->filter ? cells : axis->filter;
}

#endif
