/* MAX_POOL_2D and AVERAGE_POOL_2D: only cells inside the image count. */
#include <math.h>

#include "kernels.h"
#include "quantized.h"
#include "real.h"
#include "window_axes.h"

typedef struct {
  aiot_axis rows, columns;
  int32_t batches, channels, type;
  bool average;
  /* For float32, `low` is the activation. */
  aiot_range range;
} pool_plan;

/* `start`: index of the image's first cell of the channel. */
static int32_t pooled(const pool_plan *plan, const int8_t *x, int32_t start, int32_t row, int32_t column) {
  const aiot_axis *rows = &plan->rows, *columns = &plan->columns;
  const int32_t first_row = aiot_axis_first(rows, row), end_row = aiot_axis_end(rows, row);
  const int32_t first = aiot_axis_first(columns, column), end = aiot_axis_end(columns, column);
  int32_t sum = 0, most = INT16_MIN;
  for (int32_t r = first_row; r < end_row; r++)
    for (int32_t c = first; c < end; c++) {
      const int32_t line = row * rows->stride - rows->before + r, cell = column * columns->stride - columns->before + c;
      const int32_t value = aiot_load(x, plan->type, start + (line * columns->input + cell) * plan->channels);
      sum += value;
      if (value > most) most = value;
    }
  if (!plan->average) return aiot_range_limit(plan->range, most);
  const int32_t count = (end_row - first_row) * (end - first), half = count / 2;
  return aiot_range_limit(plan->range, (sum > 0 ? sum + half : sum - half) / count);
}

static float real_pooled(const pool_plan *plan, const int8_t *x, int32_t start, int32_t row, int32_t column) {
  const aiot_axis *rows = &plan->rows, *columns = &plan->columns;
  const int32_t first_row = aiot_axis_first(rows, row), end_row = aiot_axis_end(rows, row);
  const int32_t first = aiot_axis_first(columns, column), end = aiot_axis_end(columns, column);
  double sum = 0.0, most = -INFINITY;
  for (int32_t r = first_row; r < end_row; r++)
    for (int32_t c = first; c < end; c++) {
      const int32_t line = row * rows->stride - rows->before + r, cell = column * columns->stride - columns->before + c;
      const double value = (double)aiot_real_at(x, start + (line * columns->input + cell) * plan->channels);
      sum += value;
      if (value > most) most = value;
    }
  return (float)aiot_real_limit(plan->range.low, plan->average ? sum / ((end_row - first_row) * (end - first)) : most);
}

static void run_pool(const aiot_step *step) {
  const pool_plan *plan = step->plan;
  int32_t i = 0;
  for (int32_t batch = 0; batch < plan->batches; batch++) {
    const int32_t start = batch * plan->rows.input * plan->columns.input * plan->channels;
    for (int32_t row = 0; row < plan->rows.output; row++)
      for (int32_t column = 0; column < plan->columns.output; column++)
        for (int32_t channel = 0; channel < plan->channels; channel++, i++) {
          if (plan->type == AIOT_FLOAT32) aiot_real_set(step->y, i, real_pooled(plan, step->x, start + channel, row, column));
          else aiot_store(step->y, plan->type, i, pooled(plan, step->x, start + channel, row, column));
        }
  }
}

aiot_code aiot_prepare_pool(const aiot_operator *operator) {
  aiot_flatbuffer *file = &operator->network->file;
  const aiot_operand *x = aiot_operator_input(operator, 0), *y = aiot_operator_output(operator, 0);
  if (x == NULL || y == NULL || x->rank != 4 || !aiot_alike(file, x, y, 1 << AIOT_INT8 | 1 << AIOT_INT16 | 1 << AIOT_FLOAT32)) return AIOT_BUNDLE_MALFORMED;
  pool_plan *plan = aiot_network_step(operator->network, run_pool, sizeof *plan, aiot_operator_input_index(operator, 0), -1,
                                      aiot_operator_output_index(operator, 0));
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  aiot_axis axes[2] = {
      {.stride = aiot_flatbuffer_i32(file, operator->options, 2, 0),
       .filter = aiot_flatbuffer_i32(file, operator->options, 4, 0),
       .dilation = 1},
      {.stride = aiot_flatbuffer_i32(file, operator->options, 1, 0),
       .filter = aiot_flatbuffer_i32(file, operator->options, 3, 0),
       .dilation = 1},
  };
  if (!aiot_axes_of(x, y, aiot_flatbuffer_i8(file, operator->options, 0, 0), x->size[3], axes)) return AIOT_BUNDLE_MALFORMED;
  plan->rows = axes[0];
  plan->columns = axes[1];
  plan->batches = x->size[0];
  plan->channels = x->size[3];
  plan->average = operator->code == AIOT_AVERAGE_POOL_2D;
  plan->type = x->type;
  const int32_t activation = aiot_flatbuffer_i8(file, operator->options, 5, 0);
  plan->range.low = activation;
  if (x->type == AIOT_FLOAT32) return aiot_real_activation(activation) ? AIOT_OK : AIOT_MODEL_UNSUPPORTED;
  aiot_scale output;
  if (!aiot_activation_scale_of(file, y, &output)) return AIOT_BUNDLE_MALFORMED;
  return aiot_range_within(y->type, output, activation, &plan->range) ? AIOT_OK : AIOT_MODEL_UNSUPPORTED;
}
