/* RESIZE_NEAREST_NEIGHBOR, RESIZE_BILINEAR and BATCH_MATMUL on int8, int16 and float32, and L2_NORMALIZATION on int8 and float32. */
#include <math.h>
#include <string.h>

#include "aiot/fixed_point.h"
#include "fixed_functions.h"
#include "kernels.h"
#include "quantized.h"
#include "real.h"
#include "walk.h"

/* A position of an output along an axis: its neighbors in the input, and its distance from the first in 1/1024 or, for float32, as a number. */
typedef struct {
  int32_t low, high;
  union {
    int32_t part;
    float real;
  };
} between;

typedef struct {
  int32_t batches, channels, type;
  int32_t input[2], output[2];
  const between *axis[2];
} resize_plan;

/* The nearest position along an axis, in single precision as in TFLite. */
static between nearest_of(int32_t at, int32_t input, int32_t output, bool align, bool half_pixel) {
  const bool aligned = align && output > 1;
  const float scale = aligned ? (float)(input - 1) / (float)(output - 1) : (float)input / (float)output;
  const float real = ((float)at + (half_pixel ? 0.5f : 0.0f)) * scale;
  const int32_t place = (int32_t)(align ? roundf(real) : floorf(real));
  const int32_t last = input - 1;
  return (between){.low = place > last ? last : place};
}

/* The position along an axis in steps of 1/1024. */
static between bilinear_of(int32_t at, int32_t input, int32_t output, bool align, bool half_pixel) {
  const bool aligned = align && output > 1;
  const int64_t whole = aligned ? input - 1 : input, parts = aligned ? output - 1 : output;
  const int64_t scale = (1024 * whole + parts / 2) / parts;
  const int64_t place = at * scale + (half_pixel ? scale / 2 - 512 : 0);
  const int64_t low = place < 0 ? 0 : place / 1024, high = (place + 1023) / 1024;
  return (between){.low = (int32_t)low, .high = (int32_t)(high > input - 1 ? input - 1 : high), .part = (int32_t)(place - 1024 * low)};
}

/* The position along an axis in single precision. The sum of two numbers is computed in double precision, so that it is rounded once. */
static between real_bilinear_of(int32_t at, int32_t input, int32_t output, bool align, bool half_pixel) {
  const bool aligned = align && output > 1;
  const float scale = aligned ? (float)(input - 1) / (float)(output - 1) : (float)input / (float)output;
  const float scaled = aiot_real_product((float)at + (half_pixel ? 0.5f : 0.0f), scale);
  const float real = half_pixel ? (float)((double)scaled - 0.5) : scaled;
  const int32_t low = real > 0.0f ? (int32_t)floorf(real) : 0, high = (int32_t)ceilf(real);
  return (between){.low = low, .high = high > input - 1 ? input - 1 : high, .real = real - (float)low};
}

/* Index of a cell's first element. */
static int32_t cell_of(const resize_plan *plan, int32_t batch, int32_t row, int32_t column) {
  return ((batch * plan->input[0] + row) * plan->input[1] + column) * plan->channels;
}

static void run_nearest(const aiot_step *step) {
  const resize_plan *plan = step->plan;
  const size_t size = aiot_type_bytes(plan->type), bytes = (size_t)plan->channels * size;
  int8_t *y = step->y;
  for (int32_t batch = 0; batch < plan->batches; batch++)
    for (int32_t row = 0; row < plan->output[0]; row++)
      for (int32_t column = 0; column < plan->output[1]; column++, y += bytes)
        memcpy(y, step->x + (size_t)cell_of(plan, batch, plan->axis[0][row].low, plan->axis[1][column].low) * size, bytes);
}

static void run_bilinear(const aiot_step *step) {
  const resize_plan *plan = step->plan;
  int32_t to = 0;
  for (int32_t batch = 0; batch < plan->batches; batch++)
    for (int32_t row = 0; row < plan->output[0]; row++)
      for (int32_t column = 0; column < plan->output[1]; column++) {
        const between r = plan->axis[0][row], c = plan->axis[1][column];
        const int32_t a = cell_of(plan, batch, r.low, c.low), b = cell_of(plan, batch, r.high, c.low);
        const int32_t d = cell_of(plan, batch, r.low, c.high), e = cell_of(plan, batch, r.high, c.high);
        const int64_t down = r.part, up = 1024 - r.part, right = c.part, left = 1024 - c.part;
        for (int32_t k = 0; k < plan->channels; k++) {
          const int64_t sum = aiot_load(step->x, plan->type, a + k) * up * left + aiot_load(step->x, plan->type, b + k) * down * left +
                              aiot_load(step->x, plan->type, d + k) * up * right + aiot_load(step->x, plan->type, e + k) * down * right;
          aiot_store(step->y, plan->type, to++, (int32_t)((sum + (sum > 0 ? 1 << 19 : -(1 << 19))) / (1 << 20)));
        }
      }
}

/* The product of a cell's element and both weights, rounded after each multiplication. */
static float weighted(const aiot_step *step, int32_t index, float first, float second) {
  return aiot_real_product(aiot_real_product(aiot_real_at(step->x, index), first), second);
}

static void run_real_bilinear(const aiot_step *step) {
  const resize_plan *plan = step->plan;
  int32_t to = 0;
  for (int32_t batch = 0; batch < plan->batches; batch++)
    for (int32_t row = 0; row < plan->output[0]; row++)
      for (int32_t column = 0; column < plan->output[1]; column++) {
        const between r = plan->axis[0][row], c = plan->axis[1][column];
        const int32_t a = cell_of(plan, batch, r.low, c.low), b = cell_of(plan, batch, r.high, c.low);
        const int32_t d = cell_of(plan, batch, r.low, c.high), e = cell_of(plan, batch, r.high, c.high);
        const float down = r.real, up = 1.0f - r.real, right = c.real, left = 1.0f - c.real;
        for (int32_t k = 0; k < plan->channels; k++)
          aiot_real_set(step->y, to++, weighted(step, a + k, up, left) + weighted(step, b + k, down, left) + weighted(step, d + k, up, right) +
                                           weighted(step, e + k, down, right));
      }
}

/*
 * Input 1 contains the constant height and width of the output. The options align and half_pixel are in adjacent slots. The
 * positions of all rows and columns are stored.
 */
aiot_code aiot_prepare_resize(const aiot_operator *operator) {
  aiot_flatbuffer *file = &operator->network->file;
  const bool nearest = operator->code == AIOT_RESIZE_NEAREST_NEIGHBOR;
  const aiot_operand *x = aiot_operator_input(operator, 0), *y = aiot_operator_output(operator, 0), *size = aiot_operator_input(operator, 1);
  if (x == NULL || y == NULL || !aiot_alike(file, x, y, 1 << AIOT_INT8 | 1 << AIOT_INT16 | 1 << AIOT_FLOAT32)) return AIOT_BUNDLE_MALFORMED;
  if (!aiot_operand_constant(size, AIOT_INT32)) return AIOT_MODEL_UNSUPPORTED;
  const unsigned slot = nearest ? 0 : 2;
  const bool align = aiot_flatbuffer_i8(file, operator->options, slot, 0) != 0;
  const bool half_pixel = aiot_flatbuffer_i8(file, operator->options, slot + 1, 0) != 0;
  if (x->rank != 4 || size->count != 2 || (align && half_pixel)) return AIOT_BUNDLE_MALFORMED;
  const int32_t shape[4] = {x->size[0], aiot_operand_i32(size, 0), aiot_operand_i32(size, 1), x->size[3]};
  if (!aiot_operand_shaped(y, 4, shape)) return AIOT_BUNDLE_MALFORMED;
  resize_plan *plan = aiot_network_step(operator->network, nearest ? run_nearest : aiot_is_real(x) ? run_real_bilinear : run_bilinear, sizeof *plan,
                                        aiot_operator_input_index(operator, 0), -1, aiot_operator_output_index(operator, 0));
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  *plan = (resize_plan){.batches = x->size[0], .channels = x->size[3], .type = x->type};
  for (int32_t axis = 0; axis < 2; axis++) {
    const int32_t input = plan->input[axis] = x->size[axis + 1], output = plan->output[axis] = shape[axis + 1];
    between *places = aiot_arena_take(operator->network->arena, (size_t)output * sizeof *places, sizeof(int32_t));
    if (places == NULL) return AIOT_MEMORY_SHORT;
    for (int32_t at = 0; at < output; at++)
      places[at] = (nearest ? nearest_of : aiot_is_real(x) ? real_bilinear_of : bilinear_of)(at, input, output, align, half_pixel);
    plan->axis[axis] = places;
  }
  return AIOT_OK;
}

typedef struct {
  /* Sizes of the batch dimensions, and the strides of both inputs along them (0 = repeated). */
  aiot_extent batches;
  aiot_places first, second;
  int32_t rows, columns, depth;
  /* Distances between elements: along the rows of the first input, the columns of the second, and the depth of both. */
  int32_t row, column, first_depth, second_depth;
  int32_t first_zero, second_zero, output_zero;
  aiot_ratio ratio;
  int32_t type;
} matmul_plan;

/* An element of the product on int16. */
static int32_t wide_product(const matmul_plan *plan, const aiot_step *step, int32_t left, int32_t right) {
  int64_t sum = 0;
  for (int32_t k = 0; k < plan->depth; k++)
    sum += (int64_t)aiot_load(step->x, AIOT_INT16, left + k * plan->first_depth) * aiot_load(step->x2, AIOT_INT16, right + k * plan->second_depth);
  return aiot_range_limit(aiot_range_whole(AIOT_INT16), aiot_ratio_times_wide(sum, plan->ratio));
}

static float real_matmul(const matmul_plan *plan, const aiot_step *step, int32_t left, int32_t right) {
  float sum = 0.0f;
  for (int32_t k = 0; k < plan->depth; k++)
    sum += aiot_real_product(aiot_real_at(step->x, left + k * plan->first_depth), aiot_real_at(step->x2, right + k * plan->second_depth));
  return sum;
}

static void run_batch_matmul(const aiot_step *step) {
  const matmul_plan *plan = step->plan;
  static const aiot_range whole = {INT8_MIN, INT8_MAX};
  const int32_t count = aiot_extent_count(&plan->batches);
  aiot_odometer odometer = {{0}};
  int32_t a = 0, b = 0, to = 0;
  int8_t *y = step->y;
  for (int32_t batch = 0; batch < count; batch++) {
    for (int32_t row = 0; row < plan->rows; row++)
      for (int32_t column = 0; column < plan->columns; column++) {
        if (plan->type == AIOT_INT16) {
          aiot_store(step->y, AIOT_INT16, to++, wide_product(plan, step, a + row * plan->row, b + column * plan->column));
          continue;
        }
        if (plan->type == AIOT_FLOAT32) {
          aiot_real_set(step->y, to++, real_matmul(plan, step, a + row * plan->row, b + column * plan->column));
          continue;
        }
        const int8_t *left = step->x + a + row * plan->row, *right = step->x2 + b + column * plan->column;
        uint32_t sum = 0;
        for (int32_t k = 0; k < plan->depth; k++)
          sum += (uint32_t)((left[k * plan->first_depth] - plan->first_zero) * (right[k * plan->second_depth] - plan->second_zero));
        *y++ = aiot_range_clamp(whole, aiot_ratio_times((int32_t)sum, plan->ratio) + plan->output_zero);
      }
    aiot_odometer_next(&odometer, &plan->batches, &plan->first, &a, &plan->second, &b);
  }
}

/* The size of an operand's axis, counted as if it had `rank` dimensions. */
static int32_t size_at(const aiot_operand *operand, int32_t axis, int32_t rank) {
  const int32_t own = axis - rank + operand->rank;
  return own < 0 ? 1 : operand->size[own];
}

/* Strides of the batches of an operand; 0 where it is repeated. */
static bool batches_of(const aiot_operand *operand, const aiot_operand *y, aiot_places *out) {
  *out = (aiot_places){.start = 0};
  int32_t stride = operand->size[operand->rank - 1] * operand->size[operand->rank - 2];
  for (int32_t axis = y->rank - 3; axis >= 0; axis--) {
    const int32_t size = size_at(operand, axis, y->rank);
    if (size != 1 && size != y->size[axis]) return false;
    out->step[axis] = size == 1 ? 0 : stride;
    stride *= size;
  }
  return true;
}

aiot_code aiot_prepare_batch_matmul(const aiot_operator *operator) {
  aiot_flatbuffer *file = &operator->network->file;
  const aiot_operand *a = aiot_operator_input(operator, 0), *b = aiot_operator_input(operator, 1), *y = aiot_operator_output(operator, 0);
  aiot_scale first = {1, 0}, second = {1, 0}, output = {1, 0};
  if (a == NULL || b == NULL || y == NULL) return AIOT_BUNDLE_MALFORMED;
  if (a->type != y->type || b->type != y->type) return AIOT_BUNDLE_MALFORMED;
  if (!aiot_is_real(y) && (!aiot_activation_scale_of(file, a, &first) || !aiot_activation_scale_of(file, b, &second) ||
                           !aiot_activation_scale_of(file, y, &output)))
    return AIOT_BUNDLE_MALFORMED;
  const int32_t rank = a->rank > b->rank ? a->rank : b->rank;
  if (a->rank < 2 || b->rank < 2 || rank > 5 || aiot_flatbuffer_i8(file, operator->options, 2, 0) != 0) return AIOT_MODEL_UNSUPPORTED;
  if (y->rank != rank) return AIOT_BUNDLE_MALFORMED;
  const bool adj_x = aiot_flatbuffer_i8(file, operator->options, 0, 0) != 0, adj_y = aiot_flatbuffer_i8(file, operator->options, 1, 0) != 0;
  const int32_t rows = a->size[a->rank - (adj_x ? 1 : 2)], depth = a->size[a->rank - (adj_x ? 2 : 1)];
  const int32_t columns = b->size[b->rank - (adj_y ? 2 : 1)], other = b->size[b->rank - (adj_y ? 1 : 2)];
  if (depth != other || y->size[rank - 2] != rows || y->size[rank - 1] != columns) return AIOT_BUNDLE_MALFORMED;
  for (int32_t axis = 0; axis < rank - 2; axis++)
    if (y->size[axis] != 1 && size_at(a, axis, rank) == 1 && size_at(b, axis, rank) == 1) return AIOT_BUNDLE_MALFORMED;
  matmul_plan *plan = aiot_network_step(operator->network, run_batch_matmul, sizeof *plan, aiot_operator_input_index(operator, 0),
                                        aiot_operator_input_index(operator, 1), aiot_operator_output_index(operator, 0));
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  *plan = (matmul_plan){.rows = rows,
                        .columns = columns,
                        .depth = depth,
                        .row = adj_x ? 1 : depth,
                        .first_depth = adj_x ? rows : 1,
                        .column = adj_y ? depth : 1,
                        .second_depth = adj_y ? 1 : columns,
                        .first_zero = first.zero_point,
                        .second_zero = second.zero_point,
                        .output_zero = output.zero_point,
                        .type = y->type};
  plan->batches = aiot_extent_of(y);
  plan->batches.rank = rank - 2;
  if (!batches_of(a, y, &plan->first) || !batches_of(b, y, &plan->second)) return AIOT_BUNDLE_MALFORMED;
  return aiot_ratio_of(first.scale * second.scale / output.scale, &plan->ratio) ? AIOT_OK : AIOT_BUNDLE_MALFORMED;
}

typedef struct {
  int32_t rows, depth, zero;
} l2_plan;

/* Maximum number of int8 differences for which the sum of squares fits an int32. */
enum { L2_MAX = 32768 };

static void run_real_l2(const aiot_step *step) {
  const l2_plan *plan = step->plan;
  for (int32_t start = 0; start < plan->rows * plan->depth; start += plan->depth) {
    float sum = 0.0f;
    for (int32_t i = start; i < start + plan->depth; i++) sum += aiot_real_product(aiot_real_at(step->x, i), aiot_real_at(step->x, i));
    const float root = sqrtf(sum), norm = root < 1e-6f ? 1e-6f : root;
    for (int32_t i = start; i < start + plan->depth; i++) aiot_real_set(step->y, i, aiot_real_at(step->x, i) / norm);
  }
}

static void run_l2(const aiot_step *step) {
  const l2_plan *plan = step->plan;
  static const aiot_range whole = {INT8_MIN, INT8_MAX};
  const int8_t *x = step->x;
  int8_t *y = step->y;
  for (int32_t row = 0; row < plan->rows; row++, x += plan->depth) {
    int32_t sum = 0;
    for (int32_t i = 0; i < plan->depth; i++) sum += (x[i] - plan->zero) * (x[i] - plan->zero);
    int shift = 0;
    const int32_t multiplier = aiot_inverse_square_root(sum, &shift);
    /* The output has the scale 1/128. */
    for (int32_t i = 0; i < plan->depth; i++)
      *y++ = aiot_range_clamp(whole, aiot_multiply_by_quantized(x[i] - plan->zero, multiplier, shift + 7));
  }
}

aiot_code aiot_prepare_l2_normalization(const aiot_operator *operator) {
  aiot_flatbuffer *file = &operator->network->file;
  const aiot_operand *x = aiot_operator_input(operator, 0), *y = aiot_operator_output(operator, 0);
  aiot_scale input = {1, 0};
  if (x == NULL || y == NULL) return AIOT_BUNDLE_MALFORMED;
  const bool real = aiot_is_real(x);
  if (real ? !aiot_is_real(y) : !aiot_scale_of(file, x, &input) || !aiot_scale_is(file, y, 1.0 / 128, 0)) return AIOT_BUNDLE_MALFORMED;
  if (x->rank < 1 || x->rank > 4 || (!real && x->size[x->rank - 1] > L2_MAX)) return AIOT_MODEL_UNSUPPORTED;
  if (aiot_flatbuffer_i8(file, operator->options, 0, 0) != 0) return AIOT_MODEL_UNSUPPORTED;
  if (!aiot_operand_shaped(y, x->rank, x->size)) return AIOT_BUNDLE_MALFORMED;
  l2_plan *plan = aiot_network_step(operator->network, real ? run_real_l2 : run_l2, sizeof *plan, aiot_operator_input_index(operator, 0), -1,
                                    aiot_operator_output_index(operator, 0));
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  *plan = (l2_plan){x->count / x->size[x->rank - 1], x->size[x->rank - 1], input.zero_point};
  return AIOT_OK;
}
