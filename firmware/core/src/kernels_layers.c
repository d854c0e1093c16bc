/*
 * FULLY_CONNECTED, CONV_2D, DEPTHWISE_CONV_2D and TRANSPOSE_CONV on int8 or int16, with int8 weights. Biases are int32 or, with int16, also
 * int64.
 */
#include <math.h>

#include "kernels.h"
#include "quantized.h"
#include "real.h"
#include "window_axes.h"

/* State that all of these operators share. A ratio per channel converts sums to outputs. */
typedef struct {
  const int8_t *weights;
  int32_t *bias;
  /* Biases that include the effect of the input's zero point, so that plain products can be summed. */
  int32_t *folded;
  const int32_t *multiplier;
  const int8_t *shift;
  int32_t input_zero, output_zero;
  aiot_range range;
  int32_t batches, channels, outputs, taken;
  aiot_axis rows, columns;
  /* For int16: biases, and whether sums have 32 bits instead of 64. */
  const int64_t *wide_bias;
  bool wraps;
} layer_plan;

/* Sums wrap like int32 in the reference kernels; signed overflow is undefined (C11, 6.5). */
static uint32_t dot(const int8_t *weights, const int8_t *x, int32_t zero, int32_t count) {
  uint32_t sum = 0;
  for (int32_t i = 0; i < count; i++) sum += (uint32_t)(weights[i] * (x[i] - zero));
  return sum;
}

/* Number of weight rows that are multiplied at once, so that each cell is loaded only once for all of them. */
enum { ROWS = 4 };

/* Adds the products of the same cells with up to ROWS rows, which are `apart` elements apart. */
static void add_products(const int8_t *w, int32_t apart, int32_t rows, const int8_t *x, int32_t count, uint32_t sums[ROWS]) {
  if (rows < ROWS) {
    for (int32_t row = 0; row < rows; row++, w += apart) sums[row] += dot(w, x, 0, count);
    return;
  }
  const int8_t *w1 = w + apart, *w2 = w1 + apart, *w3 = w2 + apart;
  uint32_t a = sums[0], b = sums[1], c = sums[2], d = sums[3];
  for (int32_t i = 0; i < count; i++) {
    const int32_t value = x[i];
    a += (uint32_t)(w[i] * value);
    b += (uint32_t)(w1[i] * value);
    c += (uint32_t)(w2[i] * value);
    d += (uint32_t)(w3[i] * value);
  }
  sums[0] = a;
  sums[1] = b;
  sums[2] = c;
  sums[3] = d;
}

static int8_t finish(const layer_plan *plan, int32_t channel, uint32_t sum) {
  const aiot_ratio ratio = {plan->multiplier[channel], plan->shift[channel]};
  return aiot_range_clamp(plan->range, aiot_ratio_times((int32_t)sum, ratio) + plan->output_zero);
}

static void run_fully_connected(const aiot_step *step) {
  const layer_plan *plan = step->plan;
  const int8_t *x = step->x;
  int8_t *y = step->y;
  for (int32_t row = 0; row < plan->batches; row++, x += plan->taken)
    for (int32_t out = 0; out < plan->outputs; out += ROWS) {
      const int32_t left = plan->outputs - out, rows = left < ROWS ? left : ROWS;
      uint32_t sums[ROWS];
      for (int32_t i = 0; i < rows; i++) sums[i] = (uint32_t)plan->folded[out + i];
      add_products(plan->weights + out * plan->taken, plan->taken, rows, x, plan->taken, sums);
      for (int32_t i = 0; i < rows; i++) *y++ = finish(plan, out + i, sums[i]);
    }
}

/*
 * The sum of one output channel over the window at (row, column), without cells outside the image. `x`: the image, starting at
 * the first channel that the output channel uses.
 */
static uint32_t window_sum(const layer_plan *plan, const int8_t *x, const int8_t *weights, int32_t row, int32_t column) {
  const aiot_axis *rows = &plan->rows, *columns = &plan->columns;
  const int32_t first = aiot_axis_first(columns, column), end = aiot_axis_end(columns, column);
  const int32_t last_row = aiot_axis_end(rows, row);
  const bool together = columns->dilation == 1 && plan->taken == plan->channels;
  uint32_t sum = 0;
  for (int32_t r = aiot_axis_first(rows, row); r < last_row; r++) {
    const int32_t line = row * rows->stride - rows->before + r * rows->dilation;
    const int8_t *w = weights + (r * columns->filter + first) * plan->taken;
    const int32_t cell = column * columns->stride - columns->before + first * columns->dilation;
    const int8_t *from = x + (line * columns->input + cell) * plan->channels;
    if (together) {
      if (end > first) sum += dot(w, from, plan->input_zero, (end - first) * plan->taken);
      continue;
    }
    for (int32_t c = first; c < end; c++, w += plan->taken, from += columns->dilation * plan->channels)
      sum += dot(w, from, plan->input_zero, plan->taken);
  }
  return sum;
}

/* Computes the outputs of a position whose whole window is inside the image, where each row's cells are contiguous. */
static void run_whole(const layer_plan *plan, const int8_t *x, int8_t *y, int32_t row, int32_t column) {
  const aiot_axis *rows = &plan->rows, *columns = &plan->columns;
  const int32_t run = columns->filter * plan->taken, filter = rows->filter * run;
  const int32_t line = row * rows->stride - rows->before, cell = column * columns->stride - columns->before;
  for (int32_t out = 0; out < plan->outputs; out += ROWS) {
    const int32_t left = plan->outputs - out, count = left < ROWS ? left : ROWS;
    const int8_t *w = plan->weights + out * filter;
    const int8_t *from = x + (line * columns->input + cell) * plan->channels;
    uint32_t sums[ROWS];
    for (int32_t i = 0; i < count; i++) sums[i] = (uint32_t)plan->folded[out + i];
    for (int32_t r = 0; r < rows->filter; r++, w += run, from += rows->dilation * columns->input * plan->channels)
      add_products(w, filter, count, from, run, sums);
    for (int32_t i = 0; i < count; i++) *y++ = finish(plan, out + i, sums[i]);
  }
}

static bool is_inside(const aiot_axis *axis, int32_t at) {
  return aiot_axis_first(axis, at) == 0 && aiot_axis_end(axis, at) == axis->filter;
}

static void run_convolution(const aiot_step *step) {
  const layer_plan *plan = step->plan;
  const int32_t filter = plan->rows.filter * plan->columns.filter * plan->taken;
  const int32_t per_group = plan->outputs / (plan->channels / plan->taken);
  const bool together = (plan->columns.dilation == 1 || plan->columns.filter == 1) && plan->taken == plan->channels;
  int8_t *y = step->y;
  for (int32_t batch = 0; batch < plan->batches; batch++) {
    const int8_t *x = step->x + batch * plan->rows.input * plan->columns.input * plan->channels;
    for (int32_t row = 0; row < plan->rows.output; row++)
      for (int32_t column = 0; column < plan->columns.output; column++) {
        if (together && is_inside(&plan->rows, row) && is_inside(&plan->columns, column)) {
          run_whole(plan, x, y, row, column);
          y += plan->outputs;
          continue;
        }
        for (int32_t out = 0; out < plan->outputs; out++) {
          const int8_t *own = x + out / per_group * plan->taken;
          const uint32_t sum = window_sum(plan, own, plan->weights + out * filter, row, column);
          *y++ = finish(plan, out, (uint32_t)plan->bias[out] + sum);
        }
      }
  }
}

static uint32_t depth_sum(const layer_plan *plan, const int8_t *x, int32_t out, int32_t row, int32_t column) {
  const aiot_axis *rows = &plan->rows, *columns = &plan->columns;
  const int32_t first = aiot_axis_first(columns, column), end = aiot_axis_end(columns, column);
  const int32_t last_row = aiot_axis_end(rows, row);
  uint32_t sum = 0;
  for (int32_t r = aiot_axis_first(rows, row); r < last_row; r++) {
    const int32_t line = row * rows->stride - rows->before + r * rows->dilation;
    for (int32_t c = first; c < end; c++) {
      const int32_t cell = column * columns->stride - columns->before + c * columns->dilation;
      const int32_t value = x[(line * columns->input + cell) * plan->channels] - plan->input_zero;
      sum += (uint32_t)(plan->weights[(r * columns->filter + c) * plan->outputs + out] * value);
    }
  }
  return sum;
}

static void run_depthwise(const aiot_step *step) {
  const layer_plan *plan = step->plan;
  const int32_t multiplier = plan->outputs / plan->channels;
  int8_t *y = step->y;
  for (int32_t batch = 0; batch < plan->batches; batch++) {
    const int8_t *x = step->x + batch * plan->rows.input * plan->columns.input * plan->channels;
    for (int32_t row = 0; row < plan->rows.output; row++)
      for (int32_t column = 0; column < plan->columns.output; column++)
        for (int32_t out = 0; out < plan->outputs; out++) {
          const uint32_t sum = depth_sum(plan, x + out / multiplier, out, row, column);
          *y++ = finish(plan, out, (uint32_t)plan->bias[out] + sum);
        }
  }
}

static int16_t finish_wide(const layer_plan *plan, int32_t channel, int64_t products) {
  const aiot_ratio ratio = {plan->multiplier[channel], plan->shift[channel]};
  const int64_t sum = plan->wide_bias[channel] + products;
  const int32_t value = plan->wraps ? aiot_ratio_times((int32_t)(uint32_t)(uint64_t)sum, ratio) : aiot_ratio_times_wide(sum, ratio);
  return (int16_t)aiot_range_limit(plan->range, value);
}

static int64_t dot_wide(const int8_t *weights, const int16_t *x, int32_t count) {
  int64_t sum = 0;
  for (int32_t i = 0; i < count; i++) sum += weights[i] * x[i];
  return sum;
}

static void run_wide_fully_connected(const aiot_step *step) {
  const layer_plan *plan = step->plan;
  const int16_t *x = (const void *)step->x;
  int16_t *y = (void *)step->y;
  for (int32_t row = 0; row < plan->batches; row++, x += plan->taken)
    for (int32_t out = 0; out < plan->outputs; out++)
      *y++ = finish_wide(plan, out, dot_wide(plan->weights + out * plan->taken, x, plan->taken));
}

/* Sum of one output channel over the window at (row, column). The weights of a cell are `apart` elements from those of the next. */
static int64_t wide_window_sum(const layer_plan *plan, const int16_t *x, const int8_t *weights, int32_t apart, int32_t row, int32_t column) {
  const aiot_axis *rows = &plan->rows, *columns = &plan->columns;
  const int32_t first = aiot_axis_first(columns, column), end = aiot_axis_end(columns, column), last_row = aiot_axis_end(rows, row);
  int64_t sum = 0;
  for (int32_t r = aiot_axis_first(rows, row); r < last_row; r++) {
    const int32_t line = row * rows->stride - rows->before + r * rows->dilation;
    for (int32_t c = first; c < end; c++) {
      const int32_t cell = column * columns->stride - columns->before + c * columns->dilation;
      sum += dot_wide(weights + (r * columns->filter + c) * apart, x + (line * columns->input + cell) * plan->channels, plan->taken);
    }
  }
  return sum;
}

/* CONV_2D, and DEPTHWISE_CONV_2D, whose output channels use one input channel. */
static void run_wide_windows(const layer_plan *plan, const aiot_step *step, bool depthwise) {
  const int32_t groups = plan->channels / plan->taken, per_group = plan->outputs / groups;
  const int32_t filter = plan->rows.filter * plan->columns.filter * plan->taken;
  int16_t *y = (void *)step->y;
  for (int32_t batch = 0; batch < plan->batches; batch++) {
    const int16_t *x = (const int16_t *)(const void *)step->x + batch * plan->rows.input * plan->columns.input * plan->channels;
    for (int32_t row = 0; row < plan->rows.output; row++)
      for (int32_t column = 0; column < plan->columns.output; column++)
        for (int32_t out = 0; out < plan->outputs; out++) {
          const int8_t *weights = plan->weights + (depthwise ? out : out * filter);
          const int16_t *own = x + out / per_group * plan->taken;
          *y++ = finish_wide(plan, out, wide_window_sum(plan, own, weights, depthwise ? plan->outputs : plan->taken, row, column));
        }
  }
}

static void run_wide_convolution(const aiot_step *step) {
  run_wide_windows(step->plan, step, false);
}

static void run_wide_depthwise(const aiot_step *step) {
  run_wide_windows(step->plan, step, true);
}

typedef struct {
  const aiot_operand *x, *weights, *bias;
  aiot_operand *y;
} layer_operands;

static bool is_wide(const layer_operands *operands) {
  return operands->x->type == AIOT_INT16;
}

/* Whether a bias, if there is one, is a constant of a supported type. An activation of int16 must be computed, because a constant is not aligned. */
static bool suits(const layer_operands *operands) {
  const bool wide = is_wide(operands);
  if (wide && operands->x->data != NULL) return false;
  return operands->bias == NULL || aiot_operand_constant(operands->bias, AIOT_INT32) ||
         (wide && aiot_operand_constant(operands->bias, AIOT_INT64));
}

/*
 * Biases of an int16 layer, and the type of its sums. Without a bias, the option `slot` has the type (0 or -1 = int64). Returns
 * AIOT_MODEL_UNSUPPORTED for biases with which a product could overflow.
 */
static aiot_code wide_biases_of(const aiot_operator *operator, const layer_operands *operands, int32_t slot, layer_plan *plan) {
  const int64_t most = (int64_t)1 << 46;
  int64_t *bias = aiot_arena_take(operator->network->arena, (size_t)plan->outputs * sizeof *bias, sizeof *bias);
  if (bias == NULL) return AIOT_MEMORY_SHORT;
  const aiot_operand *given = operands->bias;
  plan->wraps = given != NULL ? given->type == AIOT_INT32
                              : slot >= 0 && aiot_flatbuffer_i8(&operator->network->file, operator->options, (unsigned)slot, 0) == AIOT_INT32;
  for (int32_t i = 0; i < plan->outputs; i++) {
    bias[i] = given == NULL ? 0 : given->type == AIOT_INT32 ? aiot_operand_i32(given, i) : 0;
    if (given != NULL && given->type == AIOT_INT64) {
      const uint32_t low = (uint32_t)aiot_operand_i32(given, 2 * i);
      bias[i] = (int64_t)((uint64_t)(uint32_t)aiot_operand_i32(given, 2 * i + 1) << 32 | low);
    }
    if (bias[i] > most || bias[i] < -most) return AIOT_MODEL_UNSUPPORTED;
  }
  plan->wide_bias = bias;
  return AIOT_OK;
}

static aiot_code operands_of(const aiot_operator *operator, layer_operands *out) {
  *out = (layer_operands){aiot_operator_input(operator, 0), aiot_operator_input(operator, 1),
                          aiot_operator_input(operator, 2), aiot_operator_output(operator, 0)};
  if (out->x == NULL || out->y == NULL) return AIOT_BUNDLE_MALFORMED;
  if (!aiot_operand_constant(out->weights, AIOT_INT8)) return AIOT_MODEL_UNSUPPORTED;
  return suits(out) ? AIOT_OK : AIOT_MODEL_UNSUPPORTED;
}

/*
 * Ratios and biases of all channels, copied from the file, where they may be unaligned.
 * `slot`: of the option with the type of an omitted bias; -1 = none.
 */
static aiot_code channels_of(const aiot_operator *operator, const layer_operands *operands, int32_t axis, int32_t slot, layer_plan *plan) {
  aiot_flatbuffer *file = &operator->network->file;
  aiot_arena *arena = operator->network->arena;
  const aiot_operand *weights = operands->weights;
  const uint32_t outputs = (uint32_t)plan->outputs, scales = weights->scale.count;
  aiot_scale input, output;
  const bool wide = is_wide(operands);
  if (operands->x->type != operands->y->type || !aiot_activation_scale_of(file, operands->x, &input) ||
      !aiot_activation_scale_of(file, operands->y, &output))
    return AIOT_BUNDLE_MALFORMED;
  if ((scales != 1 && scales != outputs) || (scales > 1 && weights->axis != axis)) return AIOT_BUNDLE_MALFORMED;
  if (operands->bias != NULL && operands->bias->count != plan->outputs) return AIOT_BUNDLE_MALFORMED;
  int32_t *bias = wide ? NULL : aiot_arena_take(arena, outputs * sizeof *bias, sizeof *bias);
  int32_t *multiplier = aiot_arena_take(arena, outputs * sizeof *multiplier, sizeof *multiplier);
  int8_t *shift = aiot_arena_take(arena, outputs, 1);
  if ((bias == NULL && !wide) || multiplier == NULL || shift == NULL) return AIOT_MEMORY_SHORT;
  for (uint32_t i = 0; i < weights->zero_point.count; i++)
    if (aiot_flatbuffer_i64_at(file, weights->zero_point, i) != 0) return AIOT_BUNDLE_MALFORMED;
  for (uint32_t i = 0; i < outputs; i++) {
    const double scale = (double)aiot_flatbuffer_f32_at(file, weights->scale, scales == 1 ? 0 : i);
    aiot_ratio ratio;
    if (!aiot_ratio_of(input.scale * scale / output.scale, &ratio)) return AIOT_BUNDLE_MALFORMED;
    if (!wide) bias[i] = operands->bias == NULL ? 0 : aiot_operand_i32(operands->bias, (int32_t)i);
    multiplier[i] = ratio.multiplier;
    shift[i] = (int8_t)ratio.shift;
  }
  plan->weights = (const int8_t *)weights->data;
  plan->bias = bias;
  plan->multiplier = multiplier;
  plan->shift = shift;
  plan->input_zero = input.zero_point;
  plan->output_zero = output.zero_point;
  if (!aiot_range_within(operands->y->type, output, plan->range.low, &plan->range)) return AIOT_MODEL_UNSUPPORTED;
  return wide ? wide_biases_of(operator, operands, slot, plan) : AIOT_OK;
}

/* Sum of w * (x - zero) = sum of w * x - zero * sum of w; the last term is folded into the biases once. */
static void fold(int32_t row, layer_plan *plan) {
  const int8_t *w = plan->weights;
  for (int32_t out = 0; out < plan->outputs; out++, w += row) {
    uint32_t sum = 0;
    for (int32_t i = 0; i < row; i++) {
      const int32_t weight = w[i];
      sum += (uint32_t)weight;
    }
    plan->folded[out] = (int32_t)((uint32_t)plan->bias[out] - (uint32_t)plan->input_zero * sum);
  }
}

static layer_plan *add_step(const aiot_operator *operator, void (*run)(const aiot_step *)) {
  const int32_t from = aiot_operator_input_index(operator, 0), to = aiot_operator_output_index(operator, 0);
  return aiot_network_step(operator->network, run, sizeof(layer_plan), from, -1, to);
}

/*
 * For weights with one scale, TFLite Micro accepts a bias whose scale (0 if it has none) differs from input scale times weight
 * scale by at most 2 % of an output step.
 */
static bool bias_fits(const aiot_operator *operator, const layer_operands *operands) {
  aiot_flatbuffer *file = &operator->network->file;
  const aiot_operand *weights = operands->weights, *bias = operands->bias;
  aiot_scale input, output;
  if (bias == NULL || weights->scale.count != 1) return true;
  if (!aiot_activation_scale_of(file, operands->x, &input) || !aiot_activation_scale_of(file, operands->y, &output)) return false;
  const float product = (float)input.scale * aiot_flatbuffer_f32_at(file, weights->scale, 0);
  const float own = bias->scale.count == 0 ? 0.0f : aiot_flatbuffer_f32_at(file, bias->scale, 0);
  return fabs((double)product - (double)own) / output.scale <= 0.02;
}

aiot_code aiot_prepare_fully_connected(const aiot_operator *operator) {
  if (aiot_is_real(aiot_operator_input(operator, 0))) return aiot_prepare_real_fully_connected(operator);
  layer_operands operands;
  const aiot_code code = operands_of(operator, &operands);
  if (code != AIOT_OK) return code;
  const aiot_operand *weights = operands.weights;
  if (!bias_fits(operator, &operands)) return AIOT_BUNDLE_MALFORMED;
  if (weights->rank != 2 || operands.x->count % weights->size[1] != 0) return AIOT_BUNDLE_MALFORMED;
  const int32_t rows = operands.x->count / weights->size[1];
  const aiot_operand *y = operands.y;
  if ((int64_t)rows * weights->size[0] != y->count) return AIOT_BUNDLE_MALFORMED;
  /* Other interpreters derive the number of outputs from the output's last dimension. */
  if (y->rank < 1 || y->size[y->rank - 1] != weights->size[0]) return AIOT_BUNDLE_MALFORMED;
  layer_plan *plan = add_step(operator, is_wide(&operands) ? run_wide_fully_connected : run_fully_connected);
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  *plan = (layer_plan){.batches = rows, .outputs = weights->size[0], .taken = weights->size[1]};
  aiot_flatbuffer *file = &operator->network->file;
  if (aiot_flatbuffer_i8(file, operator->options, 1, 0) != 0) return AIOT_MODEL_UNSUPPORTED;
  if (aiot_type_bytes(aiot_flatbuffer_i8(file, operator->options, 4, 0)) == 0) return AIOT_MODEL_UNSUPPORTED;
  plan->range.low = aiot_flatbuffer_i8(file, operator->options, 0, 0);
  const aiot_code channels = channels_of(operator, &operands, 0, 4, plan);
  if (channels != AIOT_OK || is_wide(&operands)) return channels;
  plan->folded = plan->bias;
  fold(plan->taken, plan);
  return AIOT_OK;
}

/* Prepares a convolution, with `wide_run` for int16. In a depthwise convolution, the depth multiplier shifts their slots in the options. */
static aiot_code prepare_window(const aiot_operator *operator, void (*run)(const aiot_step *), void (*wide_run)(const aiot_step *), bool depthwise) {
  layer_operands operands;
  const aiot_code code = operands_of(operator, &operands);
  if (code != AIOT_OK) return code;
  aiot_flatbuffer *file = &operator->network->file;
  const aiot_operand *x = operands.x, *weights = operands.weights;
  if (x->rank != 4 || weights->rank != 4) return AIOT_BUNDLE_MALFORMED;
  const int32_t channels = x->size[3], taken = depthwise ? 1 : weights->size[3];
  const int32_t outputs = weights->size[depthwise ? 3 : 0];
  if (depthwise ? weights->size[0] != 1 || outputs % channels != 0
                : channels % taken != 0 || outputs % (channels / taken) != 0)
    return AIOT_BUNDLE_MALFORMED;
  /* The depth multiplier is given twice: by the shapes, and by the option, which other interpreters use. */
  if (depthwise && (int64_t)aiot_flatbuffer_i32(file, operator->options, 3, 0) * channels != outputs) return AIOT_BUNDLE_MALFORMED;
  if (!depthwise && aiot_type_bytes(aiot_flatbuffer_i8(file, operator->options, 6, 0)) == 0) return AIOT_MODEL_UNSUPPORTED;
  layer_plan *plan = add_step(operator, is_wide(&operands) ? wide_run : run);
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  *plan = (layer_plan){.batches = x->size[0], .channels = channels, .outputs = outputs, .taken = taken};
  const unsigned activation = depthwise ? 4 : 3;
  aiot_axis axes[2] = {
      {.filter = weights->size[1],
       .stride = aiot_flatbuffer_i32(file, operator->options, 2, 0),
       .dilation = aiot_flatbuffer_i32(file, operator->options, activation + 2, 1)},
      {.filter = weights->size[2],
       .stride = aiot_flatbuffer_i32(file, operator->options, 1, 0),
       .dilation = aiot_flatbuffer_i32(file, operator->options, activation + 1, 1)},
  };
  if (!aiot_axes_of(x, operands.y, aiot_flatbuffer_i8(file, operator->options, 0, 0), outputs, axes)) return AIOT_BUNDLE_MALFORMED;
  plan->rows = axes[0];
  plan->columns = axes[1];
  plan->range.low = aiot_flatbuffer_i8(file, operator->options, activation, 0);
  const aiot_code own = channels_of(operator, &operands, depthwise ? 3 : 0, depthwise ? -1 : 6, plan);
  if (own != AIOT_OK || depthwise || is_wide(&operands)) return own;
  /* The folded biases are for windows completely inside the image. Other windows need the original biases and the zero point. */
  plan->folded = aiot_arena_take(operator->network->arena, (size_t)outputs * sizeof *plan->folded, sizeof *plan->folded);
  if (plan->folded == NULL) return AIOT_MEMORY_SHORT;
  fold(plan->rows.filter * plan->columns.filter * plan->taken, plan);
  return AIOT_OK;
}

aiot_code aiot_prepare_convolution(const aiot_operator *operator) {
  if (aiot_is_real(aiot_operator_input(operator, 0))) return aiot_prepare_real_window(operator);
  return prepare_window(operator, run_convolution, run_wide_convolution, false);
}

aiot_code aiot_prepare_depthwise(const aiot_operator *operator) {
  /* If there are three inputs, TFLite Micro assumes that there is a bias, even if the third input is omitted (-1). */
  if (operator->inputs.count > 2 && aiot_operator_input(operator, 2) == NULL) return AIOT_BUNDLE_MALFORMED;
  if (aiot_is_real(aiot_operator_input(operator, 0))) return aiot_prepare_real_window(operator);
  return prepare_window(operator, run_depthwise, run_wide_depthwise, true);
}

/*
 * The sum of one output cell over the input cells whose windows include it. The plan's rows and columns are those of the output
 * image.
 */
static int64_t transposed_sum(const layer_plan *plan, const int8_t *x, int32_t start, int32_t out, int32_t row, int32_t column) {
  const int16_t *halves = plan->wide_bias != NULL ? (const void *)x : NULL;
  int64_t wide = 0;
  uint32_t sum = 0;
  const int8_t *w = plan->weights + out * plan->rows.filter * plan->columns.filter * plan->taken;
  for (int32_t r = 0; r < plan->rows.filter; r++) {
    const int32_t y = row + plan->rows.before - r;
    if (y < 0 || y % plan->rows.stride != 0 || y / plan->rows.stride >= plan->rows.output) continue;
    for (int32_t c = 0; c < plan->columns.filter; c++) {
      const int32_t at = column + plan->columns.before - c;
      if (at < 0 || at % plan->columns.stride != 0 || at / plan->columns.stride >= plan->columns.output) continue;
      const int32_t cell = y / plan->rows.stride * plan->columns.output + at / plan->columns.stride;
      const int8_t *weights = w + (r * plan->columns.filter + c) * plan->taken;
      if (halves != NULL) wide += dot_wide(weights, halves + start + cell * plan->taken, plan->taken);
      else sum += dot(weights, x + start + cell * plan->taken, plan->input_zero, plan->taken);
    }
  }
  return halves != NULL ? wide : (int64_t)sum;
}

static void run_transpose_convolution(const aiot_step *step) {
  const layer_plan *plan = step->plan;
  int8_t *y = step->y;
  int16_t *halves = (void *)step->y;
  for (int32_t batch = 0; batch < plan->batches; batch++) {
    const int32_t start = batch * plan->rows.output * plan->columns.output * plan->taken;
    for (int32_t row = 0; row < plan->rows.input; row++)
      for (int32_t column = 0; column < plan->columns.input; column++)
        for (int32_t out = 0; out < plan->outputs; out++) {
          const int64_t sum = transposed_sum(plan, step->x, start, out, row, column);
          if (plan->wide_bias != NULL) *halves++ = finish_wide(plan, out, sum);
          else *y++ = finish(plan, out, (uint32_t)plan->bias[out] + (uint32_t)sum);
        }
  }
}

/* Inputs: the output's shape, the filter [out, kh, kw, in], x, and the optional bias. */
aiot_code aiot_prepare_transpose_convolution(const aiot_operator *operator) {
  if (aiot_is_real(aiot_operator_input(operator, 2))) return aiot_prepare_real_transpose_convolution(operator);
  aiot_flatbuffer *file = &operator->network->file;
  const layer_operands operands = {aiot_operator_input(operator, 2), aiot_operator_input(operator, 1), aiot_operator_input(operator, 3),
                                   aiot_operator_output(operator, 0)};
  const aiot_operand *x = operands.x, *weights = operands.weights, *wanted = aiot_operator_input(operator, 0);
  if (x == NULL || operands.y == NULL) return AIOT_BUNDLE_MALFORMED;
  if (!aiot_operand_constant(weights, AIOT_INT8) || !aiot_operand_constant(wanted, AIOT_INT32)) return AIOT_MODEL_UNSUPPORTED;
  if (!suits(&operands)) return AIOT_MODEL_UNSUPPORTED;
  if (aiot_type_bytes(aiot_flatbuffer_i8(file, operator->options, 4, 0)) == 0) return AIOT_MODEL_UNSUPPORTED;
  if (x->rank != 4 || weights->rank != 4 || operands.y->rank != 4 || wanted->count != 4) return AIOT_BUNDLE_MALFORMED;
  for (int32_t axis = 0; axis < 4; axis++)
    if (aiot_operand_i32(wanted, axis) != operands.y->size[axis]) return AIOT_BUNDLE_MALFORMED;
  if (weights->size[3] != x->size[3] || weights->size[0] != operands.y->size[3]) return AIOT_BUNDLE_MALFORMED;
  layer_plan *plan = aiot_network_step(operator->network, run_transpose_convolution, sizeof *plan,
                                       aiot_operator_input_index(operator, 2), -1, aiot_operator_output_index(operator, 0));
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  *plan = (layer_plan){.batches = x->size[0], .channels = x->size[3], .outputs = weights->size[0], .taken = x->size[3]};
  aiot_axis axes[2] = {
      {.filter = weights->size[1], .stride = aiot_flatbuffer_i32(file, operator->options, 2, 0), .dilation = 1},
      {.filter = weights->size[2], .stride = aiot_flatbuffer_i32(file, operator->options, 1, 0), .dilation = 1},
  };
  /* A transposed convolution has the geometry of a convolution from its output to its input. */
  if (!aiot_axes_of(operands.y, x, aiot_flatbuffer_i8(file, operator->options, 0, 0), x->size[3], axes)) return AIOT_BUNDLE_MALFORMED;
  plan->rows = axes[0];
  plan->columns = axes[1];
  plan->range.low = aiot_flatbuffer_i8(file, operator->options, 3, 0);
  return channels_of(operator, &operands, 0, 4, plan);
}
