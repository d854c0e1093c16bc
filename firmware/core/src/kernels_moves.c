/* Operators that move elements without changing them, and CAST. */
#include <math.h>
#include <string.h>

#include "kernels.h"
#include "quantized.h"
#include "walk.h"

/* Maximum number of dimensions in a RESHAPE's option. */
enum { LISTED_MAX = 8 };

/* Types of elements, as bits, that operators move (src/lib/runtime/interpreter/interpreter.ts). */
enum {
  NARROW = 1 << AIOT_INT8 | 1 << AIOT_FLOAT32,
  MOVING = NARROW | 1 << AIOT_INT16,
  WIDE = MOVING | 1 << AIOT_INT32,
  ANY = WIDE | 1 << AIOT_BOOL
};

/* For every index of the extent, copies x at the source place to y at the target place. */
typedef struct {
  aiot_extent extent;
  aiot_places source, target;
  /* Size of an element. */
  uint32_t bytes;
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

/* Like run_copy, for elements of several bytes. */
static void run_copy_wide(const aiot_step *step) {
  const copy_plan *plan = step->plan;
  const int32_t count = aiot_extent_count(&plan->extent);
  aiot_odometer odometer = {{0}};
  int32_t from = plan->source.start, to = plan->target.start;
  for (int32_t i = 0; i < count; i++) {
    memcpy(step->y + (size_t)to * plan->bytes, step->x + (size_t)from * plan->bytes, plan->bytes);
    aiot_odometer_next(&odometer, &plan->extent, &plan->source, &from, &plan->target, &to);
  }
}

typedef struct {
  int32_t count;
  uint32_t bytes;
  /* An element; NULL = it is the input. */
  const uint8_t *value;
  int8_t zero;
} fill_plan;

static void run_fill(const aiot_step *step) {
  const fill_plan *plan = step->plan;
  const uint8_t *value = plan->value == NULL ? (const uint8_t *)step->x : plan->value;
  /* An element of several bytes without a value is 0. */
  if (value == NULL || plan->bytes == 1) {
    memset(step->y, value == NULL ? plan->zero : (int8_t)value[0], (size_t)plan->count * plan->bytes);
    return;
  }
  for (int32_t i = 0; i < plan->count; i++) memcpy(step->y + (size_t)i * plan->bytes, value, plan->bytes);
}

static copy_plan *add_copy(const aiot_operator *operator, uint32_t input, uint32_t output) {
  const uint32_t bytes = aiot_type_bytes(aiot_operator_output(operator, output)->type);
  copy_plan *plan = aiot_network_step(operator->network, bytes == 1 ? run_copy : run_copy_wide, sizeof(copy_plan),
                                      aiot_operator_input_index(operator, input), -1, aiot_operator_output_index(operator, output));
  if (plan != NULL) plan->bytes = bytes;
  return plan;
}

/* Checks that input and output exist and have the same type, which is one of `types`, and the same scale; otherwise returns false. */
static bool ends_of(const aiot_operator *operator, uint32_t input, uint32_t output, uint32_t types, const aiot_operand **x,
                    const aiot_operand **y) {
  *x = aiot_operator_input(operator, input);
  *y = aiot_operator_output(operator, output);
  return *x != NULL && *y != NULL && aiot_alike(&operator->network->file, *x, *y, types);
}

/* RESHAPE and similar operators. The output is the input with another shape, and shares its memory. */
aiot_code aiot_prepare_reshape(const aiot_operator *operator) {
  const aiot_operand *x, *y;
  /* A RESHAPE's target shape is that of the output, so only the length of the list is checked. */
  const bool listed = operator->code == AIOT_RESHAPE;
  if (listed && aiot_flatbuffer_vector(&operator->network->file, operator->options, 0, 4).count > LISTED_MAX) return AIOT_BUNDLE_MALFORMED;
  const bool same = ends_of(operator, 0, 0, ANY, &x, &y);
  if (x == NULL || y == NULL || x->count != y->count || x->type != y->type) return AIOT_BUNDLE_MALFORMED;
  if (!same && (x->type == AIOT_INT8 || x->type == AIOT_UINT8)) return AIOT_BUNDLE_MALFORMED;
  /* Samples of sound have no scale. */
  if (!same && x->type == AIOT_INT16 && x->scale.count + y->scale.count > 0) return AIOT_BUNDLE_MALFORMED;
  /* A constant may not be aligned for the kernels that read the output. */
  if (x->data != NULL && aiot_type_bytes(x->type) > 1) return AIOT_MODEL_UNSUPPORTED;
  aiot_operator_output(operator, 0)->root = x->root;
  return AIOT_OK;
}

/* EXPAND_DIMS: the output has the input's shape with an additional 1 at a constant axis. */
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

/*
 * SQUEEZE: the output has the input's shape without the listed axes, each of which has size 1. If none is listed, all axes of
 * size 1 are removed.
 */
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
    if (!ends_of(operator, part, 0, ANY, &x, &y) || x->rank != y->rank) return AIOT_BUNDLE_MALFORMED;
    /* TFLite Micro compares the quantizations exactly. */
    if ((x->type == AIOT_INT8 || x->type == AIOT_INT16) && !aiot_scale_equal(file, x, y)) return AIOT_BUNDLE_MALFORMED;
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
  if (!ends_of(operator, 0, 0, WIDE, &x, &y) || x->rank != y->rank) return AIOT_BUNDLE_MALFORMED;
  if (!aiot_operand_constant(paddings, AIOT_INT32)) return AIOT_MODEL_UNSUPPORTED;
  const bool given = operator->code == AIOT_PADV2;
  if (given && (!aiot_operand_constant(value, y->type) || value->count != 1)) return AIOT_MODEL_UNSUPPORTED;
  if (given && !aiot_alike(&operator->network->file, value, y, WIDE)) return AIOT_BUNDLE_MALFORMED;
  if (paddings->count != 2 * x->rank) return AIOT_BUNDLE_MALFORMED;
  aiot_scale output = {1, 0};
  if (y->type == AIOT_INT8 && !aiot_scale_of(&operator->network->file, y, &output)) return AIOT_BUNDLE_MALFORMED;
  fill_plan *fill = aiot_network_step(operator->network, run_fill, sizeof *fill, -1, -1, aiot_operator_output_index(operator, 0));
  copy_plan *plan = fill == NULL ? NULL : add_copy(operator, 0, 0);
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  *fill = (fill_plan){y->count, plan->bytes, given ? value->data : NULL, (int8_t)output.zero_point};
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

/* Places of a mirrored tensor: for each axis, whether the copy is before, in or after the input (0, 1, 2). */
static bool mirrored(const aiot_operand *x, const aiot_operand *y, const aiot_operand *paddings, int32_t skipped, const uint8_t *parts,
                     copy_plan *plan) {
  const aiot_extent own = aiot_extent_of(x), whole = aiot_extent_of(y);
  const aiot_places from = aiot_places_in(&own), to = aiot_places_in(&whole);
  plan->extent = own;
  plan->source = from;
  plan->target = to;
  for (int32_t axis = 0; axis < x->rank; axis++) {
    const int32_t before = aiot_operand_i32(paddings, 2 * axis), after = aiot_operand_i32(paddings, 2 * axis + 1), size = x->size[axis];
    const int32_t count[3] = {before, size, after}, first[3] = {before - 1 + skipped, 0, size - 1 - skipped}, at[3] = {0, before, before + size};
    const int32_t part = parts[axis];
    if (count[part] == 0) return false;
    plan->extent.size[axis] = count[part];
    plan->source.start += first[part] * from.step[axis];
    plan->source.step[axis] = part == 1 ? from.step[axis] : -from.step[axis];
    plan->target.start += at[part] * to.step[axis];
  }
  return true;
}

/* MIRROR_PAD repeats the elements at the border in reverse. The mode REFLECT (0) skips the outermost one. */
aiot_code aiot_prepare_mirror_pad(const aiot_operator *operator) {
  const aiot_operand *x, *y, *paddings = aiot_operator_input(operator, 1);
  if (!ends_of(operator, 0, 0, NARROW, &x, &y) || x->rank != y->rank) return AIOT_BUNDLE_MALFORMED;
  if (!aiot_operand_constant(paddings, AIOT_INT32)) return AIOT_MODEL_UNSUPPORTED;
  const int32_t mode = aiot_flatbuffer_i8(&operator->network->file, operator->options, 0, 0);
  if (mode < 0 || mode > 1) return AIOT_MODEL_UNSUPPORTED;
  if (paddings->count != 2 * x->rank) return AIOT_BUNDLE_MALFORMED;
  const int32_t skipped = mode == 0 ? 1 : 0;
  for (int32_t axis = 0; axis < x->rank; axis++) {
    const int64_t before = aiot_operand_i32(paddings, 2 * axis), after = aiot_operand_i32(paddings, 2 * axis + 1);
    const int64_t most = x->size[axis] - skipped;
    if (before < 0 || after < 0 || before > most || after > most || x->size[axis] + before + after != y->size[axis])
      return AIOT_BUNDLE_MALFORMED;
  }
  uint8_t parts[AIOT_RANK_MAX] = {0};
  for (;;) {
    copy_plan made = {0};
    if (mirrored(x, y, paddings, skipped, parts, &made)) {
      copy_plan *plan = add_copy(operator, 0, 0);
      if (plan == NULL) return AIOT_MEMORY_SHORT;
      made.bytes = plan->bytes;
      *plan = made;
    }
    int32_t axis = x->rank - 1;
    while (axis >= 0 && ++parts[axis] == 3) parts[axis--] = 0;
    if (axis < 0) return AIOT_OK;
  }
}

/* BROADCAST_TO repeats axes of size 1. Shapes are aligned at their last axis. */
aiot_code aiot_prepare_broadcast(const aiot_operator *operator) {
  const aiot_operand *x, *y, *shape = aiot_operator_input(operator, 1);
  if (!ends_of(operator, 0, 0, ANY, &x, &y)) return AIOT_BUNDLE_MALFORMED;
  if (!aiot_operand_constant(shape, AIOT_INT32)) return AIOT_MODEL_UNSUPPORTED;
  const int32_t missing = y->rank - x->rank;
  if (missing < 0 || shape->count != y->rank) return AIOT_BUNDLE_MALFORMED;
  copy_plan *plan = add_copy(operator, 0, 0);
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  const aiot_extent own = aiot_extent_of(x);
  const aiot_places places = aiot_places_in(&own);
  plan->extent = aiot_extent_of(y);
  plan->target = aiot_places_in(&plan->extent);
  for (int32_t axis = 0; axis < y->rank; axis++) {
    const int32_t size = axis < missing ? 1 : x->size[axis - missing];
    if (aiot_operand_i32(shape, axis) != y->size[axis] || (size != 1 && size != y->size[axis])) return AIOT_BUNDLE_MALFORMED;
    plan->source.step[axis] = size == 1 ? 0 : places.step[axis - missing];
  }
  return AIOT_OK;
}

/* REVERSE_V2 reverses the listed axes. */
aiot_code aiot_prepare_reverse(const aiot_operator *operator) {
  const aiot_operand *x, *y, *axes = aiot_operator_input(operator, 1);
  if (!ends_of(operator, 0, 0, ANY, &x, &y) || !aiot_operand_shaped(y, x->rank, x->size)) return AIOT_BUNDLE_MALFORMED;
  if (!aiot_operand_constant(axes, AIOT_INT32)) return AIOT_MODEL_UNSUPPORTED;
  copy_plan *plan = add_copy(operator, 0, 0);
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  plan->extent = aiot_extent_of(x);
  plan->source = aiot_places_in(&plan->extent);
  plan->target = plan->source;
  uint32_t seen = 0;
  for (int32_t i = 0; i < axes->count; i++) {
    const int32_t axis = aiot_operand_axis(x, aiot_operand_i32(axes, i));
    if (axis < 0 || seen >> axis & 1) return AIOT_BUNDLE_MALFORMED;
    seen |= (uint32_t)1 << axis;
    plan->source.start += (x->size[axis] - 1) * plan->target.step[axis];
    plan->source.step[axis] = -plan->target.step[axis];
  }
  return AIOT_OK;
}

/* Axis k of the output is axis permutation[k] of the input. */
aiot_code aiot_prepare_transpose(const aiot_operator *operator) {
  const aiot_operand *x, *y, *permutation = aiot_operator_input(operator, 1);
  if (!ends_of(operator, 0, 0, MOVING, &x, &y)) return AIOT_BUNDLE_MALFORMED;
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
    if (!ends_of(operator, 1, part, WIDE, &x, &y) || y->rank != x->rank) return AIOT_BUNDLE_MALFORMED;
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

/* SPLIT_V divides an axis into parts of constant sizes. One size may be -1, which means the rest. */
aiot_code aiot_prepare_split_sizes(const aiot_operator *operator) {
  const aiot_operand *x = aiot_operator_input(operator, 0), *y, *sizes = aiot_operator_input(operator, 1);
  const aiot_operand *where = aiot_operator_input(operator, 2);
  const uint32_t parts = operator->outputs.count;
  if (aiot_flatbuffer_i32(&operator->network->file, operator->options, 0, 0) != (int32_t)parts) return AIOT_BUNDLE_MALFORMED;
  if (!aiot_operand_constant(sizes, AIOT_INT32) || !aiot_operand_constant(where, AIOT_INT32)) return AIOT_MODEL_UNSUPPORTED;
  if (sizes->count != (int32_t)parts || where->count != 1) return AIOT_BUNDLE_MALFORMED;
  const int32_t axis = aiot_operand_axis(x, aiot_operand_i32(where, 0));
  if (axis < 0) return AIOT_BUNDLE_MALFORMED;
  int64_t given = 0;
  bool open = false;
  for (uint32_t part = 0; part < parts; part++) {
    const int32_t size = aiot_operand_i32(sizes, (int32_t)part);
    if (size == -1 && open) return AIOT_BUNDLE_MALFORMED;
    open = open || size == -1;
    given += size == -1 ? 0 : size;
  }
  int32_t start = 0;
  for (uint32_t part = 0; part < parts; part++) {
    const int32_t size = aiot_operand_i32(sizes, (int32_t)part);
    const int64_t own = size == -1 ? x->size[axis] - given : size;
    if (!ends_of(operator, 0, part, WIDE, &x, &y) || y->rank != x->rank || y->size[axis] != own) return AIOT_BUNDLE_MALFORMED;
    if (y->size[axis] > x->size[axis] - start) return AIOT_BUNDLE_MALFORMED;
    for (int32_t k = 0; k < x->rank; k++)
      if (k != axis && x->size[k] != y->size[k]) return AIOT_BUNDLE_MALFORMED;
    copy_plan *plan = add_copy(operator, 0, part);
    if (plan == NULL) return AIOT_MEMORY_SHORT;
    const aiot_extent whole = aiot_extent_of(x);
    plan->extent = aiot_extent_of(y);
    plan->target = aiot_places_in(&plan->extent);
    plan->source = aiot_places_in(&whole);
    plan->source.start = start * plan->source.step[axis];
    start += y->size[axis];
  }
  return start == x->size[axis] ? AIOT_OK : AIOT_BUNDLE_MALFORMED;
}

typedef struct {
  int32_t first, step, count;
} slice;

/* One axis of a STRIDED_SLICE, like NumPy's begin:end:step. False = it is empty, or its bounds are unsupported. */
static bool slice_of(int32_t size, int64_t begin, int64_t end, int64_t step, bool open_begin, bool open_end, bool shrink,
                     slice *out) {
  /* Larger steps would overflow in other interpreters. */
  const int64_t largest = (int64_t)1 << 30;
  if (step == 0 || step > largest || step < -largest) return false;
  /* Steps beyond these limits have the same effect as the limits. */
  step = step > size ? size : step < -(int64_t)size ? -(int64_t)size : step;
  const int64_t low = step > 0 ? 0 : -1, high = step > 0 ? size : (int64_t)size - 1;
  begin = begin < 0 ? begin + size : begin;
  end = end < 0 ? end + size : end;
  if (shrink) {
    if (open_begin) begin = 0;
    *out = (slice){(int32_t)begin, 1, 1};
    return step > 0 && begin >= 0 && begin < size;
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
  if (!ends_of(operator, 0, 0, ANY, &x, &y)) return AIOT_BUNDLE_MALFORMED;
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

/* The steps along all axes except one, which the other side of the copy does not have. */
static void skip_axis(const aiot_extent *extent, const aiot_places *places, int32_t axis, aiot_places *out) {
  *out = (aiot_places){.start = 0};
  int32_t to = 0;
  for (int32_t k = 0; k < extent->rank; k++)
    if (k != axis) out->step[to++] = places->step[k];
}

/* PACK joins tensors along a new axis. */
aiot_code aiot_prepare_pack(const aiot_operator *operator) {
  const aiot_operand *x, *y;
  const int32_t parts = (int32_t)operator->inputs.count;
  if (aiot_flatbuffer_i32(&operator->network->file, operator->options, 0, 0) != parts) return AIOT_BUNDLE_MALFORMED;
  for (int32_t part = 0; part < parts; part++) {
    if (!ends_of(operator, (uint32_t)part, 0, WIDE, &x, &y) || y->rank != x->rank + 1) return AIOT_BUNDLE_MALFORMED;
    const int32_t axis = aiot_operand_axis(y, aiot_flatbuffer_i32(&operator->network->file, operator->options, 1, 0));
    if (axis < 0 || y->size[axis] != parts) return AIOT_BUNDLE_MALFORMED;
    for (int32_t k = 0; k < x->rank; k++)
      if (x->size[k] != y->size[k < axis ? k : k + 1]) return AIOT_BUNDLE_MALFORMED;
    copy_plan *plan = add_copy(operator, (uint32_t)part, 0);
    if (plan == NULL) return AIOT_MEMORY_SHORT;
    const aiot_extent whole = aiot_extent_of(y);
    const aiot_places places = aiot_places_in(&whole);
    plan->extent = aiot_extent_of(x);
    plan->source = aiot_places_in(&plan->extent);
    skip_axis(&whole, &places, axis, &plan->target);
    plan->target.start = part * places.step[axis];
  }
  return AIOT_OK;
}

/* UNPACK has one output for each index of an axis. */
aiot_code aiot_prepare_unpack(const aiot_operator *operator) {
  const aiot_operand *x, *y;
  const int32_t parts = (int32_t)operator->outputs.count;
  if (aiot_flatbuffer_i32(&operator->network->file, operator->options, 0, 0) != parts) return AIOT_BUNDLE_MALFORMED;
  for (int32_t part = 0; part < parts; part++) {
    if (!ends_of(operator, 0, (uint32_t)part, WIDE, &x, &y) || x->rank != y->rank + 1) return AIOT_BUNDLE_MALFORMED;
    const int32_t axis = aiot_operand_axis(x, aiot_flatbuffer_i32(&operator->network->file, operator->options, 1, 0));
    if (axis < 0 || x->size[axis] != parts) return AIOT_BUNDLE_MALFORMED;
    for (int32_t k = 0; k < y->rank; k++)
      if (y->size[k] != x->size[k < axis ? k : k + 1]) return AIOT_BUNDLE_MALFORMED;
    copy_plan *plan = add_copy(operator, 0, (uint32_t)part);
    if (plan == NULL) return AIOT_MEMORY_SHORT;
    const aiot_extent whole = aiot_extent_of(x);
    const aiot_places places = aiot_places_in(&whole);
    plan->extent = aiot_extent_of(y);
    plan->target = aiot_places_in(&plan->extent);
    skip_axis(&whole, &places, axis, &plan->source);
    plan->source.start = part * places.step[axis];
  }
  return AIOT_OK;
}

/* SLICE copies a range of each axis. A size of -1 extends to the end. */
aiot_code aiot_prepare_slice(const aiot_operator *operator) {
  const aiot_operand *x, *y, *begin = aiot_operator_input(operator, 1), *size = aiot_operator_input(operator, 2);
  if (!ends_of(operator, 0, 0, ANY, &x, &y) || x->rank != y->rank) return AIOT_BUNDLE_MALFORMED;
  if (!aiot_operand_constant(begin, AIOT_INT32) || !aiot_operand_constant(size, AIOT_INT32)) return AIOT_MODEL_UNSUPPORTED;
  if (begin->count != x->rank || size->count != x->rank) return AIOT_BUNDLE_MALFORMED;
  copy_plan *plan = add_copy(operator, 0, 0);
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  const aiot_extent whole = aiot_extent_of(x);
  plan->extent = aiot_extent_of(y);
  plan->source = aiot_places_in(&whole);
  plan->target = aiot_places_in(&plan->extent);
  for (int32_t k = 0; k < x->rank; k++) {
    const int64_t first = aiot_operand_i32(begin, k), given = aiot_operand_i32(size, k);
    const int64_t count = given == -1 ? x->size[k] - first : given;
    if (first < 0 || count < 1 || first + count > x->size[k] || count != y->size[k]) return AIOT_BUNDLE_MALFORMED;
    plan->source.start += (int32_t)first * plan->source.step[k];
  }
  return AIOT_OK;
}

typedef struct {
  int32_t batches, outer, size, count;
  /* Bytes after the axis. */
  int32_t inner;
} gather_plan;

static void run_gather(const aiot_step *step) {
  const gather_plan *plan = step->plan;
  int8_t *y = step->y;
  for (int32_t batch = 0; batch < plan->batches; batch++)
    for (int32_t outer = 0; outer < plan->outer; outer++)
      for (int32_t i = 0; i < plan->count; i++, y += plan->inner) {
        const aiot_operand taken = {.data = (const uint8_t *)step->x2};
        const int32_t index = aiot_operand_i32(&taken, batch * plan->count + i);
        const int32_t at = index < 0 ? 0 : index < plan->size ? index : plan->size - 1;
        memcpy(y, step->x + ((batch * plan->outer + outer) * plan->size + at) * plan->inner, (size_t)plan->inner);
      }
}

/* GATHER copies the elements at the indices of an axis. For a computed index that does not exist, it copies the nearest element. */
aiot_code aiot_prepare_gather(const aiot_operator *operator) {
  aiot_flatbuffer *file = &operator->network->file;
  const aiot_operand *x, *y, *taken = aiot_operator_input(operator, 1);
  if (!ends_of(operator, 0, 0, NARROW | 1 << AIOT_INT32 | 1 << AIOT_BOOL, &x, &y)) return AIOT_BUNDLE_MALFORMED;
  if (taken->type != AIOT_INT32) return AIOT_MODEL_UNSUPPORTED;
  const int32_t axis = aiot_operand_axis(x, aiot_flatbuffer_i32(file, operator->options, 0, 0));
  const int32_t given = aiot_flatbuffer_i32(file, operator->options, 1, 0), batch_dims = given < 0 ? given + taken->rank : given;
  if (axis < 0 || batch_dims < 0 || batch_dims > axis || batch_dims > taken->rank) return AIOT_BUNDLE_MALFORMED;
  if (x->rank + taken->rank - 1 - batch_dims > AIOT_RANK_MAX) return AIOT_BUNDLE_MALFORMED;
  gather_plan *plan = aiot_network_step(operator->network, run_gather, sizeof *plan, aiot_operator_input_index(operator, 0),
                                        aiot_operator_input_index(operator, 1), aiot_operator_output_index(operator, 0));
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  *plan = (gather_plan){1, 1, x->size[axis], 1, (int32_t)aiot_type_bytes(x->type)};
  int32_t shape[AIOT_RANK_MAX], rank = 0;
  for (int32_t k = 0; k < axis; k++) {
    if (k < batch_dims && taken->size[k] != x->size[k]) return AIOT_BUNDLE_MALFORMED;
    *(k < batch_dims ? &plan->batches : &plan->outer) *= x->size[k];
    shape[rank++] = x->size[k];
  }
  for (int32_t k = batch_dims; k < taken->rank; k++) plan->count *= shape[rank++] = taken->size[k];
  for (int32_t k = axis + 1; k < x->rank; k++) plan->inner *= shape[rank++] = x->size[k];
  for (int32_t i = 0; taken->data != NULL && i < taken->count; i++)
    if (aiot_operand_i32(taken, i) < 0 || aiot_operand_i32(taken, i) >= x->size[axis]) return AIOT_BUNDLE_MALFORMED;
  return aiot_operand_shaped(y, rank, shape) ? AIOT_OK : AIOT_BUNDLE_MALFORMED;
}

/* DEPTH_TO_SPACE and SPACE_TO_DEPTH move blocks between the channels and the image. */
aiot_code aiot_prepare_blocks(const aiot_operator *operator) {
  const aiot_operand *x, *y;
  if (!ends_of(operator, 0, 0, NARROW, &x, &y) || x->rank != 4 || y->rank != 4) return AIOT_BUNDLE_MALFORMED;
  const bool to_space = operator->code == AIOT_DEPTH_TO_SPACE;
  const aiot_operand *deep = to_space ? x : y, *wide = to_space ? y : x;
  const int32_t block = aiot_flatbuffer_i32(&operator->network->file, operator->options, 0, 0);
  if (block < 1 || block > wide->size[1] || block > wide->size[2]) return AIOT_BUNDLE_MALFORMED;
  const int32_t c = wide->size[3];
  if (deep->size[0] != wide->size[0] || (int64_t)deep->size[1] * block != wide->size[1] || (int64_t)deep->size[2] * block != wide->size[2] ||
      deep->size[3] != (int64_t)block * block * c)
    return AIOT_BUNDLE_MALFORMED;
  copy_plan *plan = add_copy(operator, 0, 0);
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  const int32_t h = deep->size[1], w = deep->size[2], depth = deep->size[3];
  plan->extent = (aiot_extent){6, {deep->size[0], h, block, w, block, c}};
  const aiot_places packed = {0, {h * w * depth, w * depth, block * c, depth, c, 1}}, spread = aiot_places_in(&plan->extent);
  plan->source = to_space ? packed : spread;
  plan->target = to_space ? spread : packed;
  return AIOT_OK;
}

/* Number of positions of a block axis whose cell `within` the block is inside the image, and the first of them. */
static int32_t inside(int32_t within, int32_t block, int32_t before, int32_t size, int32_t count, int32_t *first) {
  const int32_t from = before - within, to = size - 1 + before - within;
  *first = from > 0 ? (from + block - 1) / block : 0;
  const int32_t last = to < 0 ? -1 : to / block;
  return (last < count - 1 ? last : count - 1) - *first + 1;
}

/*
 * SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND move the cells of blocks between the image and the batches, with one copy for each
 * position in a block. Padding is the zero point. A shape of three dimensions has no width.
 */
aiot_code aiot_prepare_batches(const aiot_operator *operator) {
  const aiot_operand *x, *y, *block = aiot_operator_input(operator, 1), *paddings = aiot_operator_input(operator, 2);
  if (!ends_of(operator, 0, 0, NARROW, &x, &y)) return AIOT_BUNDLE_MALFORMED;
  if (!aiot_operand_constant(block, AIOT_INT32) || !aiot_operand_constant(paddings, AIOT_INT32)) return AIOT_MODEL_UNSUPPORTED;
  const bool forward = operator->code == AIOT_SPACE_TO_BATCH_ND;
  const aiot_operand *image = forward ? x : y, *batches = forward ? y : x;
  const int32_t spatial = image->rank - 2;
  if (image->rank != batches->rank || spatial < 1 || spatial > 2 || block->count != spatial) return AIOT_MODEL_UNSUPPORTED;
  if (paddings->count != 2 * spatial) return AIOT_BUNDLE_MALFORMED;
  int32_t size[2] = {1, 1}, count[2] = {1, 1}, blocks[2] = {1, 1}, before[2] = {0, 0};
  for (int32_t k = 0; k < spatial; k++) {
    size[k] = image->size[k + 1];
    count[k] = batches->size[k + 1];
    blocks[k] = aiot_operand_i32(block, k);
    before[k] = aiot_operand_i32(paddings, 2 * k);
    const int64_t after = aiot_operand_i32(paddings, 2 * k + 1);
    if (blocks[k] < 1 || before[k] < 0 || after < 0 || (int64_t)count[k] * blocks[k] != (int64_t)size[k] + before[k] + after)
      return AIOT_BUNDLE_MALFORMED;
  }
  const int32_t n = image->size[0], c = image->size[image->rank - 1];
  if (batches->size[batches->rank - 1] != c || batches->size[0] != (int64_t)n * blocks[0] * blocks[1]) return AIOT_BUNDLE_MALFORMED;
  aiot_scale output = {1, 0};
  if (y->type == AIOT_INT8 && !aiot_scale_of(&operator->network->file, y, &output)) return AIOT_BUNDLE_MALFORMED;
  if (forward) {
    fill_plan *fill = aiot_network_step(operator->network, run_fill, sizeof *fill, -1, -1, aiot_operator_output_index(operator, 0));
    if (fill == NULL) return AIOT_MEMORY_SHORT;
    *fill = (fill_plan){y->count, aiot_type_bytes(y->type), NULL, (int8_t)output.zero_point};
  }
  for (int32_t row = 0; row < blocks[0]; row++)
    for (int32_t column = 0; column < blocks[1]; column++) {
      int32_t top = 0, left = 0;
      const int32_t rows = inside(row, blocks[0], before[0], size[0], count[0], &top);
      const int32_t columns = inside(column, blocks[1], before[1], size[1], count[1], &left);
      if (rows < 1 || columns < 1) continue;
      copy_plan *plan = add_copy(operator, 0, 0);
      if (plan == NULL) return AIOT_MEMORY_SHORT;
      plan->extent = (aiot_extent){4, {n, rows, columns, c}};
      const aiot_places outside = {((top * blocks[0] + row - before[0]) * size[1] + left * blocks[1] + column - before[1]) * c,
                                   {size[0] * size[1] * c, blocks[0] * size[1] * c, blocks[1] * c, 1}};
      const aiot_places packed = {(((row * blocks[1] + column) * n * count[0] + top) * count[1] + left) * c,
                                  {count[0] * count[1] * c, count[1] * c, c, 1}};
      plan->source = forward ? outside : packed;
      plan->target = forward ? packed : outside;
    }
  return AIOT_OK;
}

/* FILL with a value that another operator computes. The constant dimensions are those of the output. */
aiot_code aiot_prepare_fill(const aiot_operator *operator) {
  const aiot_operand *x, *y, *dims = aiot_operator_input(operator, 0);
  if (!ends_of(operator, 1, 0, NARROW | 1 << AIOT_INT32, &x, &y) || x->rank != 0) return AIOT_BUNDLE_MALFORMED;
  if (!aiot_operand_constant(dims, AIOT_INT32)) return AIOT_MODEL_UNSUPPORTED;
  if (dims->count != y->rank) return AIOT_BUNDLE_MALFORMED;
  for (int32_t k = 0; k < y->rank; k++)
    if (aiot_operand_i32(dims, k) != y->size[k]) return AIOT_BUNDLE_MALFORMED;
  fill_plan *plan = aiot_network_step(operator->network, run_fill, sizeof *plan, aiot_operator_input_index(operator, 1), -1,
                                      aiot_operator_output_index(operator, 0));
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  *plan = (fill_plan){.count = y->count, .bytes = aiot_type_bytes(y->type)};
  return AIOT_OK;
}

typedef struct {
  int32_t count, from, to;
} cast_plan;

/* A real number without its fraction, modulo 2^32; 0 if it is infinite or not a number. */
static int32_t truncated(float real) {
  int exponent = 0;
  if (!isfinite(real)) return 0;
  const double fraction = frexp((double)real, &exponent);
  if (exponent <= 31) return (int32_t)real;
  /* The number is a multiple of a power of 2, because it has only 24 bits. */
  const int32_t mantissa = (int32_t)(fraction * (1 << 24)), shift = exponent - 24;
  return shift >= 32 ? 0 : (int32_t)((uint32_t)mantissa << shift);
}

/* Converts stored values like a C cast, without scales. Numbers that do not fit wrap. Tensors are not aligned. */
static void run_cast(const aiot_step *step) {
  const cast_plan *plan = step->plan;
  const uint32_t from = aiot_type_bytes(plan->from), to = aiot_type_bytes(plan->to);
  const int8_t *x = step->x;
  int8_t *y = step->y;
  for (int32_t i = 0; i < plan->count; i++, x += from, y += to) {
    float real = 0.0f;
    int32_t whole = 0;
    int16_t half;
    switch (plan->from) {
      case AIOT_FLOAT32:
        memcpy(&real, x, sizeof real);
        whole = plan->to == AIOT_BOOL ? real != 0.0f : truncated(real);
        break;
      case AIOT_INT32:
      case AIOT_UINT32:
        memcpy(&whole, x, sizeof whole);
        break;
      case AIOT_INT16:
        memcpy(&half, x, sizeof half);
        whole = half;
        break;
      default:
        whole = plan->from == AIOT_BOOL ? (uint8_t)*x : *x;
    }
    switch (plan->to) {
      case AIOT_FLOAT32:
        if (plan->from != AIOT_FLOAT32) real = plan->from == AIOT_UINT32 ? (float)(uint32_t)whole : (float)whole;
        memcpy(y, &real, sizeof real);
        break;
      case AIOT_INT32:
      case AIOT_UINT32:
        memcpy(y, &whole, sizeof whole);
        break;
      case AIOT_INT16:
        half = (int16_t)(uint16_t)whole;
        memcpy(y, &half, sizeof half);
        break;
      default:
        *y = plan->to == AIOT_BOOL ? whole != 0 : (int8_t)(uint8_t)whole;
    }
  }
}

static bool castable(int32_t type) {
  return type == AIOT_INT8 || type == AIOT_INT16 || type == AIOT_INT32 || type == AIOT_FLOAT32 || type == AIOT_BOOL;
}

aiot_code aiot_prepare_cast(const aiot_operator *operator) {
  const aiot_operand *x = aiot_operator_input(operator, 0), *y = aiot_operator_output(operator, 0);
  if (x == NULL || y == NULL) return AIOT_BUNDLE_MALFORMED;
  /* uint32 is not converted to or from bool. In C, the conversion of a negative float32 to uint32 is undefined. */
  const bool from = x->type == AIOT_UINT32, to = y->type == AIOT_UINT32;
  if (!(from || castable(x->type)) || !(to || castable(y->type)) || (from && (to || y->type == AIOT_BOOL)) ||
      (to && (x->type == AIOT_BOOL || x->type == AIOT_FLOAT32)))
    return AIOT_MODEL_UNSUPPORTED;
  /* The options repeat both types, or are absent, but must be types. */
  for (unsigned slot = 0; slot < 2; slot++)
    if (aiot_type_bytes(aiot_flatbuffer_i8(&operator->network->file, operator->options, slot, 0)) == 0) return AIOT_MODEL_UNSUPPORTED;
  if (!aiot_operand_shaped(y, x->rank, x->size)) return AIOT_BUNDLE_MALFORMED;
  cast_plan *plan = aiot_network_step(operator->network, run_cast, sizeof *plan, aiot_operator_input_index(operator, 0), -1,
                                      aiot_operator_output_index(operator, 0));
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  *plan = (cast_plan){x->count, x->type, y->type};
  return AIOT_OK;
}
