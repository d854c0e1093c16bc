#include "window_axes.h"

/* Maximum stride, dilation and filter size. Real files are far below it, and products of these values fit into an int32. */
enum { STRIDE_MAX = 4096 };

static bool axis_fits(aiot_axis *axis, int32_t same_padding) {
  if (axis->stride < 1 || axis->stride > STRIDE_MAX || axis->dilation < 1 || axis->dilation > STRIDE_MAX) return false;
  if (axis->filter < 1 || axis->filter > STRIDE_MAX) return false;
  const int32_t span = (axis->filter - 1) * axis->dilation + 1;
  if (!same_padding) {
    axis->output = axis->input < span ? 0 : (axis->input - span) / axis->stride + 1;
    axis->before = 0;
    return axis->output >= 1;
  }
  axis->output = (axis->input + axis->stride - 1) / axis->stride;
  const int32_t total = (axis->output - 1) * axis->stride + span - axis->input;
  axis->before = total > 0 ? total / 2 : 0;
  return true;
}

bool aiot_axes_of(const aiot_operand *input, const aiot_operand *output, int32_t padding, int32_t channels,
                  aiot_axis axes[2]) {
  if (input->rank != 4 || padding < 0 || padding > 1) return false;
  const int32_t same_padding = padding == 0;
  axes[0].input = input->size[1];
  axes[1].input = input->size[2];
  if (!axis_fits(&axes[0], same_padding) || !axis_fits(&axes[1], same_padding)) return false;
  const int32_t expected[4] = {input->size[0], axes[0].output, axes[1].output, channels};
  return aiot_operand_shaped(output, 4, expected);
}
