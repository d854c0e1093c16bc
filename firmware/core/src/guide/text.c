#include "text.h"

#include <math.h>
#include <string.h>

#include "aiot/write.h"

void aiot_guide_put(aiot_guide_text *text, const char *more) {
  const size_t bytes = strlen(more);
  text->failed = text->failed || bytes > text->room - text->used;
  if (text->failed) return;
  memcpy(text->out + text->used, more, bytes);
  text->used += bytes;
}

void aiot_guide_put_quoted(aiot_guide_text *text, const char *more) {
  aiot_writer writer;
  aiot_write_begin(&writer, text->out + text->used, text->room - text->used, AIOT_ENCODING_JSON);
  aiot_write_text(&writer, more);
  const size_t bytes = aiot_write_end(&writer);
  text->failed = text->failed || bytes == 0;
  if (!text->failed) text->used += bytes;
}

/*
 * The integer nearest to value * power, for a value >= 0 and a power of up to 27 bits. If the fraction of the product is exactly
 * a half, its rounding error decides. The error is computed from two halves of the value (Dekker's product), because not every
 * library's fma is exact.
 */
static uint64_t scaled(double value, double power) {
  const double product = value * power, shifted = value * 134217729.0;
  const double high = shifted - (shifted - value), low = value - high;
  const double error = (high * power - product) + low * power;
  const double whole = floor(product), fraction = product - whole;
  /* From 2^53 on, all doubles are whole numbers. The fraction is then in the rounding error. */
  if (product >= 0x1p53) return (uint64_t)((int64_t)product + (int64_t)floor(error + 0.5));
  const bool up = fraction > 0.5 || (fraction >= 0.5 && error >= 0);
  return (uint64_t)whole + (up ? 1u : 0u);
}

static void put_digits(aiot_guide_text *text, uint64_t value, int decimals) {
  char digits[24];
  size_t at = sizeof digits - 1;
  digits[at] = '\0';
  for (int place = 0; value > 0 || place <= decimals; place++) {
    if (place == decimals && decimals > 0) digits[--at] = '.';
    digits[--at] = (char)('0' + value % 10);
    value /= 10;
  }
  aiot_guide_put(text, digits + at);
}

void aiot_guide_put_fixed(aiot_guide_text *text, double value, int decimals) {
  double power = 1;
  for (int i = 0; i < decimals; i++) power *= 10;
  const double size = fabs(value);
  if (!(size * power < 9e18)) {
    text->failed = true;
    return;
  }
  if (value < 0) aiot_guide_put(text, "-");
  put_digits(text, scaled(size, power), decimals);
}

void aiot_guide_put_integer(aiot_guide_text *text, int64_t value) {
  if (value < 0) aiot_guide_put(text, "-");
  put_digits(text, value < 0 ? (uint64_t)0 - (uint64_t)value : (uint64_t)value, 0);
}
