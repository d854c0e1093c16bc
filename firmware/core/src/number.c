/*
 * The shortest decimal of a double. Two exact operations find it for common numbers (up to 15 digits). For the others, the exact
 * decimal expansion, which always exists, is computed and rounded to the smallest number of digits that reads back as the same
 * double.
 */
#include <math.h>
#include <string.h>

#include "aiot/json.h"
#include "aiot/write.h"

/* Digits d1 d2 … of 0.d1d2… × 10^point. */
typedef struct {
  char digit[24];
  int count;
  int point;
} decimal;

static void strip(decimal *number) {
  while (number->count > 1 && number->digit[number->count - 1] == '0') number->count--;
}

/*
 * Finds m and places with value = m / 10^places, both exact. The quotient is then rounded only once, as when the decimal is read.
 */
static bool short_decimal(double value, decimal *out) {
  double power = 1;
  for (int places = 0; places <= 22; places++, power *= 10) {
    double scaled = value * power;
    if (scaled >= 0x1p51) return false;
    double whole = floor(scaled + 0.5);
    if (whole < 1 || whole / power != value) continue;
    uint64_t left = (uint64_t)whole;
    char text[20];
    int at = 20;
    for (; left > 0; left /= 10) text[--at] = (char)('0' + left % 10);
    out->count = 20 - at;
    memcpy(out->digit, text + at, (size_t)out->count);
    out->point = out->count - places;
    strip(out);
    return true;
  }
  return false;
}

#define LIMBS 90
#define LIMB_BASE 1000000000U

static size_t multiply(uint32_t *limb, size_t limbs, uint32_t factor) {
  uint64_t carry = 0;
  for (size_t i = 0; i < limbs; i++) {
    carry += (uint64_t)limb[i] * factor;
    limb[i] = (uint32_t)(carry % LIMB_BASE);
    carry /= LIMB_BASE;
  }
  if (carry > 0 && limbs < LIMBS) limb[limbs++] = (uint32_t)carry;
  return limbs;
}

/*
 * The first 20 digits of the exact expansion. If more follow, the last digit is made odd, so that rounding does not see a tie
 * where there is none.
 */
static void expand(double value, decimal *out) {
  int exponent;
  uint64_t mantissa = (uint64_t)ldexp(frexp(value, &exponent), 53);
  exponent -= 53;
  /* Trailing zeros of the mantissa would only make the number longer. */
  for (; (mantissa & 1) == 0; mantissa >>= 1) exponent++;
  uint32_t limb[LIMBS];
  size_t limbs = 0;
  for (; mantissa > 0; mantissa /= LIMB_BASE) limb[limbs++] = (uint32_t)(mantissa % LIMB_BASE);
  /* m × 2^-k = m × 5^k / 10^k */
  uint32_t base = exponent < 0 ? 5 : 2;
  int places = exponent < 0 ? -exponent : 0;
  for (int left = exponent < 0 ? -exponent : exponent; left > 0;) {
    uint32_t factor = 1;
    for (int i = 0; i < 12 && left > 0; i++, left--) factor *= base;
    limbs = multiply(limb, limbs, factor);
  }
  int total = 0;
  bool more = false;
  out->count = 0;
  for (size_t i = limbs; i-- > 0;) {
    uint32_t unit = LIMB_BASE / 10;
    for (int d = 0; d < 9; d++, unit /= 10) {
      char digit = (char)('0' + limb[i] / unit % 10);
      if (total == 0 && digit == '0') continue;
      total++;
      if (out->count < 20) out->digit[out->count++] = digit;
      else more = more || digit != '0';
    }
  }
  if (more && (out->digit[19] - '0') % 5 == 0) out->digit[19]++;
  out->point = total - places;
}

/* Rounds to `digits` digits, to the nearest (ties to even) or up. */
static decimal rounded(const decimal *exact, int digits, bool upwards) {
  decimal out = *exact;
  if (digits >= exact->count) return out;
  out.count = digits;
  bool half = exact->digit[digits] == '5';
  bool above = exact->digit[digits] > '5';
  for (int i = digits + 1; half && i < exact->count; i++) above = above || exact->digit[i] != '0';
  bool odd = (exact->digit[digits - 1] - '0') % 2 == 1;
  if (above || upwards || (half && odd)) {
    int at = digits - 1;
    while (at >= 0 && out.digit[at] == '9') out.digit[at--] = '0';
    if (at >= 0) {
      out.digit[at]++;
    } else {
      out.digit[0] = '1';
      out.point++;
    }
  }
  strip(&out);
  return out;
}

/* Lays out the number in the format of ECMA-262 Number::toString: with an exponent below 10^-6 and from 10^21 on. */
static size_t lay_out(const decimal *number, char *out) {
  size_t at = 0;
  int count = number->count;
  int point = number->point;
  if (point > 21 || point < -5) {
    out[at++] = number->digit[0];
    if (count > 1) out[at++] = '.';
    for (int i = 1; i < count; i++) out[at++] = number->digit[i];
    out[at++] = 'e';
    int exponent = point - 1;
    out[at++] = exponent < 0 ? '-' : '+';
    exponent = exponent < 0 ? -exponent : exponent;
    if (exponent >= 100) out[at++] = (char)('0' + exponent / 100);
    if (exponent >= 10) out[at++] = (char)('0' + exponent / 10 % 10);
    out[at++] = (char)('0' + exponent % 10);
    return at;
  }
  if (point <= 0) {
    out[at++] = '0';
    out[at++] = '.';
    for (int i = point; i < 0; i++) out[at++] = '0';
  }
  for (int i = 0; i < count; i++) {
    if (i == point && point > 0) out[at++] = '.';
    out[at++] = number->digit[i];
  }
  for (int i = count; i < point; i++) out[at++] = '0';
  return at;
}

static bool reads_as(const char *text, size_t bytes, double value) {
  aiot_json json;
  aiot_json_begin(&json, text, bytes);
  return aiot_json_number(&json) == value;
}

size_t aiot_number_text(double value, char out[AIOT_NUMBER_BYTES]) {
  size_t sign = 0;
  if (value < 0) out[sign++] = '-';
  double size = fabs(value);
  decimal found = {.digit = "0", .count = 1, .point = 1};
  size_t bytes = 0;
  if (size == 0 || short_decimal(size, &found)) {
    bytes = lay_out(&found, out + sign);
  } else {
    decimal exact;
    expand(size, &exact);
    bool usual = size >= 1e-7 && size < 1e15;
    for (int digits = usual ? 15 : 1; digits <= 17; digits++) {
      found = rounded(&exact, digits, false);
      bytes = lay_out(&found, out + sign);
      if (reads_as(out + sign, bytes, size)) break;
      /*
       * Above a power of two, doubles are twice as far apart as below it, so the more distant decimal may be the one that reads
       * back.
       */
      found = rounded(&exact, digits, true);
      bytes = lay_out(&found, out + sign);
      if (reads_as(out + sign, bytes, size)) break;
    }
  }
  out[sign + bytes] = '\0';
  return sign + bytes;
}
