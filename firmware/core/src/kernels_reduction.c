/* MEAN, SUM, REDUCE_MAX and REDUCE_MIN over constant axes; ARG_MAX and ARG_MIN along one, on int8 and float32. */
#include <float.h>
#include <string.h>

#include "kernels.h"
#include "quantized.h"
#include "real.h"
#include "walk.h"

typedef struct {
  /* An index over the output, and an index over the inputs that are reduced to one output element. */
  aiot_extent kept, reduced;
  aiot_places places;
  int32_t code, type;
  aiot_ratio ratio;
  int32_t offset, output_zero;
} reduction_plan;

static int32_t reduce(const reduction_plan *plan, const int8_t *x, int32_t at) {
  aiot_odometer odometer = {{0}};
  int32_t unused = 0, most = INT16_MIN, least = INT16_MAX;
  /* Sums wrap like int32 in the reference kernels. */
  uint32_t sum = 0;
  for (int32_t left = aiot_extent_count(&plan->reduced); left > 0; left--) {
    const int32_t value = aiot_load(x, plan->type, at);
    sum += (uint32_t)value;
    if (value > most) most = value;
    if (value < least) least = value;
    aiot_odometer_next(&odometer, &plan->reduced, &plan->places, &at, &plan->places, &unused);
  }
  if (plan->code == AIOT_REDUCE_MAX) return most;
  if (plan->code == AIOT_REDUCE_MIN) return least;
  const int32_t value = aiot_ratio_times((int32_t)(sum - (uint32_t)plan->offset), plan->ratio) + plan->output_zero;
  return aiot_range_limit(aiot_range_whole(plan->type), value);
}

/* A mean is computed in double precision, and a sum in single precision. */
static float real_reduce(const reduction_plan *plan, const int8_t *x, int32_t at) {
  aiot_odometer odometer = {{0}};
  const int32_t count = aiot_extent_count(&plan->reduced);
  int32_t unused = 0;
  float sum = 0.0f, most = -FLT_MAX, least = FLT_MAX;
  double wide = 0.0;
  for (int32_t left = count; left > 0; left--) {
    const float value = aiot_real_at(x, at);
    sum += value;
    wide += (double)value;
    if (value > most) most = value;
    if (value < least) least = value;
    aiot_odometer_next(&odometer, &plan->reduced, &plan->places, &at, &plan->places, &unused);
  }
  if (plan->code == AIOT_REDUCE_MAX) return most;
  if (plan->code == AIOT_REDUCE_MIN) return least;
  return plan->code == AIOT_MEAN ? (float)(wide / count) : sum;
}

static void run_reduction(const aiot_step *step) {
  const reduction_plan *plan = step->plan;
  const int32_t count = aiot_extent_count(&plan->kept);
  aiot_odometer odometer = {{0}};
  int32_t at = 0, unused = 0;
  for (int32_t i = 0; i < count; i++) {
    if (plan->type == AIOT_FLOAT32) aiot_real_set(step->y, i, real_reduce(plan, step->x, at));
    else aiot_store(step->y, plan->type, i, reduce(plan, step->x, at));
    aiot_odometer_next(&odometer, &plan->kept, &plan->places, &at, &plan->places, &unused);
  }
}

/* Includes the division by the count in the multiplier, with as many bits as fit (TFLite's QuantizedMeanOrSum). */
static void divide(aiot_ratio *ratio, int32_t count) {
  int32_t bits = 0;
  while (count >> (bits + 1) != 0) bits++;
  if (bits > 31 + ratio->shift) bits = 31 + ratio->shift;
  ratio->multiplier = (int32_t)(((int64_t)ratio->multiplier << bits) / count);
  ratio->shift -= bits;
}

aiot_code aiot_prepare_reduction(const aiot_operator *operator) {
  aiot_flatbuffer *file = &operator->network->file;
  const aiot_operand *x = aiot_operator_input(operator, 0), *y = aiot_operator_output(operator, 0);
  const aiot_operand *axes = aiot_operator_input(operator, 1);
  if (x == NULL || y == NULL) return AIOT_BUNDLE_MALFORMED;
  if (!aiot_operand_constant(axes, AIOT_INT32)) return AIOT_MODEL_UNSUPPORTED;
  reduction_plan *plan = aiot_network_step(operator->network, run_reduction, sizeof *plan,
                                           aiot_operator_input_index(operator, 0), -1, aiot_operator_output_index(operator, 0));
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  plan->kept = plan->reduced = aiot_extent_of(x);
  plan->places = aiot_places_in(&plan->kept);
  bool gone[AIOT_RANK_MAX] = {false};
  for (int32_t i = 0; i < axes->count; i++) {
    const int32_t axis = aiot_operand_axis(x, aiot_operand_i32(axes, i));
    if (axis < 0) return AIOT_BUNDLE_MALFORMED;
    gone[axis] = true;
  }
  int32_t shape[AIOT_RANK_MAX], rank = 0, count = 1;
  const bool keep = aiot_flatbuffer_i8(file, operator->options, 0, 0) != 0;
  for (int32_t axis = 0; axis < x->rank; axis++) {
    if (gone[axis]) {
      count *= x->size[axis];
      plan->kept.size[axis] = 1;
    } else {
      plan->reduced.size[axis] = 1;
    }
    if (keep || !gone[axis]) shape[rank++] = plan->kept.size[axis];
  }
  if (!aiot_operand_shaped(y, rank, shape)) return AIOT_BUNDLE_MALFORMED;
  plan->type = x->type;
  plan->code = operator->code;
  if (aiot_is_real(x)) return aiot_is_real(y) ? AIOT_OK : AIOT_BUNDLE_MALFORMED;
  aiot_scale input, output;
  if (x->type != y->type || !aiot_activation_scale_of(file, x, &input) || !aiot_activation_scale_of(file, y, &output))
    return AIOT_BUNDLE_MALFORMED;
  /* The quantizations must be exactly equal, because TFLite Micro otherwise fails at run time. */
  if (plan->code == AIOT_REDUCE_MAX || plan->code == AIOT_REDUCE_MIN)
    return input.scale == output.scale && input.zero_point == output.zero_point ? AIOT_OK : AIOT_BUNDLE_MALFORMED;
  if (!aiot_ratio_of(input.scale / output.scale, &plan->ratio)) return AIOT_BUNDLE_MALFORMED;
  if (plan->code == AIOT_MEAN) divide(&plan->ratio, count);
  plan->offset = (int32_t)((uint32_t)input.zero_point * (uint32_t)count);
  plan->output_zero = output.zero_point;
  return plan->ratio.shift >= -31 ? AIOT_OK : AIOT_MODEL_UNSUPPORTED;
}

typedef struct {
  /* Number of elements before, along and after the axis. */
  int32_t outer, size, inner;
  bool largest;
} position_plan;

/* The first position of the largest or smallest value along the axis. */
static void run_position(const aiot_step *step) {
  const position_plan *plan = step->plan;
  const int8_t *x = step->x;
  int8_t *y = step->y;
  for (int32_t o = 0; o < plan->outer; o++, x += plan->size * plan->inner) {
    for (int32_t i = 0; i < plan->inner; i++, y += sizeof(int32_t)) {
      int32_t best = 0;
      for (int32_t k = 1; k < plan->size; k++) {
        const int8_t value = x[k * plan->inner + i], most = x[best * plan->inner + i];
        if (plan->largest ? value > most : value < most) best = k;
      }
      /* Tensors are not aligned. */
      memcpy(y, &best, sizeof best);
    }
  }
}

static void run_real_position(const aiot_step *step) {
  const position_plan *plan = step->plan;
  int32_t to = 0;
  for (int32_t o = 0; o < plan->outer; o++)
    for (int32_t i = 0; i < plan->inner; i++) {
      const int32_t start = o * plan->size * plan->inner + i;
      int32_t best = 0;
      for (int32_t k = 1; k < plan->size; k++) {
        const float value = aiot_real_at(step->x, start + k * plan->inner), most = aiot_real_at(step->x, start + best * plan->inner);
        if (plan->largest ? value > most : value < most) best = k;
      }
      aiot_store(step->y, AIOT_INT32, to++, best);
    }
}

aiot_code aiot_prepare_position(const aiot_operator *operator) {
  const aiot_operand *x = aiot_operator_input(operator, 0), *y = aiot_operator_output(operator, 0);
  const aiot_operand *where = aiot_operator_input(operator, 1);
  aiot_scale scale;
  if (x == NULL || y == NULL || (!aiot_is_real(x) && !aiot_scale_of(&operator->network->file, x, &scale))) return AIOT_BUNDLE_MALFORMED;
  if (y->type != AIOT_INT32 || !aiot_operand_constant(where, AIOT_INT32)) return AIOT_MODEL_UNSUPPORTED;
  /* The option repeats the output's type, or is absent, but must be a type. */
  if (aiot_type_bytes(aiot_flatbuffer_i8(&operator->network->file, operator->options, 0, 0)) == 0) return AIOT_MODEL_UNSUPPORTED;
  const int32_t axis = where->count == 1 ? aiot_operand_axis(x, aiot_operand_i32(where, 0)) : -1;
  if (axis < 0) return AIOT_BUNDLE_MALFORMED;
  position_plan *plan = aiot_network_step(operator->network, aiot_is_real(x) ? run_real_position : run_position, sizeof *plan,
                                          aiot_operator_input_index(operator, 0), -1, aiot_operator_output_index(operator, 0));
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  *plan = (position_plan){1, x->size[axis], 1, operator->code == AIOT_ARG_MAX};
  int32_t shape[AIOT_RANK_MAX], rank = 0;
  for (int32_t k = 0; k < x->rank; k++) {
    if (k < axis) plan->outer *= x->size[k];
    if (k > axis) plan->inner *= x->size[k];
    if (k != axis) shape[rank++] = x->size[k];
  }
  return aiot_operand_shaped(y, rank, shape) ? AIOT_OK : AIOT_BUNDLE_MALFORMED;
}
