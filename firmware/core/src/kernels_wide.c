/* LOGISTIC, TANH and SOFTMAX on int16, with the results of src/lib/runtime/interpreter/int16.ts. */
#include <math.h>

#include "fixed_functions.h"
#include "kernels.h"
#include "quantized.h"

typedef struct {
  int32_t count, multiplier, shift;
  bool tanh;
} sigmoid_plan;

/* Rounded down. In C11, right shifts of negative numbers are implementation-defined (6.5.7). */
static int32_t shifted(int32_t x, int32_t bits) {
  return x >= 0 ? x >> bits : ~(~x >> bits);
}

static void run_sigmoid(const aiot_step *step) {
  const sigmoid_plan *plan = step->plan;
  const int32_t half = plan->shift > 0 ? 1 << (plan->shift - 1) : 0;
  for (int32_t i = 0; i < plan->count; i++) {
    const int32_t v = shifted(aiot_load(step->x, AIOT_INT16, i) * plan->multiplier + half, plan->shift);
    aiot_store(step->y, AIOT_INT16, i, plan->tanh ? aiot_tanh16(v) : aiot_logistic16(v));
  }
}

/* Whether an output has the scale 2^-15, which the kernels assume. */
static bool is_unit(const aiot_operator *operator, const aiot_operand *y) {
  aiot_scale output;
  return y->type == AIOT_INT16 && aiot_activation_scale_of(&operator->network->file, y, &output) && output.scale == 1.0 / 32768;
}

/* The multiplier and shift that convert the input to units of 1/(3 * 4096). Some powers of two are exact. */
static bool units_of(double scale, bool tanh, sigmoid_plan *plan) {
  const double power = log2(scale), whole = round(power);
  const bool exact = fabs(power - whole) < 1e-3 && (whole == -12.0 || (tanh && whole == -11.0));
  if (exact) {
    plan->multiplier = whole == -12.0 ? 3 : 6;
    plan->shift = 0;
    return true;
  }
  double real = scale * 4096 * 3;
  int32_t shift = 0;
  while (real <= 32767.0 / 2 && shift <= 30) {
    real *= 2;
    shift++;
  }
  /* The product of the multiplier and the input must fit into 32 bits. */
  if (!(real < 32768.0)) return false;
  plan->multiplier = (int32_t)real;
  plan->shift = shift;
  return true;
}

aiot_code aiot_prepare_wide_sigmoid(const aiot_operator *operator) {
  const aiot_operand *x = aiot_operator_input(operator, 0), *y = aiot_operator_output(operator, 0);
  aiot_scale input;
  if (!is_unit(operator, y) || !aiot_activation_scale_of(&operator->network->file, x, &input)) return AIOT_BUNDLE_MALFORMED;
  sigmoid_plan own = {.count = x->count, .tanh = operator->code == AIOT_TANH};
  if (!units_of(input.scale, own.tanh, &own)) return AIOT_MODEL_UNSUPPORTED;
  sigmoid_plan *plan = aiot_network_step(operator->network, run_sigmoid, sizeof *plan, aiot_operator_input_index(operator, 0), -1,
                                         aiot_operator_output_index(operator, 0));
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  *plan = own;
  return AIOT_OK;
}

enum { SEGMENTS = 512 };

/* Tables of e^x from -10 to 0 and of 1/(1 + x) from 0 to 1, each with an entry per end of a segment. */
typedef struct {
  int16_t exponentials[SEGMENTS + 1], inverses[SEGMENTS + 1];
} softmax_tables;

typedef struct {
  int32_t rows, classes;
  aiot_ratio ratio;
  const softmax_tables *tables;
} softmax_plan;

static float exponential(float x) {
  return (float)exp((double)x);
}

static float inverse(float x) {
  return (float)(1.0 / (1.0 + (double)x));
}

static int32_t steps_of(float value) {
  return aiot_round((double)(value * 32768.0f));
}

/* Entries of `f` from `first` to `last`, each shifted to halve the largest error in its segment (TFLite's LUTPopulate). */
static void fill_table(int16_t *table, float (*f)(float), float first, float last) {
  const aiot_range whole = aiot_range_whole(AIOT_INT16);
  const float step = (float)(((double)last - (double)first) / SEGMENTS);
  for (int32_t i = 0; i < SEGMENTS; i++) {
    const float x = first + (float)i * step;
    const int32_t here = steps_of(f(x)), middle = steps_of(f(x + step / 2.0f));
    const float next = f(first + (float)(i + 1) * step) * 32768.0f;
    const int32_t line = aiot_round((double)((next + (float)here) / 2.0f));
    table[i] = (int16_t)aiot_range_limit(whole, here - aiot_round((double)((float)(line - middle) / 2.0f)));
  }
  table[SEGMENTS] = (int16_t)aiot_range_limit(whole, steps_of(f(last)));
}

static int32_t look(const int16_t *table, int32_t q) {
  const int32_t index = 256 + shifted(q, 7), base = table[index];
  return base + shifted((table[index + 1] - base) * (q & 127) + 64, 7);
}

static int32_t leading_zeros(uint32_t value) {
  int32_t zeros = 0;
  for (; zeros < 32 && value < (uint32_t)1 << 31; value <<= 1) zeros++;
  return zeros;
}

static int32_t term_of(const softmax_plan *plan, int32_t below) {
  const int32_t scaled = aiot_ratio_times(below, plan->ratio);
  return look(plan->tables->exponentials, aiot_range_limit(aiot_range_whole(AIOT_INT16), scaled + 32767));
}

static void run_softmax(const aiot_step *step) {
  const softmax_plan *plan = step->plan;
  const aiot_range whole = aiot_range_whole(AIOT_INT16), positive = {0, INT16_MAX};
  for (int32_t row = 0; row < plan->rows; row++) {
    const int32_t start = row * plan->classes;
    int32_t most = INT16_MIN;
    for (int32_t i = start; i < start + plan->classes; i++) {
      const int32_t value = aiot_load(step->x, AIOT_INT16, i);
      if (value > most) most = value;
    }
    uint32_t sum = 0;
    for (int32_t i = start; i < start + plan->classes; i++) sum += (uint32_t)term_of(plan, aiot_load(step->x, AIOT_INT16, i) - most);
    const int32_t headroom = leading_zeros(sum);
    const int64_t part = (int64_t)((((uint64_t)sum << headroom >> 1) + (1 << 13)) >> 14);
    const int32_t share = look(plan->tables->inverses, aiot_range_limit(whole, (int32_t)part - 98304));
    for (int32_t i = start; i < start + plan->classes; i++) {
      const int64_t product = (int64_t)term_of(plan, aiot_load(step->x, AIOT_INT16, i) - most) * share;
      const int64_t value = (product + ((int64_t)1 << (30 - headroom))) >> (31 - headroom);
      aiot_store(step->y, AIOT_INT16, i, aiot_range_limit(positive, (int32_t)value));
    }
  }
}

/* SOFTMAX over the last axis. */
aiot_code aiot_prepare_wide_softmax(const aiot_operator *operator) {
  const aiot_operand *x = aiot_operator_input(operator, 0), *y = aiot_operator_output(operator, 0);
  aiot_scale input;
  if (!is_unit(operator, y) || !aiot_activation_scale_of(&operator->network->file, x, &input)) return AIOT_BUNDLE_MALFORMED;
  const double beta = (double)aiot_flatbuffer_f32(&operator->network->file, operator->options, 0, 0.0f);
  softmax_plan *plan = aiot_network_step(operator->network, run_softmax, sizeof *plan, aiot_operator_input_index(operator, 0), -1,
                                         aiot_operator_output_index(operator, 0));
  softmax_tables *tables = plan == NULL ? NULL : aiot_arena_take(operator->network->arena, sizeof *tables, sizeof(int16_t));
  if (tables == NULL) return AIOT_MEMORY_SHORT;
  fill_table(tables->exponentials, exponential, -10.0f, 0.0f);
  fill_table(tables->inverses, inverse, 0.0f, 1.0f);
  *plan = (softmax_plan){.classes = x->size[x->rank - 1], .tables = tables};
  plan->rows = x->count / plan->classes;
  return aiot_ratio_of(input.scale * beta / (10.0 / 65535.0), &plan->ratio) ? AIOT_OK : AIOT_BUNDLE_MALFORMED;
}
