/* ADD, SUB and MUL on int8, with NumPy's broadcasting. */
#include "kernels.h"
#include "quantized.h"
#include "walk.h"

/* Fractional bits used by ADD and SUB. */
enum { SUM_BITS = 20 };

typedef struct {
  aiot_extent extent;
  aiot_places first, second;
  aiot_ratio first_ratio, second_ratio, ratio;
  int32_t first_zero, second_zero, output_zero;
  int32_t sign;
  aiot_range range;
} arithmetic_plan;

static int32_t sum_of(const arithmetic_plan *plan, int32_t a, int32_t b) {
  const int32_t u = aiot_ratio_times((a - plan->first_zero) * (1 << SUM_BITS), plan->first_ratio);
  const int32_t v = aiot_ratio_times((b - plan->second_zero) * (1 << SUM_BITS), plan->second_ratio);
  return aiot_ratio_times(u + plan->sign * v, plan->ratio);
}

static int32_t product_of(const arithmetic_plan *plan, int32_t a, int32_t b) {
  return aiot_ratio_times((a - plan->first_zero) * (b - plan->second_zero), plan->ratio);
}

static void run(const aiot_step *step, int32_t (*of)(const arithmetic_plan *, int32_t, int32_t)) {
  const arithmetic_plan *plan = step->plan;
  const int32_t count = aiot_extent_count(&plan->extent);
  aiot_odometer odometer = {{0}};
  int32_t a = 0, b = 0;
  for (int32_t i = 0; i < count; i++) {
    step->y[i] = aiot_range_clamp(plan->range, of(plan, step->x[a], step->x2[b]) + plan->output_zero);
    aiot_odometer_next(&odometer, &plan->extent, &plan->first, &a, &plan->second, &b);
  }
}

static void run_sum(const aiot_step *step) {
  run(step, sum_of);
}

static void run_product(const aiot_step *step) {
  run(step, product_of);
}

/* Positions of an operand's elements by an index of the output; shapes are aligned at their last axis. False = it cannot be broadcast. */
static bool broadcast(const aiot_operand *operand, const aiot_extent *output, aiot_places *out) {
  const aiot_extent own = aiot_extent_of(operand);
  const aiot_places places = aiot_places_in(&own);
  const int32_t missing = output->rank - own.rank;
  *out = (aiot_places){.start = 0};
  if (missing < 0) return false;
  for (int32_t axis = 0; axis < own.rank; axis++) {
    if (own.size[axis] != 1 && own.size[axis] != output->size[axis + missing]) return false;
    out->step[axis + missing] = own.size[axis] == 1 ? 0 : places.step[axis];
  }
  return true;
}

/* Whether, on each axis, at least one operand has the output's size; an output larger than both is invalid. */
static bool covered(const aiot_extent *output, const aiot_places *a, const aiot_places *b) {
  for (int32_t axis = 0; axis < output->rank; axis++)
    if (output->size[axis] != 1 && a->step[axis] == 0 && b->step[axis] == 0) return false;
  return true;
}

typedef struct {
  aiot_scale a, b, output;
} scales;

static aiot_code prepare(const aiot_operator *operator, void (*step)(const aiot_step *), arithmetic_plan **out, scales *of) {
  aiot_flatbuffer *file = &operator->network->file;
  const aiot_operand *a = aiot_operator_input(operator, 0), *b = aiot_operator_input(operator, 1);
  const aiot_operand *y = aiot_operator_output(operator, 0);
  if (a == NULL || b == NULL || y == NULL) return AIOT_BUNDLE_MALFORMED;
  if (!aiot_scale_of(file, a, &of->a) || !aiot_scale_of(file, b, &of->b) || !aiot_scale_of(file, y, &of->output))
    return AIOT_BUNDLE_MALFORMED;
  arithmetic_plan *plan =
      aiot_network_step(operator->network, step, sizeof *plan, aiot_operator_input_index(operator, 0),
                        aiot_operator_input_index(operator, 1), aiot_operator_output_index(operator, 0));
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  plan->extent = aiot_extent_of(y);
  if (y->rank != (a->rank > b->rank ? a->rank : b->rank)) return AIOT_BUNDLE_MALFORMED;
  if (!broadcast(a, &plan->extent, &plan->first) || !broadcast(b, &plan->extent, &plan->second) ||
      !covered(&plan->extent, &plan->first, &plan->second))
    return AIOT_BUNDLE_MALFORMED;
  plan->first_zero = of->a.zero_point;
  plan->second_zero = of->b.zero_point;
  plan->output_zero = of->output.zero_point;
  *out = plan;
  const int32_t activation = aiot_flatbuffer_i8(file, operator->options, 0, 0);
  return aiot_range_of(of->output, activation, &plan->range) ? AIOT_OK : AIOT_MODEL_UNSUPPORTED;
}

aiot_code aiot_prepare_sum(const aiot_operator *operator) {
  arithmetic_plan *plan;
  scales of;
  const aiot_code code = prepare(operator, run_sum, &plan, &of);
  if (code != AIOT_OK) return code;
  /* Both operands are scaled to twice the larger scale, added, and rescaled to the output (TFLite's reference add.h). */
  const double twice = 2.0 * (of.a.scale > of.b.scale ? of.a.scale : of.b.scale);
  const double last = twice / ((double)(1 << SUM_BITS) * of.output.scale);
  plan->sign = operator->code == AIOT_SUB ? -1 : 1;
  if (!(last < 1.0) || !aiot_ratio_of(of.a.scale / twice, &plan->first_ratio) ||
      !aiot_ratio_of(of.b.scale / twice, &plan->second_ratio) || !aiot_ratio_of(last, &plan->ratio))
    return AIOT_BUNDLE_MALFORMED;
  return AIOT_OK;
}

aiot_code aiot_prepare_product(const aiot_operator *operator) {
  arithmetic_plan *plan;
  scales of;
  const aiot_code code = prepare(operator, run_product, &plan, &of);
  if (code != AIOT_OK) return code;
  return aiot_ratio_of(of.a.scale * of.b.scale / of.output.scale, &plan->ratio) ? AIOT_OK : AIOT_BUNDLE_MALFORMED;
}
