/* Operators that move int8 elements without changing them. */
#include <string.h>

#include "kernels.h"
#include "quantized.h"
#include "walk.h"

/* Maximum number of dimensions in a RESHAPE's option. */
enum { LISTED_MAX = 8 };

/* y[its place] = x[its place] for every index of the extent. */
typedef struct {
  aiot_extent extent;
  aiot_places source, target;
} copy_plan;

static void run_copy(const aiot_step *step) {
  const copy_plan *plan = step->plan;
  const int32_t count = aiot_extent_count(&plan->extent);
  aiot_odometer odometer = {{0}};
  int32_t from = plan->source.start, to = plan->target.start;
  for (int32_t i = 0; i < count; i++) {
    step->y[to] = step->x[from];
    aiot_odometer_next(&odometer, &plan->extent, &plan->source, &from, &plan->target, &to);
  }
}

typedef struct {
  int32_t count;
  int8_t value;
} fill_plan;

static void run_fill(const aiot_step *step) {
  const fill_plan *plan = step->plan;
  memset(step->y, plan->value, (size_t)plan->count);
}

static copy_plan *add_copy(const aiot_operator *operator, uint32_t input, uint32_t output) {
  return aiot_network_step(operator->network, run_copy, sizeof(copy_plan), aiot_operator_input_index(operator, input), -1,
                           aiot_operator_output_index(operator, output));
}

/* Checks that input and output exist and have the same scale; otherwise NULL. */
static bool ends_of(const aiot_operator *operator, uint32_t input, uint32_t output, const aiot_operand **x,
                    const aiot_operand **y) {
  *x = aiot_operator_input(operator, input);
  *y = aiot_operator_output(operator, output);
  return *x != NULL && *y != NULL && aiot_scale_same(&operator->network->file, *x, *y);
}

/* The output is the input with a different shape, and shares its memory. */
aiot_code aiot_prepare_reshape(const aiot_operator *operator) {
  const aiot_operand *x, *y;
  /* A RESHAPE's target shape is the output's own: only the list's length is checked. */
  const bool listed = operator->code == AIOT_RESHAPE;
  if (listed && aiot_flatbuffer_vector(&operator->network->file, operator->options, 0, 4).count > LISTED_MAX) return AIOT_BUNDLE_MALFORMED;
  if (!ends_of(operator, 0, 0, &x, &y) || x->count != y->count) return AIOT_BUNDLE_MALFORMED;
  aiot_operator_output(operator, 0)->root = x->root;
  return AIOT_OK;
}

/* The input's shape with a 1 at a constant axis. */
aiot_code aiot_prepare_expand_dims(const aiot_operator *operator) {
  const aiot_operand *x = aiot_operator_input(operator, 0), *y = aiot_operator_output(operator, 0);
  const aiot_operand *where = aiot_operator_input(operator, 1);
  if (x == NULL || y == NULL) return AIOT_BUNDLE_MALFORMED;
  if (!aiot_operand_constant(where, AIOT_INT32)) return AIOT_MODEL_UNSUPPORTED;
  if (where->count != 1 || x->rank + 1 > AIOT_RANK_MAX) return AIOT_BUNDLE_MALFORMED;
  const int32_t given = aiot_operand_i32(where, 0), rank = x->rank + 1;
  if (given < -rank || given >= rank) return AIOT_BUNDLE_MALFORMED;
  const int32_t axis = given < 0 ? given + rank : given;
  int32_t shape[AIOT_RANK_MAX];
  for (int32_t k = 0; k < rank; k++) shape[k] = k < axis ? x->size[k] : k == axis ? 1 : x->size[k - 1];
  return aiot_operand_shaped(y, rank, shape) ? aiot_prepare_reshape(operator) : AIOT_BUNDLE_MALFORMED;
}

/* The input's shape without the named axes, each of which has size 1; if none is named, all axes of size 1 are removed. */
aiot_code aiot_prepare_squeeze(const aiot_operator *operator) {
  aiot_flatbuffer *file = &operator->network->file;
  const aiot_operand *x = aiot_operator_input(operator, 0), *y = aiot_operator_output(operator, 0);
  if (x == NULL || y == NULL) return AIOT_BUNDLE_MALFORMED;
  const aiot_vector named = aiot_flatbuffer_vector(file, operator->options, 0, 4);
  bool gone[AIOT_RANK_MAX] = {false};
  for (uint32_t i = 0; i < named.count; i++) {
    const int32_t axis = aiot_operand_axis(x, aiot_flatbuffer_i32_at(file, named, i));
    if (axis < 0 || x->size[axis] != 1) return AIOT_BUNDLE_MALFORMED;
    gone[axis] = true;
  }
  int32_t shape[AIOT_RANK_MAX], rank = 0;
  for (int32_t axis = 0; axis < x->rank; axis++) {
    if (named.count == 0 ? x->size[axis] == 1 : gone[axis]) continue;
    shape[rank++] = x->size[axis];
  }
  return aiot_operand_shaped(y, rank, shape) ? aiot_prepare_reshape(operator) : AIOT_BUNDLE_MALFORMED;
}

aiot_code aiot_prepare_concatenation(const aiot_operator *operator) {
  aiot_flatbuffer *file = &operator->network->file;
  if (aiot_flatbuffer_i8(file, operator->options, 1, 0) != 0) return AIOT_MODEL_UNSUPPORTED;
  const aiot_operand *x, *y;
  int32_t start = 0, axis = -1;
  for (uint32_t part = 0; part < operator->inputs.count; part++) {
    if (!ends_of(operator, part, 0, &x, &y) || x->rank != y->rank) return AIOT_BUNDLE_MALFORMED;
    axis = aiot_operand_axis(y, aiot_flatbuffer_i32(file, operator->options, 0, 0));
    if (axis < 0 || x->size[axis] > y->size[axis] - start) return AIOT_BUNDLE_MALFORMED;
    for (int32_t k = 0; k < x->rank; k++)
      if (k != axis && x->size[k] != y->size[k]) return AIOT_BUNDLE_MALFORMED;
    copy_plan *plan = add_copy(operator, part, 0);
    if (plan == NULL) return AIOT_MEMORY_SHORT;
    const aiot_extent whole = aiot_extent_of(y);
    plan->extent = aiot_extent_of(x);
    plan->source = aiot_places_in(&plan->extent);
    plan->target = aiot_places_in(&whole);
    plan->target.start = start * plan->target.step[axis];
    start += x->size[axis];
  }
  return axis >= 0 && start == y->size[axis] ? AIOT_OK : AIOT_BUNDLE_MALFORMED;
}

/* PAD fills with the zero point, PADV2 with a constant. */
aiot_code aiot_prepare_pad(const aiot_operator *operator) {
  const aiot_operand *x, *y, *paddings = aiot_operator_input(operator, 1), *value = aiot_operator_input(operator, 2);
  if (!ends_of(operator, 0, 0, &x, &y) || x->rank != y->rank) return AIOT_BUNDLE_MALFORMED;
  if (!aiot_operand_constant(paddings, AIOT_INT32)) return AIOT_MODEL_UNSUPPORTED;
  const bool given = operator->code == AIOT_PADV2;
  if (given && (!aiot_operand_constant(value, AIOT_INT8) || value->count != 1)) return AIOT_MODEL_UNSUPPORTED;
  if (given && !aiot_scale_same(&operator->network->file, value, y)) return AIOT_BUNDLE_MALFORMED;
  if (paddings->count != 2 * x->rank) return AIOT_BUNDLE_MALFORMED;
  aiot_scale output;
  if (!aiot_scale_of(&operator->network->file, y, &output)) return AIOT_BUNDLE_MALFORMED;
  fill_plan *fill = aiot_network_step(operator->network, run_fill, sizeof *fill, -1, -1, aiot_operator_output_index(operator, 0));
  copy_plan *plan = fill == NULL ? NULL : add_copy(operator, 0, 0);
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  *fill = (fill_plan){y->count, given ? (int8_t)value->data[0] : (int8_t)output.zero_point};
  const aiot_extent whole = aiot_extent_of(y);
  plan->extent = aiot_extent_of(x);
  plan->source = aiot_places_in(&plan->extent);
  plan->target = aiot_places_in(&whole);
  for (int32_t axis = 0; axis < x->rank; axis++) {
    const int64_t before = aiot_operand_i32(paddings, 2 * axis), after = aiot_operand_i32(paddings, 2 * axis + 1);
    if (before < 0 || after < 0 || x->size[axis] + before + after != y->size[axis]) return AIOT_BUNDLE_MALFORMED;
    plan->target.start += (int32_t)before * plan->target.step[axis];
  }
  return AIOT_OK;
}

/* Axis k of the output is axis permutation[k] of the input. */
aiot_code aiot_prepare_transpose(const aiot_operator *operator) {
  const aiot_operand *x, *y, *permutation = aiot_operator_input(operator, 1);
  if (!ends_of(operator, 0, 0, &x, &y)) return AIOT_BUNDLE_MALFORMED;
  if (!aiot_operand_constant(permutation, AIOT_INT32)) return AIOT_MODEL_UNSUPPORTED;
  if (permutation->count != x->rank || y->rank != x->rank) return AIOT_BUNDLE_MALFORMED;
  copy_plan *plan = add_copy(operator, 0, 0);
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  const aiot_extent input = aiot_extent_of(x);
  const aiot_places places = aiot_places_in(&input);
  plan->extent = aiot_extent_of(y);
  plan->target = aiot_places_in(&plan->extent);
  uint32_t seen = 0;
  for (int32_t k = 0; k < x->rank; k++) {
    const int32_t axis = aiot_operand_i32(permutation, k);
    if (axis < 0 || axis >= x->rank || seen >> axis & 1 || y->size[k] != x->size[axis]) return AIOT_BUNDLE_MALFORMED;
    seen |= (uint32_t)1 << axis;
    plan->source.step[k] = places.step[axis];
  }
  return AIOT_OK;
}

/* SPLIT divides an axis into equal parts. */
aiot_code aiot_prepare_split(const aiot_operator *operator) {
  const aiot_operand *x, *y, *where = aiot_operator_input(operator, 0);
  const uint32_t parts = operator->outputs.count;
  if (aiot_flatbuffer_i32(&operator->network->file, operator->options, 0, 0) != (int32_t)parts) return AIOT_BUNDLE_MALFORMED;
  if (!aiot_operand_constant(where, AIOT_INT32)) return AIOT_MODEL_UNSUPPORTED;
  for (uint32_t part = 0; part < parts; part++) {
    if (!ends_of(operator, 1, part, &x, &y) || y->rank != x->rank) return AIOT_BUNDLE_MALFORMED;
    const int32_t axis = aiot_operand_axis(x, aiot_operand_i32(where, 0));
    if (axis < 0 || (int64_t)y->size[axis] * parts != x->size[axis]) return AIOT_BUNDLE_MALFORMED;
    for (int32_t k = 0; k < x->rank; k++)
      if (k != axis && x->size[k] != y->size[k]) return AIOT_BUNDLE_MALFORMED;
    copy_plan *plan = add_copy(operator, 1, part);
    if (plan == NULL) return AIOT_MEMORY_SHORT;
    const aiot_extent whole = aiot_extent_of(x);
    plan->extent = aiot_extent_of(y);
    plan->target = aiot_places_in(&plan->extent);
    plan->source = aiot_places_in(&whole);
    plan->source.start = (int32_t)part * y->size[axis] * plan->source.step[axis];
  }
  return AIOT_OK;
}

typedef struct {
  int32_t first, step, count;
} slice;

/* One axis of a STRIDED_SLICE, like NumPy's begin:end:step. False = it is empty, or its bounds are unsupported. */
static bool slice_of(int32_t size, int64_t begin, int64_t end, int64_t step, bool open_begin, bool open_end, bool shrink,
                     slice *out) {
  if (step == 0) return false;
  /* Steps beyond these limits have the same effect as the limits. */
  step = step > size ? size : step < -(int64_t)size ? -(int64_t)size : step;
  const int64_t low = step > 0 ? 0 : -1, high = step > 0 ? size : (int64_t)size - 1;
  begin = begin < 0 ? begin + size : begin;
  end = end < 0 ? end + size : end;
  if (shrink) {
    if (open_begin) begin = 0;
    *out = (slice){(int32_t)begin, 1, 1};
    return begin >= 0 && begin < size;
  }
  begin = open_begin ? (step > 0 ? low : high) : begin < low ? low : begin > high ? high : begin;
  end = open_end ? (step > 0 ? high : low) : end < low ? low : end > high ? high : end;
  const int64_t count = (end - begin + (step > 0 ? step - 1 : step + 1)) / step;
  *out = (slice){(int32_t)begin, (int32_t)step, (int32_t)count};
  return count > 0;
}

aiot_code aiot_prepare_strided_slice(const aiot_operator *operator) {
  aiot_flatbuffer *file = &operator->network->file;
  const aiot_operand *x, *y, *bound[3];
  if (!ends_of(operator, 0, 0, &x, &y)) return AIOT_BUNDLE_MALFORMED;
  for (uint32_t i = 0; i < 3; i++) {
    bound[i] = aiot_operator_input(operator, i + 1);
    if (!aiot_operand_constant(bound[i], AIOT_INT32)) return AIOT_MODEL_UNSUPPORTED;
    if (bound[i]->count > x->rank) return AIOT_BUNDLE_MALFORMED;
  }
  const aiot_table options = operator->options;
  if (aiot_flatbuffer_i32(file, options, 2, 0) != 0 || aiot_flatbuffer_i32(file, options, 3, 0) != 0 ||
      aiot_flatbuffer_i8(file, options, 5, 0) != 0)
    return AIOT_MODEL_UNSUPPORTED;
  const uint32_t begin_mask = (uint32_t)aiot_flatbuffer_i32(file, options, 0, 0);
  const uint32_t end_mask = (uint32_t)aiot_flatbuffer_i32(file, options, 1, 0);
  const uint32_t shrink_mask = (uint32_t)aiot_flatbuffer_i32(file, options, 4, 0);
  copy_plan *plan = add_copy(operator, 0, 0);
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  plan->extent = aiot_extent_of(x);
  plan->source = aiot_places_in(&plan->extent);
  int32_t shape[AIOT_RANK_MAX], rank = 0;
  for (int32_t axis = 0; axis < x->rank; axis++) {
    slice own;
    const bool shrink = shrink_mask >> axis & 1, begins = axis < bound[0]->count, ends = axis < bound[1]->count;
    const int64_t begin = begins ? aiot_operand_i32(bound[0], axis) : 0, end = ends ? aiot_operand_i32(bound[1], axis) : 0;
    const int64_t step = axis < bound[2]->count ? aiot_operand_i32(bound[2], axis) : 1;
    const bool open_begin = !begins || begin_mask >> axis & 1, open_end = !ends || end_mask >> axis & 1;
    if (!slice_of(x->size[axis], begin, end, step, open_begin, open_end, shrink, &own)) return AIOT_BUNDLE_MALFORMED;
    plan->extent.size[axis] = own.count;
    plan->source.start += own.first * plan->source.step[axis];
    plan->source.step[axis] *= own.step;
    if (!shrink) shape[rank++] = own.count;
  }
  plan->target = aiot_places_in(&plan->extent);
  return aiot_operand_shaped(y, rank, shape) ? AIOT_OK : AIOT_BUNDLE_MALFORMED;
}
