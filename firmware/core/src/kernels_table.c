/* Operators whose output depends on a single input value. For int8, all 256 outputs are computed once. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "aiot/fixed_point.h"
#include "fixed_functions.h"
#include "kernels.h"
#include "quantized.h"
#include "real.h"

typedef struct {
  int8_t value[256];
  int32_t count;
} table_plan;

static void run_table(const aiot_step *step) {
  const table_plan *plan = step->plan;
  for (int32_t i = 0; i < plan->count; i++) step->y[i] = plan->value[(uint8_t)step->x[i]];
}

typedef struct {
  int32_t code;
  aiot_scale input, output;
  /*
   * Ratio of input to output. For LOGISTIC and TANH, the ratio that converts the input to Q4.27. For RSQRT and HARD_SWISH, see
   * their functions.
   */
  aiot_ratio ratio;
  /* Ratio that LEAKY_RELU uses below 0. For HARD_SWISH, see hard_swish_of. */
  aiot_ratio slope;
  /* Distances from the zero point, in steps. Beyond `radius`, LOGISTIC and TANH are saturated; beyond `six`, RELU6 is 6. */
  double radius;
  int32_t six;
} table_function;

/* Number of fraction bits of the intermediate value of RSQRT. */
enum { RSQRT_BITS = 20 };

static int32_t rsqrt_of(const table_function *function, int32_t q) {
  /* The caller limits the result to the output's type. */
  if (q <= function->input.zero_point) return INT16_MAX;
  int shift = 0;
  const int32_t multiplier = aiot_inverse_square_root(q - function->input.zero_point, &shift);
  const int32_t data = aiot_multiply_by_quantized(1, multiplier, shift + RSQRT_BITS);
  const aiot_ratio ratio = {function->ratio.multiplier, function->ratio.shift - RSQRT_BITS};
  return aiot_ratio_times(data, ratio) + function->output.zero_point;
}

/* Computed in single precision, as TFLite Micro fills its table. */
static int32_t elu_of(const table_function *function, int32_t d) {
  const float x = (float)function->input.scale * (float)d, inverse = 1.0f / (float)function->output.scale;
  const float value = x < 0.0f ? (float)exp((double)x) - 1.0f : x;
  return aiot_round((double)(value * inverse)) + function->output.zero_point;
}

static int32_t saturated16(int64_t x) {
  return (int32_t)(x > INT16_MAX ? INT16_MAX : x < INT16_MIN ? INT16_MIN : x);
}

/* a * b / 2^15 of 16-bit numbers, rounded half away from zero. */
static int32_t high_multiply16(int32_t a, int32_t b) {
  if (a == INT16_MIN && b == INT16_MIN) return INT16_MAX;
  const int32_t product = a * b;
  return (product + (product >= 0 ? 1 << 14 : 1 - (1 << 14))) / (1 << 15);
}

/*
 * x * relu6(x + 3) / 6 in 16-bit fixed point. `ratio` converts to the output, `slope` to a factor of which 32768 is the real
 * value 3.
 */
static int32_t hard_swish_of(const table_function *function, int32_t d) {
  const int32_t wide = d * 128, up = function->slope.shift;
  int32_t share = up > 0 ? saturated16((int64_t)wide * ((int64_t)1 << (up - 1))) : wide;
  share = high_multiply16(share, function->slope.multiplier);
  if (up > 0) share = saturated16(2 * share);
  if (up < 0) share = aiot_rounding_shift_right(share, -up);
  /* From [-1, 1] to [0, 1]. */
  const int32_t relu = (share + (1 << 15)) >> 1;
  const int32_t product = relu * high_multiply16(wide, function->ratio.multiplier) / (1 << 15);
  return aiot_rounding_shift_right(product, -function->ratio.shift) + function->output.zero_point;
}

/* Computes a ratio whose multiplier has 15 bits instead of 31. */
static bool half_ratio_of(float real, aiot_ratio *out) {
  if (!aiot_ratio_of((double)real, out) || out->shift < -15) return false;
  out->multiplier = out->multiplier >= INT32_MAX - (1 << 15) ? INT16_MAX : (out->multiplier + (1 << 15)) >> 16;
  return true;
}

/* QUANTIZE between integers. Only values of int32 can be so large that a sum wraps. */
static int32_t requantized(const table_function *function, int32_t q) {
  const int32_t d = (int32_t)((uint32_t)q - (uint32_t)function->input.zero_point);
  return (int32_t)((uint32_t)aiot_ratio_times(d, function->ratio) + (uint32_t)function->output.zero_point);
}

static int32_t value_of(const table_function *function, int32_t q) {
  if (function->code == AIOT_QUANTIZE) return requantized(function, q);
  const int32_t d = q - function->input.zero_point, zero = function->output.zero_point;
  if (function->code == AIOT_LOGISTIC || function->code == AIOT_TANH) {
    if ((double)d <= -function->radius) return INT8_MIN;
    if ((double)d >= function->radius) return INT8_MAX;
    const int32_t v = aiot_ratio_times(d, function->ratio);
    if (function->code == AIOT_TANH) return aiot_rounding_shift_right(aiot_tanh(v), 24);
    return aiot_rounding_shift_right(aiot_logistic(v), 23) - 128;
  }
  if (function->code == AIOT_ELU) return elu_of(function, d);
  if (function->code == AIOT_HARD_SWISH) return hard_swish_of(function, d);
  if (function->code == AIOT_RSQRT) return rsqrt_of(function, q);
  if (function->code == AIOT_ABS)
    return (function->input.scale == function->output.scale ? abs(d) : aiot_ratio_times(abs(d), function->ratio)) + zero;
  if (function->code == AIOT_LEAKY_RELU && d < 0) return aiot_ratio_times(d, function->slope) + zero;
  const int32_t scaled = aiot_ratio_times(d, function->ratio);
  if (function->code == AIOT_RELU6 && scaled > function->six) return function->six + zero;
  const bool from_zero = function->code == AIOT_RELU || function->code == AIOT_RELU6;
  return (from_zero && scaled < 0 ? 0 : scaled) + zero;
}

static aiot_code sigmoid_of(aiot_flatbuffer *file, const aiot_operand *output, table_function *function) {
  const bool tanh = function->code == AIOT_TANH;
  if (!aiot_scale_is(file, output, tanh ? 1.0 / 128 : 1.0 / 256, tanh ? 0 : -128)) return AIOT_BUNDLE_MALFORMED;
  /*
   * From a scale of 16 on, the radius is 0, and even an input of zero would saturate. Below 2^-28, other interpreters would shift
   * by a negative amount.
   */
  if (!(function->input.scale < 16.0 && function->input.scale >= 1.0 / (1 << 28))) return AIOT_MODEL_UNSUPPORTED;
  const double real = function->input.scale * 134217728.0;
  int exponent = 0;
  (void)frexp(real, &exponent);
  function->radius = floor(ldexp(15.0 * 134217728.0, -exponent));
  /* With a shift of more than 30 bits, the radius is 0, so no ratio is needed. */
  return exponent > 30 || aiot_ratio_of(real, &function->ratio) ? AIOT_OK : AIOT_MODEL_UNSUPPORTED;
}

/* The scale of int8, uint8 or int16, and for QUANTIZE also of int32. */
static bool function_scale_of(aiot_flatbuffer *file, int32_t code, const aiot_operand *operand, aiot_scale *out) {
  if (code == AIOT_QUANTIZE && operand->type != AIOT_UINT8) return aiot_stored_scale_of(file, operand, out);
  return operand->type == AIOT_INT16 ? aiot_activation_scale_of(file, operand, out) : aiot_byte_scale_of(file, operand, out);
}

static aiot_code plan_function(const aiot_operator *operator, const aiot_operand *x, const aiot_operand *y,
                               table_function *function) {
  aiot_flatbuffer *file = &operator->network->file;
  const int32_t code = function->code;
  if (!function_scale_of(file, code, x, &function->input) || !function_scale_of(file, code, y, &function->output))
    return AIOT_BUNDLE_MALFORMED;
  if (function->code == AIOT_LOGISTIC || function->code == AIOT_TANH) return sigmoid_of(file, y, function);
  if (function->code == AIOT_RELU6) {
    /* With another scale, the input is rescaled as in LiteRT, by a ratio in single precision. */
    const bool same = aiot_alike(file, x, y, 1 << AIOT_INT8 | 1 << AIOT_INT16);
    const aiot_scale steps = same ? function->input : function->output;
    const double real = same ? 1.0 : (double)(float)(function->input.scale / function->output.scale);
    if (!aiot_scale_holds(steps.scale, 6.0) || !aiot_ratio_of(real, &function->ratio)) return AIOT_BUNDLE_MALFORMED;
    function->six = aiot_round((double)(float)(6.0 / steps.scale));
    return AIOT_OK;
  }
  const double input = function->input.scale, output = function->output.scale;
  if (function->code == AIOT_ELU) {
    /* Other interpreters convert the quotients without saturation, so they must fit into 32 bits. */
    const float largest = (float)input * (float)(INT8_MAX - function->input.zero_point);
    return aiot_scale_holds(output, 1.0) && aiot_scale_holds(output, (double)largest) ? AIOT_OK : AIOT_MODEL_UNSUPPORTED;
  }
  if (function->code == AIOT_HARD_SWISH) {
    const float hires = (float)input / 128.0f;
    if (!half_ratio_of(hires / (float)output, &function->ratio) || !half_ratio_of(hires / (3.0f / 32768.0f), &function->slope))
      return AIOT_MODEL_UNSUPPORTED;
    return function->ratio.shift <= 0 ? AIOT_OK : AIOT_BUNDLE_MALFORMED;
  }
  if (function->code == AIOT_RSQRT) {
    /* On int8, negative inputs must be impossible, because TFLite Micro rejects them at run time. On int16, they yield the largest output. */
    if (x->type == AIOT_INT8 && function->input.zero_point != INT8_MIN) return AIOT_MODEL_UNSUPPORTED;
    if (!aiot_ratio_of(1.0 / (sqrt(input) * output), &function->ratio)) return AIOT_BUNDLE_MALFORMED;
    return function->ratio.shift >= RSQRT_BITS - 31 ? AIOT_OK : AIOT_MODEL_UNSUPPORTED;
  }
  if (!aiot_ratio_of(input / output, &function->ratio)) return AIOT_BUNDLE_MALFORMED;
  if (function->code != AIOT_LEAKY_RELU) return AIOT_OK;
  const double alpha = (double)aiot_flatbuffer_f32(file, operator->options, 0, 0.0f);
  if (!aiot_ratio_of(input * fabs(alpha) / output, &function->slope)) return AIOT_BUNDLE_MALFORMED;
  if (alpha < 0.0) function->slope.multiplier = -function->slope.multiplier;
  return AIOT_OK;
}

typedef struct {
  table_function function;
  int32_t count, from, to;
  aiot_range range;
} values_plan;

static void run_values(const aiot_step *step) {
  const values_plan *plan = step->plan;
  for (int32_t i = 0; i < plan->count; i++)
    aiot_store(step->y, plan->to, i, aiot_range_limit(plan->range, value_of(&plan->function, aiot_load(step->x, plan->from, i))));
}

/* An operator that reads or yields int16 or int32, and computes each output when it runs. */
static aiot_code prepare_values(const aiot_operator *operator, const aiot_operand *x, const aiot_operand *y) {
  const int32_t code = operator->code;
  const bool quantizes = code == AIOT_QUANTIZE && (x->type != AIOT_INT32 || y->type != AIOT_INT32);
  if (!quantizes && x->type != y->type) return AIOT_BUNDLE_MALFORMED;
  if (code == AIOT_LOGISTIC || code == AIOT_TANH) return aiot_prepare_wide_sigmoid(operator);
  if (code == AIOT_ELU || code == AIOT_HARD_SWISH) return AIOT_MODEL_UNSUPPORTED;
  table_function function = {.code = code};
  const aiot_code planned = plan_function(operator, x, y, &function);
  if (planned != AIOT_OK) return planned;
  values_plan *plan = aiot_network_step(operator->network, run_values, sizeof *plan, aiot_operator_input_index(operator, 0), -1,
                                        aiot_operator_output_index(operator, 0));
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  *plan = (values_plan){function, x->count, x->type, y->type, aiot_range_stored(y->type)};
  return AIOT_OK;
}

typedef struct {
  int32_t count, to;
  aiot_scale output;
} quantize_plan;

static void run_quantize(const aiot_step *step) {
  const quantize_plan *plan = step->plan;
  const aiot_range whole = aiot_range_whole(plan->to);
  for (int32_t i = 0; i < plan->count; i++) {
    float real;
    memcpy(&real, step->x + 4 * i, sizeof real);
    aiot_store(step->y, plan->to, i, aiot_range_limit(whole, aiot_round((double)(float)((double)real / plan->output.scale)) + plan->output.zero_point));
  }
}

/* QUANTIZE from float32 to int8 or int16. */
static aiot_code prepare_quantize(const aiot_operator *operator, const aiot_operand *x, const aiot_operand *y) {
  quantize_plan own = {.count = x->count, .to = y->type};
  if (x->data != NULL) return AIOT_MODEL_UNSUPPORTED;
  if (y->type != AIOT_INT8 && y->type != AIOT_INT16) return AIOT_MODEL_UNSUPPORTED;
  if (!aiot_stored_scale_of(&operator->network->file, y, &own.output)) return AIOT_BUNDLE_MALFORMED;
  quantize_plan *plan = aiot_network_step(operator->network, run_quantize, sizeof *plan, aiot_operator_input_index(operator, 0), -1,
                                          aiot_operator_output_index(operator, 0));
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  *plan = own;
  return AIOT_OK;
}

typedef struct {
  int32_t count, from, zero_point;
  float scale;
} dequantize_plan;

/* The difference is exact in single precision, so the product is rounded once, as in double precision. */
static void run_dequantize(const aiot_step *step) {
  const dequantize_plan *plan = step->plan;
  for (int32_t i = 0; i < plan->count; i++) {
    const float real = plan->scale * (float)(aiot_load(step->x, plan->from, i) - plan->zero_point);
    memcpy(step->y + 4 * i, &real, sizeof real);
  }
}

aiot_code aiot_prepare_dequantize(const aiot_operator *operator) {
  const aiot_operand *x = aiot_operator_input(operator, 0), *y = aiot_operator_output(operator, 0);
  aiot_scale scale;
  if (x == NULL || y == NULL || x->count != y->count || y->type != AIOT_FLOAT32) return AIOT_BUNDLE_MALFORMED;
  if ((x->type != AIOT_INT8 && x->type != AIOT_INT16) || x->data != NULL) return AIOT_MODEL_UNSUPPORTED;
  if (!aiot_stored_scale_of(&operator->network->file, x, &scale)) return AIOT_BUNDLE_MALFORMED;
  dequantize_plan *plan = aiot_network_step(operator->network, run_dequantize, sizeof *plan, aiot_operator_input_index(operator, 0), -1,
                                            aiot_operator_output_index(operator, 0));
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  *plan = (dequantize_plan){x->count, x->type, scale.zero_point, (float)scale.scale};
  return AIOT_OK;
}

aiot_code aiot_prepare_table(const aiot_operator *operator) {
  const aiot_operand *x = aiot_operator_input(operator, 0), *y = aiot_operator_output(operator, 0);
  if (x == NULL || y == NULL || x->count != y->count) return AIOT_BUNDLE_MALFORMED;
  if (aiot_is_real(x)) return operator->code == AIOT_QUANTIZE ? prepare_quantize(operator, x, y) : aiot_prepare_real_values(operator);
  if (x->type == AIOT_INT16 || (x->type == AIOT_INT8 && y->type == AIOT_INT16)) return prepare_values(operator, x, y);
  const bool integers = (x->type == AIOT_INT8 && y->type == AIOT_INT32) ||
                        (x->type == AIOT_INT32 && (y->type == AIOT_INT8 || y->type == AIOT_INT16));
  if (operator->code == AIOT_QUANTIZE && integers) return prepare_values(operator, x, y);
  /* QUANTIZE also converts between int8 and uint8. uint8 values are in memory as int8 values that are 128 lower. */
  const bool converts = operator->code == AIOT_QUANTIZE && (x->type == AIOT_UINT8) != (y->type == AIOT_UINT8);
  if (converts) aiot_operator_input(operator, 0)->converted = aiot_operator_output(operator, 0)->converted = true;
  const bool bytes = converts && (x->type == AIOT_INT8 || y->type == AIOT_INT8) && x->data == NULL;
  if (!bytes && (x->type != AIOT_INT8 || y->type != AIOT_INT8)) return AIOT_MODEL_UNSUPPORTED;
  table_function function = {.code = operator->code};
  const aiot_code code = plan_function(operator, x, y, &function);
  if (code != AIOT_OK) return code;
  table_plan *plan = aiot_network_step(operator->network, run_table, sizeof *plan, aiot_operator_input_index(operator, 0), -1,
                                       aiot_operator_output_index(operator, 0));
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  const aiot_range whole = {INT8_MIN, INT8_MAX};
  for (int32_t q = INT8_MIN; q <= INT8_MAX; q++)
    plan->value[(uint8_t)q] = aiot_range_clamp(whole, value_of(&function, q));
  plan->count = x->count;
  return AIOT_OK;
}
