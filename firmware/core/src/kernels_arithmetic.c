/* Operators with two or three inputs, or with one of bool, which are broadcast by NumPy's rule. */
#include <math.h>

#include "aiot/fixed_point.h"
#include "fixed_functions.h"
#include "kernels.h"
#include "quantized.h"
#include "real.h"
#include "walk.h"

/* Number of fractional bits that ADD and SUB, SQUARED_DIFFERENCE, and comparisons use, for int8 and for int16. */
enum { SUM_BITS = 20, WIDE_SUM_BITS = 15, DIFFERENCE_BITS = 7, COMPARISON_BITS = 8 };

typedef struct {
  aiot_extent extent;
  aiot_places first, second;
  aiot_ratio first_ratio, second_ratio, ratio;
  int32_t first_zero, second_zero, output_zero;
  int32_t sign, code;
  /* Types of both inputs and of the output, and the fractional bits (for float32, the activation). */
  int32_t first_type, second_type, type, bits;
  aiot_range range;
} arithmetic_plan;

/* Products wrap like int32 in the reference kernels; signed overflow is undefined (C11, 6.5). */
static int32_t multiplied(int32_t a, int32_t b) {
  return (int32_t)((uint32_t)a * (uint32_t)b);
}

static int32_t sum_of(const arithmetic_plan *plan, int32_t a, int32_t b) {
  const int32_t u = aiot_ratio_times((a - plan->first_zero) * (1 << plan->bits), plan->first_ratio);
  const int32_t v = aiot_ratio_times((b - plan->second_zero) * (1 << plan->bits), plan->second_ratio);
  return aiot_ratio_times(u + plan->sign * v, plan->ratio);
}

static int32_t product_of(const arithmetic_plan *plan, int32_t a, int32_t b) {
  return aiot_ratio_times((a - plan->first_zero) * (b - plan->second_zero), plan->ratio);
}

/* The largest shift of a quotient's ratio of scales. The highest bit of a difference of two int8 values is at most bit 7. */
enum { QUOTIENT_SHIFT = 23 };

/*
 * DIV on int8: the dividend, without its leading zeros, times the reciprocal of the divisor, times the ratio of scales. A division by 0
 * yields 0, and so does a dividend that TFLite Micro would shift by more than 31 bits, which is undefined.
 */
static int32_t quotient_of(const arithmetic_plan *plan, int32_t a, int32_t b) {
  const int32_t distance = a - plan->first_zero, divisor = b - plan->second_zero;
  if (divisor == 0) return 0;
  const int32_t dividend = divisor < 0 ? -distance : distance, size = divisor < 0 ? -divisor : divisor;
  const uint32_t magnitude = (uint32_t)(dividend < 0 ? ~dividend : dividend);
  int headroom = 0, bits = 0;
  while (headroom < 31 && (magnitude << headroom & (uint32_t)1 << 30) == 0) headroom++;
  while (size >> bits > 1) bits++;
  const int32_t inverse = aiot_reciprocal_of_one_plus((int32_t)(((uint32_t)size << (31 - bits)) - ((uint32_t)1 << 31)));
  const int32_t quotient = aiot_doubling_high_multiply((int32_t)((uint32_t)dividend << headroom), inverse);
  const int32_t scaled = aiot_doubling_high_multiply(quotient, plan->ratio.multiplier);
  const int exponent = headroom + bits - plan->ratio.shift;
  return exponent > 31 ? 0 : aiot_rounding_shift_right(scaled, exponent);
}

static int32_t squared_difference_of(const arithmetic_plan *plan, int32_t a, int32_t b) {
  const int32_t u = aiot_ratio_times((a - plan->first_zero) * (1 << plan->bits), plan->first_ratio);
  const int32_t v = aiot_ratio_times((b - plan->second_zero) * (1 << plan->bits), plan->second_ratio);
  return aiot_ratio_times(multiplied(u - v, u - v), plan->ratio);
}

static int32_t prelu_of(const arithmetic_plan *plan, int32_t a, int32_t b) {
  const int32_t d = a - plan->first_zero;
  return d >= 0 ? aiot_ratio_times(d, plan->first_ratio) : aiot_ratio_times(d * (b - plan->second_zero), plan->ratio);
}

static int32_t choice_of(const arithmetic_plan *plan, int32_t a, int32_t b) {
  return plan->code == AIOT_MAXIMUM ? (a > b ? a : b) : a < b ? a : b;
}

/* An operator on int32, whose results wrap. A quotient is truncated; that of a division by 0 is 0. */
static int32_t whole_of(const arithmetic_plan *plan, int32_t a, int32_t b) {
  const int32_t difference = (int32_t)((uint32_t)a - (uint32_t)b);
  switch (plan->code) {
    case AIOT_ADD:
      return (int32_t)((uint32_t)a + (uint32_t)b);
    case AIOT_SUB:
      return difference;
    case AIOT_MUL:
      return multiplied(a, b);
    case AIOT_SQUARED_DIFFERENCE:
      return multiplied(difference, difference);
    default:
      return b == 0 ? 0 : (int32_t)(uint32_t)((int64_t)a / b);
  }
}

static float real_of(const arithmetic_plan *plan, float a, float b) {
  const float difference = a - b;
  switch (plan->code) {
    case AIOT_ADD:
      return a + b;
    case AIOT_SUB:
      return difference;
    case AIOT_MUL:
      return a * b;
    case AIOT_DIV:
      return a / b;
    case AIOT_MAXIMUM:
      return a > b ? a : b;
    case AIOT_MINIMUM:
      return a < b ? a : b;
    case AIOT_SQUARED_DIFFERENCE:
      return difference * difference;
    case AIOT_PRELU:
      return a >= 0.0f ? a : a * b;
    default: {
      /* FLOOR_MOD. */
      const float rest = fmodf(a, b);
      return rest != 0.0f && (b < 0.0f) != (rest < 0.0f) ? rest + b : rest;
    }
  }
}

static bool real_holds(const arithmetic_plan *plan, float a, float b) {
  switch (plan->code) {
    case AIOT_EQUAL:
      return a == b;
    case AIOT_NOT_EQUAL:
      return a != b;
    case AIOT_GREATER:
      return a > b;
    case AIOT_GREATER_EQUAL:
      return a >= b;
    case AIOT_LESS:
      return a < b;
    default:
      return a <= b;
  }
}

static void run_real(const aiot_step *step) {
  const arithmetic_plan *plan = step->plan;
  const int32_t count = aiot_extent_count(&plan->extent);
  aiot_odometer odometer = {{0}};
  int32_t a = 0, b = 0;
  for (int32_t i = 0; i < count; i++) {
    const float first = aiot_real_at(step->x, a), second = aiot_real_at(step->x2, b);
    if (plan->type == AIOT_BOOL) step->y[i] = real_holds(plan, first, second);
    else aiot_real_set(step->y, i, (float)aiot_real_limit(plan->bits, (double)real_of(plan, first, second)));
    aiot_odometer_next(&odometer, &plan->extent, &plan->first, &a, &plan->second, &b);
  }
}

static int32_t comparison_of(const arithmetic_plan *plan, int32_t a, int32_t b) {
  const bool scaled = plan->first_type == AIOT_INT8;
  const int32_t u = scaled ? aiot_ratio_times((a - plan->first_zero) * (1 << COMPARISON_BITS), plan->first_ratio) : a;
  const int32_t v = scaled ? aiot_ratio_times((b - plan->second_zero) * (1 << COMPARISON_BITS), plan->second_ratio) : b;
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
  if (plan->first_type == AIOT_INT16 || plan->first_type == AIOT_INT32) {
    for (int32_t i = 0; i < count; i++) {
      const int32_t value = of(plan, aiot_load(step->x, plan->first_type, a), aiot_load(step->x2, plan->second_type, b));
      aiot_store(step->y, plan->type, i, plan->first_type == AIOT_INT32 ? value : aiot_range_limit(plan->range, value));
      aiot_odometer_next(&odometer, &plan->extent, &plan->first, &a, &plan->second, &b);
    }
    return;
  }
  for (int32_t i = 0; i < count; i++) {
    step->y[i] = aiot_range_clamp(plan->range, of(plan, step->x[a], step->x2[b]) + plan->output_zero);
    aiot_odometer_next(&odometer, &plan->extent, &plan->first, &a, &plan->second, &b);
  }
}

static void run_whole(const aiot_step *step) {
  run(step, whole_of);
}

static void run_sum(const aiot_step *step) {
  run(step, sum_of);
}

static void run_product(const aiot_step *step) {
  run(step, product_of);
}

static void run_quotient(const aiot_step *step) {
  run(step, quotient_of);
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

/* The scale of an operand of this type. Those of int32, float32 and conditions have none. */
static bool scale_of(aiot_flatbuffer *file, const aiot_operand *operand, int32_t type, aiot_scale *out) {
  *out = (aiot_scale){1.0, 0};
  if (operand->type != type) return false;
  return type == AIOT_BOOL || type == AIOT_INT32 || type == AIOT_FLOAT32 || aiot_activation_scale_of(file, operand, out);
}

/* Types, as bits, of an operator's inputs. */
static uint32_t types_of(int32_t code) {
  switch (code) {
    case AIOT_LOGICAL_AND:
    case AIOT_LOGICAL_OR:
    case AIOT_LOGICAL_NOT:
      return 1 << AIOT_BOOL;
    case AIOT_EQUAL:
    case AIOT_NOT_EQUAL:
      return 1 << AIOT_INT8 | 1 << AIOT_INT32 | 1 << AIOT_BOOL;
    case AIOT_PRELU:
      return 1 << AIOT_INT8 | 1 << AIOT_INT16;
    case AIOT_DIV:
      return 1 << AIOT_INT8 | 1 << AIOT_INT32;
    case AIOT_ADD:
    case AIOT_SUB:
    case AIOT_MUL:
    case AIOT_SQUARED_DIFFERENCE:
    case AIOT_MAXIMUM:
    case AIOT_MINIMUM:
      return 1 << AIOT_INT8 | 1 << AIOT_INT16 | 1 << AIOT_INT32;
    default:
      return 1 << AIOT_INT8 | 1 << AIOT_INT32;
  }
}

static bool compares(int32_t code) {
  return code == AIOT_EQUAL || code == AIOT_NOT_EQUAL || code == AIOT_GREATER || code == AIOT_GREATER_EQUAL || code == AIOT_LESS || code == AIOT_LESS_EQUAL;
}

static aiot_code prepare(const aiot_operator *operator, void (*step)(const aiot_step *), arithmetic_plan **out, scales *of) {
  aiot_flatbuffer *file = &operator->network->file;
  const uint32_t second = operator->inputs.count - 1;
  const aiot_operand *a = aiot_operator_input(operator, 0), *b = aiot_operator_input(operator, second);
  const aiot_operand *y = aiot_operator_output(operator, 0);
  if (a == NULL || b == NULL || y == NULL) return AIOT_BUNDLE_MALFORMED;
  const bool real = step == run_real;
  const int32_t slopes = operator->code == AIOT_PRELU && !real ? AIOT_INT8 : a->type;
  if (!real && !(types_of(operator->code) >> a->type & 1)) return AIOT_MODEL_UNSUPPORTED;
  if (!scale_of(file, a, a->type, &of->a) || !scale_of(file, b, slopes, &of->b) ||
      !scale_of(file, y, compares(operator->code) ? AIOT_BOOL : a->type, &of->output))
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
  plan->first_type = a->type;
  plan->second_type = b->type;
  plan->type = y->type;
  plan->first_zero = of->a.zero_point;
  plan->second_zero = of->b.zero_point;
  plan->output_zero = of->output.zero_point;
  *out = plan;
  /* The other operators have no option. */
  const bool fused = operator->code == AIOT_ADD || operator->code == AIOT_SUB || operator->code == AIOT_MUL || operator->code == AIOT_DIV;
  const int32_t activation = fused ? aiot_flatbuffer_i8(file, operator->options, 0, 0) : 0;
  if (a->type == AIOT_INT32 && activation != 0) return AIOT_MODEL_UNSUPPORTED;
  if (real) {
    plan->bits = activation;
    return aiot_real_activation(activation) ? AIOT_OK : AIOT_MODEL_UNSUPPORTED;
  }
  return aiot_range_within(y->type, of->output, activation, &plan->range) ? AIOT_OK : AIOT_MODEL_UNSUPPORTED;
}

/* An operator on float32. */
static aiot_code prepare_real(const aiot_operator *operator) {
  arithmetic_plan *plan;
  scales of;
  return prepare(operator, run_real, &plan, &of);
}

static bool is_real(const aiot_operator *operator) {
  return aiot_is_real(aiot_operator_input(operator, 0));
}

/* FLOOR_MOD, which has no integer kernel. */
aiot_code aiot_prepare_floor_mod(const aiot_operator *operator) {
  return is_real(operator) ? prepare_real(operator) : AIOT_MODEL_UNSUPPORTED;
}

static bool is_whole(const aiot_operator *operator) {
  const aiot_operand *a = aiot_operator_input(operator, 0);
  return a != NULL && a->type == AIOT_INT32;
}

/* ADD, SUB, MUL, DIV and SQUARED_DIFFERENCE on int32. */
static aiot_code prepare_whole(const aiot_operator *operator) {
  arithmetic_plan *plan;
  scales of;
  return prepare(operator, run_whole, &plan, &of);
}

aiot_code aiot_prepare_division(const aiot_operator *operator) {
  if (is_real(operator)) return prepare_real(operator);
  arithmetic_plan *plan;
  scales of;
  if (is_whole(operator)) return prepare_whole(operator);
  const aiot_code code = prepare(operator, run_quotient, &plan, &of);
  if (code != AIOT_OK) return code;
  if (!aiot_ratio_of(of.a.scale / (of.b.scale * of.output.scale), &plan->ratio)) return AIOT_BUNDLE_MALFORMED;
  return plan->ratio.shift <= QUOTIENT_SHIFT ? AIOT_OK : AIOT_MODEL_UNSUPPORTED;
}

aiot_code aiot_prepare_sum(const aiot_operator *operator) {
  if (is_real(operator)) return prepare_real(operator);
  arithmetic_plan *plan;
  scales of;
  if (is_whole(operator)) return prepare_whole(operator);
  const aiot_code code = prepare(operator, run_sum, &plan, &of);
  if (code != AIOT_OK) return code;
  const bool wide = plan->type == AIOT_INT16;
  plan->bits = wide ? WIDE_SUM_BITS : SUM_BITS;
  /* Scales of int16 that must be powers of two. */
  if (wide && aiot_flatbuffer_i8(&operator->network->file, operator->options, 1, 1) != 0) return AIOT_BUNDLE_MALFORMED;
  /* Both operands are scaled to twice the larger scale, added, and rescaled to the output (TFLite's reference add.h). */
  const double twice = 2.0 * (of.a.scale > of.b.scale ? of.a.scale : of.b.scale);
  const double last = twice / ((double)(1 << plan->bits) * of.output.scale);
  plan->sign = operator->code == AIOT_SUB ? -1 : 1;
  if (!(last < 1.0) || !aiot_ratio_of(of.a.scale / twice, &plan->first_ratio) ||
      !aiot_ratio_of(of.b.scale / twice, &plan->second_ratio) || !aiot_ratio_of(last, &plan->ratio))
    return AIOT_BUNDLE_MALFORMED;
  return AIOT_OK;
}

aiot_code aiot_prepare_product(const aiot_operator *operator) {
  if (is_real(operator)) return prepare_real(operator);
  arithmetic_plan *plan;
  scales of;
  if (is_whole(operator)) return prepare_whole(operator);
  const aiot_code code = prepare(operator, run_product, &plan, &of);
  if (code != AIOT_OK) return code;
  return aiot_ratio_of(of.a.scale * of.b.scale / of.output.scale, &plan->ratio) ? AIOT_OK : AIOT_BUNDLE_MALFORMED;
}

aiot_code aiot_prepare_squared_difference(const aiot_operator *operator) {
  if (is_real(operator)) return prepare_real(operator);
  arithmetic_plan *plan;
  scales of;
  if (is_whole(operator)) return prepare_whole(operator);
  const aiot_code code = prepare(operator, run_squared_difference, &plan, &of);
  if (code != AIOT_OK) return code;
  plan->bits = plan->type == AIOT_INT16 ? 0 : DIFFERENCE_BITS;
  const double twice = 2.0 * (of.a.scale > of.b.scale ? of.a.scale : of.b.scale);
  const double last = twice * twice / ((double)(1 << 2 * plan->bits) * of.output.scale);
  return aiot_ratio_of(of.a.scale / twice, &plan->first_ratio) && aiot_ratio_of(of.b.scale / twice, &plan->second_ratio) &&
                 aiot_ratio_of(last, &plan->ratio)
             ? AIOT_OK
             : AIOT_BUNDLE_MALFORMED;
}

/* PRELU. The slopes are constants. */
aiot_code aiot_prepare_prelu(const aiot_operator *operator) {
  arithmetic_plan *plan;
  scales of;
  if (!aiot_operand_constant(aiot_operator_input(operator, 1), is_real(operator) ? AIOT_FLOAT32 : AIOT_INT8)) return AIOT_MODEL_UNSUPPORTED;
  if (is_real(operator)) return prepare_real(operator);
  const aiot_code code = prepare(operator, run_prelu, &plan, &of);
  if (code != AIOT_OK) return code;
  return aiot_ratio_of(of.a.scale / of.output.scale, &plan->first_ratio) &&
                 aiot_ratio_of(of.a.scale * of.b.scale / of.output.scale, &plan->ratio)
             ? AIOT_OK
             : AIOT_BUNDLE_MALFORMED;
}

/* MAXIMUM and MINIMUM. Values are only compared, so all must have the same scale. */
aiot_code aiot_prepare_choice(const aiot_operator *operator) {
  if (is_real(operator)) return prepare_real(operator);
  arithmetic_plan *plan;
  scales of;
  const aiot_code code = prepare(operator, run_choice, &plan, &of);
  if (code != AIOT_OK) return code;
  plan->output_zero = 0;
  aiot_flatbuffer *file = &operator->network->file;
  const aiot_operand *y = aiot_operator_output(operator, 0);
  const uint32_t types = types_of(operator->code);
  return aiot_alike(file, aiot_operator_input(operator, 0), y, types) && aiot_alike(file, aiot_operator_input(operator, 1), y, types)
             ? AIOT_OK
             : AIOT_BUNDLE_MALFORMED;
}

/* Comparisons. The multipliers of both sides are derived from their scales. */
aiot_code aiot_prepare_comparison(const aiot_operator *operator) {
  if (is_real(operator)) return prepare_real(operator);
  arithmetic_plan *plan;
  scales of;
  const aiot_code code = prepare(operator, run_comparison, &plan, &of);
  if (code != AIOT_OK) return code;
  if (plan->first_type != AIOT_INT8) return AIOT_OK;
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
  /* Size of an element. */
  uint32_t bytes;
} select_plan;

static void run_select(const aiot_step *step) {
  const select_plan *plan = step->plan;
  const int32_t count = aiot_extent_count(&plan->extent);
  aiot_odometer odometer = {{0}}, other = {{0}};
  int32_t at = 0, a = 0, b = 0, unused = 0;
  for (int32_t i = 0; i < count; i++) {
    if (plan->bytes == 1) step->y[i] = step->x[at] != 0 ? step->x2[a] : step->x3[b];
    else {
      const int8_t *from = step->x[at] != 0 ? step->x2 + (size_t)a * plan->bytes : step->x3 + (size_t)b * plan->bytes;
      memcpy(step->y + (size_t)i * plan->bytes, from, plan->bytes);
    }
    aiot_odometer_next(&odometer, &plan->extent, &plan->condition, &at, &plan->first, &a);
    aiot_odometer_next(&other, &plan->extent, &plan->second, &b, &plan->second, &unused);
  }
}

aiot_code aiot_prepare_select(const aiot_operator *operator) {
  aiot_flatbuffer *file = &operator->network->file;
  const aiot_operand *condition = aiot_operator_input(operator, 0), *y = aiot_operator_output(operator, 0);
  const aiot_operand *a = aiot_operator_input(operator, 1), *b = aiot_operator_input(operator, 2);
  if (condition == NULL || a == NULL || b == NULL || y == NULL || condition->type != AIOT_BOOL) return AIOT_BUNDLE_MALFORMED;
  const uint32_t types = 1 << AIOT_INT8 | 1 << AIOT_INT16 | 1 << AIOT_INT32 | 1 << AIOT_FLOAT32 | 1 << AIOT_BOOL;
  if (!aiot_alike(file, a, y, types) || !aiot_alike(file, b, y, types)) return AIOT_BUNDLE_MALFORMED;
  select_plan *plan =
      aiot_network_step(operator->network, run_select, sizeof *plan, aiot_operator_input_index(operator, 0),
                        aiot_operator_input_index(operator, 1), aiot_operator_output_index(operator, 0));
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  aiot_network_third(operator->network, aiot_operator_input_index(operator, 2));
  plan->bytes = aiot_type_bytes(y->type);
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
