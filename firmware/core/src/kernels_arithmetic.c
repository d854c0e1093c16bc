/* Operators with two or three int8 inputs, or one or two conditions, which are broadcast by NumPy's rule. */
#include "kernels.h"
#include "quantized.h"
#include "walk.h"

/* Number of fractional bits that ADD and SUB, SQUARED_DIFFERENCE, and comparisons use. */
enum { SUM_BITS = 20, DIFFERENCE_BITS = 7, COMPARISON_BITS = 8 };

typedef struct {
  aiot_extent extent;
  aiot_places first, second;
  aiot_ratio first_ratio, second_ratio, ratio;
  int32_t first_zero, second_zero, output_zero;
  int32_t sign, code;
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

static int32_t squared_difference_of(const arithmetic_plan *plan, int32_t a, int32_t b) {
  const int32_t u = aiot_ratio_times((a - plan->first_zero) * (1 << DIFFERENCE_BITS), plan->first_ratio);
  const int32_t v = aiot_ratio_times((b - plan->second_zero) * (1 << DIFFERENCE_BITS), plan->second_ratio);
  return aiot_ratio_times((u - v) * (u - v), plan->ratio);
}

static int32_t prelu_of(const arithmetic_plan *plan, int32_t a, int32_t b) {
  const int32_t d = a - plan->first_zero;
  return d >= 0 ? aiot_ratio_times(d, plan->first_ratio) : aiot_ratio_times(d * (b - plan->second_zero), plan->ratio);
}

static int32_t choice_of(const arithmetic_plan *plan, int32_t a, int32_t b) {
  return plan->code == AIOT_MAXIMUM ? (a > b ? a : b) : a < b ? a : b;
}

static int32_t comparison_of(const arithmetic_plan *plan, int32_t a, int32_t b) {
  const int32_t u = aiot_ratio_times((a - plan->first_zero) * (1 << COMPARISON_BITS), plan->first_ratio);
  const int32_t v = aiot_ratio_times((b - plan->second_zero) * (1 << COMPARISON_BITS), plan->second_ratio);
  switch (plan->code) {
    case AIOT_EQUAL:
      return u == v;
    case AIOT_NOT_EQUAL:
      return u != v;
    case AIOT_GREATER:
      return u > v;
    case AIOT_GREATER_EQUAL:
      return u >= v;
    case AIOT_LESS:
      return u < v;
    default:
      return u <= v;
  }
}

/* A condition is a byte, which is true unless it is 0. LOGICAL_NOT receives its only input twice. */
static int32_t logic_of(const arithmetic_plan *plan, int32_t a, int32_t b) {
  switch (plan->code) {
    case AIOT_LOGICAL_AND:
      return a != 0 && b != 0;
    case AIOT_LOGICAL_OR:
      return a != 0 || b != 0;
    default:
      return a == 0;
  }
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

static void run_squared_difference(const aiot_step *step) {
  run(step, squared_difference_of);
}

static void run_prelu(const aiot_step *step) {
  run(step, prelu_of);
}

static void run_choice(const aiot_step *step) {
  run(step, choice_of);
}

static void run_comparison(const aiot_step *step) {
  run(step, comparison_of);
}

static void run_logic(const aiot_step *step) {
  run(step, logic_of);
}

/*
 * Steps between an operand's elements along the output's axes. Shapes are aligned at their last axis. False = the operand cannot
 * be broadcast.
 */
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

/* Whether, on each axis, at least one operand has the output's size. An output that is larger than both is invalid. */
static bool covered(const aiot_extent *output, const aiot_places *a, const aiot_places *b) {
  for (int32_t axis = 0; axis < output->rank; axis++)
    if (output->size[axis] != 1 && a->step[axis] == 0 && b->step[axis] == 0) return false;
  return true;
}

typedef struct {
  aiot_scale a, b, output;
} scales;

/* The scale of an int8 operand, or of a condition, whose values are 0 and 1. */
static bool scale_of(aiot_flatbuffer *file, const aiot_operand *operand, bool is_condition, aiot_scale *out) {
  *out = (aiot_scale){1.0, 0};
  return is_condition ? operand->type == AIOT_BOOL : aiot_scale_of(file, operand, out);
}

static aiot_code prepare(const aiot_operator *operator, void (*step)(const aiot_step *), arithmetic_plan **out, scales *of) {
  aiot_flatbuffer *file = &operator->network->file;
  const uint32_t second = operator->inputs.count - 1;
  const aiot_operand *a = aiot_operator_input(operator, 0), *b = aiot_operator_input(operator, second);
  const aiot_operand *y = aiot_operator_output(operator, 0);
  if (a == NULL || b == NULL || y == NULL) return AIOT_BUNDLE_MALFORMED;
  const bool is_logic = step == run_logic;
  if (!scale_of(file, a, is_logic, &of->a) || !scale_of(file, b, is_logic, &of->b) ||
      !scale_of(file, y, is_logic || step == run_comparison, &of->output))
    return AIOT_BUNDLE_MALFORMED;
  arithmetic_plan *plan =
      aiot_network_step(operator->network, step, sizeof *plan, aiot_operator_input_index(operator, 0),
                        aiot_operator_input_index(operator, second), aiot_operator_output_index(operator, 0));
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  plan->extent = aiot_extent_of(y);
  if (y->rank != (a->rank > b->rank ? a->rank : b->rank)) return AIOT_BUNDLE_MALFORMED;
  if (!broadcast(a, &plan->extent, &plan->first) || !broadcast(b, &plan->extent, &plan->second) ||
      !covered(&plan->extent, &plan->first, &plan->second))
    return AIOT_BUNDLE_MALFORMED;
  plan->code = operator->code;
  plan->first_zero = of->a.zero_point;
  plan->second_zero = of->b.zero_point;
  plan->output_zero = of->output.zero_point;
  *out = plan;
  /* The other operators have no option. */
  const bool fused = operator->code == AIOT_ADD || operator->code == AIOT_SUB || operator->code == AIOT_MUL;
  const int32_t activation = fused ? aiot_flatbuffer_i8(file, operator->options, 0, 0) : 0;
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

aiot_code aiot_prepare_squared_difference(const aiot_operator *operator) {
  arithmetic_plan *plan;
  scales of;
  const aiot_code code = prepare(operator, run_squared_difference, &plan, &of);
  if (code != AIOT_OK) return code;
  const double twice = 2.0 * (of.a.scale > of.b.scale ? of.a.scale : of.b.scale);
  const double last = twice * twice / ((double)(1 << 2 * DIFFERENCE_BITS) * of.output.scale);
  return aiot_ratio_of(of.a.scale / twice, &plan->first_ratio) && aiot_ratio_of(of.b.scale / twice, &plan->second_ratio) &&
                 aiot_ratio_of(last, &plan->ratio)
             ? AIOT_OK
             : AIOT_BUNDLE_MALFORMED;
}

/* PRELU. The slopes are constants. */
aiot_code aiot_prepare_prelu(const aiot_operator *operator) {
  arithmetic_plan *plan;
  scales of;
  if (!aiot_operand_constant(aiot_operator_input(operator, 1), AIOT_INT8)) return AIOT_MODEL_UNSUPPORTED;
  const aiot_code code = prepare(operator, run_prelu, &plan, &of);
  if (code != AIOT_OK) return code;
  return aiot_ratio_of(of.a.scale / of.output.scale, &plan->first_ratio) &&
                 aiot_ratio_of(of.a.scale * of.b.scale / of.output.scale, &plan->ratio)
             ? AIOT_OK
             : AIOT_BUNDLE_MALFORMED;
}

/* MAXIMUM and MINIMUM. Values are only compared, so all must have the same scale. */
aiot_code aiot_prepare_choice(const aiot_operator *operator) {
  arithmetic_plan *plan;
  scales of;
  const aiot_code code = prepare(operator, run_choice, &plan, &of);
  if (code != AIOT_OK) return code;
  plan->output_zero = 0;
  aiot_flatbuffer *file = &operator->network->file;
  const aiot_operand *y = aiot_operator_output(operator, 0);
  return aiot_scale_same(file, aiot_operator_input(operator, 0), y) && aiot_scale_same(file, aiot_operator_input(operator, 1), y)
             ? AIOT_OK
             : AIOT_BUNDLE_MALFORMED;
}

/* Comparisons. The multipliers of both sides are derived from their scales. */
aiot_code aiot_prepare_comparison(const aiot_operator *operator) {
  arithmetic_plan *plan;
  scales of;
  const aiot_code code = prepare(operator, run_comparison, &plan, &of);
  if (code != AIOT_OK) return code;
  if (of.a.scale >= 1.0 || of.b.scale >= 1.0) return AIOT_MODEL_UNSUPPORTED;
  return aiot_ratio_of(of.a.scale, &plan->first_ratio) && aiot_ratio_of(of.b.scale, &plan->second_ratio) ? AIOT_OK
                                                                                                        : AIOT_BUNDLE_MALFORMED;
}

aiot_code aiot_prepare_logic(const aiot_operator *operator) {
  arithmetic_plan *plan;
  scales of;
  return prepare(operator, run_logic, &plan, &of);
}

typedef struct {
  aiot_extent extent;
  aiot_places condition, first, second;
} select_plan;

static void run_select(const aiot_step *step) {
  const select_plan *plan = step->plan;
  const int32_t count = aiot_extent_count(&plan->extent);
  aiot_odometer odometer = {{0}}, other = {{0}};
  int32_t at = 0, a = 0, b = 0, unused = 0;
  for (int32_t i = 0; i < count; i++) {
    step->y[i] = step->x[at] != 0 ? step->x2[a] : step->x3[b];
    aiot_odometer_next(&odometer, &plan->extent, &plan->condition, &at, &plan->first, &a);
    aiot_odometer_next(&other, &plan->extent, &plan->second, &b, &plan->second, &unused);
  }
}

aiot_code aiot_prepare_select(const aiot_operator *operator) {
  aiot_flatbuffer *file = &operator->network->file;
  const aiot_operand *condition = aiot_operator_input(operator, 0), *y = aiot_operator_output(operator, 0);
  const aiot_operand *a = aiot_operator_input(operator, 1), *b = aiot_operator_input(operator, 2);
  if (condition == NULL || a == NULL || b == NULL || y == NULL || condition->type != AIOT_BOOL) return AIOT_BUNDLE_MALFORMED;
  if (!aiot_scale_same(file, a, y) || !aiot_scale_same(file, b, y)) return AIOT_BUNDLE_MALFORMED;
  select_plan *plan =
      aiot_network_step(operator->network, run_select, sizeof *plan, aiot_operator_input_index(operator, 0),
                        aiot_operator_input_index(operator, 1), aiot_operator_output_index(operator, 0));
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  aiot_network_third(operator->network, aiot_operator_input_index(operator, 2));
  plan->extent = aiot_extent_of(y);
  if (!broadcast(condition, &plan->extent, &plan->condition) || !broadcast(a, &plan->extent, &plan->first) ||
      !broadcast(b, &plan->extent, &plan->second))
    return AIOT_BUNDLE_MALFORMED;
  for (int32_t axis = 0; axis < y->rank; axis++)
    if (y->size[axis] != 1 && plan->condition.step[axis] == 0 && plan->first.step[axis] == 0 && plan->second.step[axis] == 0)
      return AIOT_BUNDLE_MALFORMED;
  const int32_t most = condition->rank > a->rank ? condition->rank : a->rank;
  return y->rank == (most > b->rank ? most : b->rank) ? AIOT_OK : AIOT_BUNDLE_MALFORMED;
}
