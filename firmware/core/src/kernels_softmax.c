/* SOFTMAX and LOG_SOFTMAX over the last axis on int8 (differences in Q5.26, their sum in Q12.19) and on float32. */
#include <math.h>

#include "aiot/fixed_point.h"
#include "fixed_functions.h"
#include "kernels.h"
#include "quantized.h"
#include "real.h"

enum { DIFFERENCE_BITS = 26, SUM_SHIFT = 12, CLASSES_MAX = 511, LOG_CLASSES_MAX = 4094 };

typedef struct {
  /* Type of the output: int8 or int16. */
  int32_t rows, classes, to;
  aiot_ratio ratio;
  /* Inputs that are further below the largest input count as zero. */
  int32_t furthest;
} softmax_plan;

/* e^-below, scaled, as Q0.31. */
static int32_t share_of(const softmax_plan *plan, int32_t below) {
  const int32_t scaled = (int32_t)((uint32_t)-below << plan->ratio.shift);
  return aiot_exponential(aiot_doubling_high_multiply(scaled, plan->ratio.multiplier), 5);
}

static int leading_zeros(uint32_t value) {
  int zeros = 0;
  for (; value < (uint32_t)1 << 31; value <<= 1) zeros++;
  return zeros;
}

static void run_softmax(const aiot_step *step) {
  const softmax_plan *plan = step->plan;
  const aiot_range whole = aiot_range_whole(plan->to);
  const int bits = plan->to == AIOT_INT16 ? 16 : 8;
  const int8_t *x = step->x;
  for (int32_t row = 0, start = 0; row < plan->rows; row++, x += plan->classes, start += plan->classes) {
    int32_t most = INT8_MIN;
    for (int32_t i = 0; i < plan->classes; i++)
      if (x[i] > most) most = x[i];
    int32_t sum = 0;
    for (int32_t i = 0; i < plan->classes; i++)
      if (most - x[i] <= plan->furthest) sum += aiot_rounding_shift_right(share_of(plan, most - x[i]), SUM_SHIFT);
    const int headroom = leading_zeros((uint32_t)sum);
    const int32_t inverse = aiot_reciprocal_of_one_plus((int32_t)(((uint32_t)sum << headroom) - ((uint32_t)1 << 31)));
    for (int32_t i = 0; i < plan->classes; i++) {
      int32_t value = whole.low;
      if (most - x[i] <= plan->furthest) {
        const int32_t share = aiot_doubling_high_multiply(share_of(plan, most - x[i]), inverse);
        value = aiot_range_limit(whole, aiot_rounding_shift_right(share, SUM_SHIFT - headroom + 31 - bits) + whole.low);
      }
      aiot_store(step->y, plan->to, start + i, value);
    }
  }
}

typedef struct {
  int32_t rows, classes;
  float beta;
} real_plan;

static double most_of(const int8_t *x, int32_t start, int32_t count) {
  double most = -INFINITY;
  for (int32_t i = start; i < start + count; i++)
    if ((double)aiot_real_at(x, i) > most) most = (double)aiot_real_at(x, i);
  return most;
}

static void run_real_softmax(const aiot_step *step) {
  const real_plan *plan = step->plan;
  for (int32_t row = 0; row < plan->rows; row++) {
    const int32_t start = row * plan->classes, end = start + plan->classes;
    const double most = most_of(step->x, start, plan->classes);
    double sum = 0.0;
    for (int32_t i = start; i < end; i++) {
      const double value = exp(((double)aiot_real_at(step->x, i) - most) * (double)plan->beta);
      sum += value;
      aiot_real_set(step->y, i, (float)value);
    }
    for (int32_t i = start; i < end; i++) aiot_real_set(step->y, i, (float)((double)aiot_real_at(step->y, i) / sum));
  }
}

static void run_real_log_softmax(const aiot_step *step) {
  const real_plan *plan = step->plan;
  for (int32_t row = 0; row < plan->rows; row++) {
    const int32_t start = row * plan->classes, end = start + plan->classes;
    const double most = most_of(step->x, start, plan->classes);
    double sum = 0.0;
    for (int32_t i = start; i < end; i++) sum += exp((double)aiot_real_at(step->x, i) - most);
    const double whole = log(sum);
    for (int32_t i = start; i < end; i++) aiot_real_set(step->y, i, (float)((double)aiot_real_at(step->x, i) - most - whole));
  }
}

static aiot_code prepare_real(const aiot_operator *operator, const aiot_operand *x, void (*run)(const aiot_step *)) {
  if (!aiot_is_real(aiot_operator_output(operator, 0))) return AIOT_BUNDLE_MALFORMED;
  real_plan *plan = aiot_network_step(operator->network, run, sizeof *plan, aiot_operator_input_index(operator, 0), -1,
                                      aiot_operator_output_index(operator, 0));
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  const int32_t classes = x->size[x->rank - 1];
  *plan = (real_plan){x->count / classes, classes, aiot_flatbuffer_f32(&operator->network->file, operator->options, 0, 0.0f)};
  return AIOT_OK;
}

aiot_code aiot_prepare_softmax(const aiot_operator *operator) {
  aiot_flatbuffer *file = &operator->network->file;
  const aiot_operand *x = aiot_operator_input(operator, 0), *y = aiot_operator_output(operator, 0);
  if (x == NULL || y == NULL || x->rank < 1 || x->count != y->count) return AIOT_BUNDLE_MALFORMED;
  if (x->type == AIOT_INT16) return aiot_prepare_wide_softmax(operator);
  if (aiot_is_real(x)) return prepare_real(operator, x, run_real_softmax);
  aiot_scale input, output;
  const bool wide_output = y->type == AIOT_INT16 && aiot_stored_scale_of(file, y, &output) && output.scale == 1.0 / 65536 &&
                           output.zero_point == INT16_MIN;
  if (!aiot_scale_of(file, x, &input) || !(wide_output || aiot_scale_is(file, y, 1.0 / 256, -128))) return AIOT_BUNDLE_MALFORMED;
  const int32_t classes = x->size[x->rank - 1];
  /* With 512 or more nearly equal inputs, the sum would overflow. */
  if (classes > CLASSES_MAX) return AIOT_MODEL_UNSUPPORTED;
  const double wide = (double)aiot_flatbuffer_f32(file, operator->options, 0, 0.0f) * input.scale * (1 << DIFFERENCE_BITS);
  /* NaN passes this comparison unchanged and is rejected below. */
  const double real = wide > 2147483647.0 ? 2147483647.0 : wide;
  softmax_plan *plan = aiot_network_step(operator->network, run_softmax, sizeof *plan,
                                         aiot_operator_input_index(operator, 0), -1, aiot_operator_output_index(operator, 0));
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  if (!(real > 1.0)) return AIOT_BUNDLE_MALFORMED;
  /* Other kernels do not accept a shift of 31. Here it is exact, because the difference wraps deliberately. */
  if (!aiot_ratio_of(real, &plan->ratio) && plan->ratio.shift != 31) return AIOT_BUNDLE_MALFORMED;
  plan->furthest = (int32_t)(((int64_t)31 << DIFFERENCE_BITS) >> plan->ratio.shift);
  plan->rows = x->count / classes;
  plan->classes = classes;
  plan->to = y->type;
  return AIOT_OK;
}

typedef struct {
  softmax_plan softmax;
  /* Converts Q5.26 to a difference of inputs. */
  aiot_ratio back;
} log_plan;

static int32_t difference_of(const log_plan *plan, int32_t below) {
  return aiot_ratio_times(-below, plan->softmax.ratio);
}

static void run_log_softmax(const aiot_step *step) {
  const log_plan *plan = step->plan;
  const aiot_range whole = {INT8_MIN, INT8_MAX};
  const int32_t classes = plan->softmax.classes, furthest = plan->softmax.furthest;
  const int8_t *x = step->x;
  int8_t *y = step->y;
  for (int32_t row = 0; row < plan->softmax.rows; row++, x += classes, y += classes) {
    int32_t most = INT8_MIN;
    for (int32_t i = 0; i < classes; i++)
      if (x[i] > most) most = x[i];
    int32_t sum = 0;
    for (int32_t i = 0; i < classes; i++)
      if (most - x[i] <= furthest) sum += aiot_rounding_shift_right(aiot_exponential(difference_of(plan, most - x[i]), 5), SUM_SHIFT);
    const int32_t log = aiot_logarithm(sum), least = aiot_ratio_times(log + INT32_MIN, plan->back);
    for (int32_t i = 0; i < classes; i++) {
      const int32_t below = most - x[i];
      y[i] = INT8_MIN;
      if (below > furthest || -below <= least) continue;
      const int32_t value = (int32_t)((uint32_t)difference_of(plan, below) - (uint32_t)log);
      y[i] = aiot_range_clamp(whole, aiot_rounding_shift_right(value, DIFFERENCE_BITS - 4) + 127);
    }
  }
}

aiot_code aiot_prepare_log_softmax(const aiot_operator *operator) {
  aiot_flatbuffer *file = &operator->network->file;
  const aiot_operand *x = aiot_operator_input(operator, 0), *y = aiot_operator_output(operator, 0);
  if (x == NULL || y == NULL || x->rank < 1 || x->count != y->count) return AIOT_BUNDLE_MALFORMED;
  if (aiot_is_real(x)) return prepare_real(operator, x, run_real_log_softmax);
  aiot_scale input;
  if (!aiot_scale_of(file, x, &input) || !aiot_scale_is(file, y, 1.0 / 16, 127)) return AIOT_BUNDLE_MALFORMED;
  const int32_t classes = x->size[x->rank - 1];
  if (classes > LOG_CLASSES_MAX) return AIOT_MODEL_UNSUPPORTED;
  const double wide = input.scale * (1 << DIFFERENCE_BITS), real = wide > 2147483647.0 ? 2147483647.0 : wide;
  log_plan *plan = aiot_network_step(operator->network, run_log_softmax, sizeof *plan, aiot_operator_input_index(operator, 0), -1,
                                     aiot_operator_output_index(operator, 0));
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  if (!(real > 1.0)) return AIOT_BUNDLE_MALFORMED;
  if (!aiot_ratio_of(real, &plan->softmax.ratio)) return AIOT_MODEL_UNSUPPORTED;
  const int shift = plan->softmax.ratio.shift;
  if (!aiot_ratio_of((double)((int64_t)1 << (31 - shift)) / plan->softmax.ratio.multiplier, &plan->back)) return AIOT_BUNDLE_MALFORMED;
  plan->softmax.furthest = (int32_t)(((int64_t)31 << DIFFERENCE_BITS) >> shift);
  plan->softmax.rows = x->count / classes;
  plan->softmax.classes = classes;
  return AIOT_OK;
}
