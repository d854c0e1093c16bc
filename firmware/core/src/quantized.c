#include "quantized.h"

#include <math.h>

#include "aiot/fixed_point.h"

bool aiot_ratio_of(double real, aiot_ratio *out) {
  *out = (aiot_ratio){0, 0};
  if (real == 0.0) return true;
  if (!(real > 0.0) || real > 1e30) return false;
  int exponent = 0;
  int64_t rounded = (int64_t)round(frexp(real, &exponent) * 2147483648.0);
  if (rounded == (int64_t)1 << 31) {
    rounded = (int64_t)1 << 30;
    exponent++;
  }
  if (exponent < -31) return true;
  *out = (aiot_ratio){(int32_t)rounded, exponent};
  return exponent <= 30;
}

int32_t aiot_ratio_times(int32_t x, aiot_ratio ratio) {
  return aiot_multiply_by_quantized(x, ratio.multiplier, ratio.shift);
}

int32_t aiot_ratio_times_wide(int64_t x, aiot_ratio ratio) {
  const int32_t reduced = ratio.multiplier < 0x7fff0000 ? (ratio.multiplier + (1 << 15)) >> 16 : INT16_MAX;
  const int32_t shift = 15 - ratio.shift;
  const int64_t product = x * reduced;
  if (shift <= 0) return (int32_t)(uint32_t)((uint64_t)product << -shift);
  const int64_t rounded = product + ((int64_t)1 << (shift - 1));
  /* In C11, right shifts of negative numbers are implementation-defined (6.5.7). */
  return (int32_t)(uint32_t)(rounded >= 0 ? rounded >> shift : ~(~rounded >> shift));
}

/* Reads a tensor's scale and zero point, reduced by `lower`. False unless there is exactly one, and the zero point is in `range`. */
static bool scale_within(aiot_flatbuffer *file, const aiot_operand *operand, int32_t lower, aiot_range range, aiot_scale *out) {
  if (operand->scale.count != 1 || operand->zero_point.count != 1) return false;
  const float scale = aiot_flatbuffer_f32_at(file, operand->scale, 0);
  const int64_t zero_point = (int64_t)aiot_flatbuffer_i64_at(file, operand->zero_point, 0) - lower;
  *out = (aiot_scale){(double)scale, (int32_t)zero_point};
  return isfinite(scale) && scale > 0.0f && zero_point >= range.low && zero_point <= range.high;
}

static bool scale_of(aiot_flatbuffer *file, const aiot_operand *operand, int32_t lower, aiot_scale *out) {
  return scale_within(file, operand, lower, (aiot_range){INT8_MIN, INT8_MAX}, out);
}

bool aiot_scale_of(aiot_flatbuffer *file, const aiot_operand *operand, aiot_scale *out) {
  return operand->type == AIOT_INT8 && scale_of(file, operand, 0, out);
}

bool aiot_integer_scale_of(aiot_flatbuffer *file, const aiot_operand *operand, aiot_scale *out) {
  return (operand->type == AIOT_INT8 || operand->type == AIOT_INT16) && scale_of(file, operand, 0, out);
}

bool aiot_activation_scale_of(aiot_flatbuffer *file, const aiot_operand *operand, aiot_scale *out) {
  return aiot_integer_scale_of(file, operand, out) && (operand->type == AIOT_INT8 || out->zero_point == 0);
}

bool aiot_stored_scale_of(aiot_flatbuffer *file, const aiot_operand *operand, aiot_scale *out) {
  const bool known = operand->type == AIOT_INT8 || operand->type == AIOT_INT16 || operand->type == AIOT_INT32;
  return known && scale_within(file, operand, 0, aiot_range_stored(operand->type), out);
}

bool aiot_byte_scale_of(aiot_flatbuffer *file, const aiot_operand *operand, aiot_scale *out) {
  return operand->type == AIOT_UINT8 ? scale_of(file, operand, 128, out) : aiot_scale_of(file, operand, out);
}

bool aiot_scale_same(aiot_flatbuffer *file, const aiot_operand *a, const aiot_operand *b) {
  return a->type == AIOT_INT8 && aiot_alike(file, a, b, 1u << AIOT_INT8);
}

bool aiot_alike(aiot_flatbuffer *file, const aiot_operand *a, const aiot_operand *b, uint32_t types) {
  if (a->type != b->type || !(types >> a->type & 1)) return false;
  if (a->type != AIOT_INT8 && a->type != AIOT_INT16) return true;
  aiot_scale first, second;
  if (!aiot_activation_scale_of(file, a, &first) || !aiot_activation_scale_of(file, b, &second)) return false;
  const double larger = first.scale > second.scale ? first.scale : second.scale;
  return fabs(first.scale - second.scale) <= 1e-6 * larger && first.zero_point == second.zero_point;
}

bool aiot_scale_equal(aiot_flatbuffer *file, const aiot_operand *a, const aiot_operand *b) {
  aiot_scale first, second;
  return a->type == b->type && aiot_activation_scale_of(file, a, &first) && aiot_activation_scale_of(file, b, &second) && first.scale == second.scale &&
         first.zero_point == second.zero_point;
}

bool aiot_scale_is(aiot_flatbuffer *file, const aiot_operand *operand, double scale, int32_t zero_point) {
  aiot_scale own;
  return aiot_scale_of(file, operand, &own) && own.scale == scale && own.zero_point == zero_point;
}

int32_t aiot_round(double real) {
  const double most = 1073741824.0;
  const double rounded = round(real);
  return (int32_t)(rounded > most ? most : rounded > -most ? rounded : -most);
}

bool aiot_scale_holds(double scale, double real) {
  return (double)(float)(real / scale) < 2147483648.0;
}

aiot_range aiot_range_whole(int32_t type) {
  return type == AIOT_INT16 ? (aiot_range){INT16_MIN, INT16_MAX} : (aiot_range){INT8_MIN, INT8_MAX};
}

aiot_range aiot_range_stored(int32_t type) {
  return type == AIOT_INT32 ? (aiot_range){INT32_MIN, INT32_MAX} : aiot_range_whole(type);
}

bool aiot_range_of(aiot_scale output, int32_t activation, aiot_range *out) {
  return aiot_range_within(AIOT_INT8, output, activation, out);
}

bool aiot_range_within(int32_t type, aiot_scale output, int32_t activation, aiot_range *out) {
  /* Computed in single precision, as in the reference kernels. */
  const int32_t zero = output.zero_point;
  const int32_t one = aiot_round((double)(float)(1.0 / output.scale));
  const int32_t six = aiot_round((double)(float)(6.0 / output.scale));
  const aiot_range whole = aiot_range_whole(type);
  aiot_range range = whole;
  if (activation == 1) range.low = zero;
  if (activation == 2) range = (aiot_range){zero - one, zero + one};
  if (activation == 3) range = (aiot_range){zero, zero + six};
  out->low = range.low < whole.low ? whole.low : range.low;
  out->high = range.high > whole.high ? whole.high : range.high;
  const double bound = activation == 2 ? 1.0 : activation == 3 ? 6.0 : 0.0;
  return activation >= 0 && activation <= 3 && aiot_scale_holds(output.scale, bound);
}
