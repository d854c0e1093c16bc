#include "json_number.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/*
 * A number halfway between two doubles has at most 767 significant digits. In a longer number, only these digits matter, and
 * whether any later digit is nonzero.
 */
enum { DIGITS_MAX = 768 };

/* 769 digits take 2555 bits, and 5^1112 times 2^54 takes 2637. A shift by less than a limb is added. */
enum { LIMBS = 96 };

/* A natural number, least significant limb first, without leading zeros. */
typedef struct {
  size_t used;
  uint32_t limb[LIMBS];
} natural;

/* digits * 10^exponent, where `digits` has no leading zero; a `count` of 0 means zero. */
typedef struct {
  const char *digits;
  size_t count;
  /* Whether a nonzero digit follows the digits that are counted. */
  bool more;
  int32_t exponent;
  /* The first 19 digits. */
  uint64_t head;
  size_t head_count;
  bool negative;
} decimal;

static void multiply_add(natural *n, uint32_t factor, uint32_t addend) {
  uint64_t carry = addend;
  for (size_t i = 0; i < n->used; i++) {
    carry += (uint64_t)n->limb[i] * factor;
    n->limb[i] = (uint32_t)carry;
    carry >>= 32;
  }
  if (carry != 0 && n->used < LIMBS) n->limb[n->used++] = (uint32_t)carry;
}

static void multiply_by_power_of_5(natural *n, uint32_t exponent) {
  for (; exponent >= 13; exponent -= 13) multiply_add(n, 1220703125u, 0);
  uint32_t rest = 1;
  for (; exponent > 0; exponent--) rest *= 5;
  multiply_add(n, rest, 0);
}

static void shift_left(natural *n, uint32_t bits) {
  const size_t limbs = bits / 32;
  if (limbs > 0 && n->used > 0 && n->used + limbs <= LIMBS) {
    memmove(n->limb + limbs, n->limb, n->used * sizeof n->limb[0]);
    memset(n->limb, 0, limbs * sizeof n->limb[0]);
    n->used += limbs;
  }
  if (bits % 32 != 0) multiply_add(n, (uint32_t)1 << (bits % 32), 0);
}

static int compare(const natural *a, const natural *b) {
  if (a->used != b->used) return a->used < b->used ? -1 : 1;
  for (size_t i = a->used; i-- > 0;) {
    if (a->limb[i] != b->limb[i]) return a->limb[i] < b->limb[i] ? -1 : 1;
  }
  return 0;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static decimal read_decimal(const char *text, size_t bytes) {
  decimal d = {.digits = text};
  size_t at = 0;
  bool fraction = false;
  if (text[at] == '-') {
    d.negative = true;
    at++;
  }
  int32_t dropped = 0, after_point = 0;
  for (; at < bytes && (is_digit(text[at]) || text[at] == '.'); at++) {
    if (text[at] == '.') {
      fraction = true;
      continue;
    }
    if (fraction && after_point < INT32_MAX / 4) after_point++;
    if (d.count == 0 && text[at] == '0') continue;
    if (d.count == 0) d.digits = text + at;
    if (d.count < DIGITS_MAX) {
      d.count++;
      if (d.head_count < 19) {
        d.head = 10 * d.head + (uint64_t)(text[at] - '0');
        d.head_count++;
      }
    } else {
      if (dropped < INT32_MAX / 4) dropped++;
      d.more = d.more || text[at] != '0';
    }
  }
  int32_t exponent = 0;
  if (at < bytes) {
    at++;
    const bool down = text[at] == '-';
    if (!is_digit(text[at])) at++;
    /*
     * Beyond this exponent, the value is zero or infinity regardless of its digits, because a device's memory cannot contain
     * enough of them.
     */
    for (; at < bytes; at++)
      if (exponent < 100000000) exponent = 10 * exponent + (text[at] - '0');
    if (down) exponent = -exponent;
  }
  d.exponent = exponent + dropped - after_point;
  return d;
}

static void load_digits(natural *n, const decimal *d) {
  n->used = 0;
  uint32_t chunk = 0, scale = 1;
  const char *c = d->digits;
  for (size_t left = d->count; left > 0; c++) {
    if (*c == '.') continue;
    chunk = 10 * chunk + (uint32_t)(*c - '0');
    scale *= 10;
    left--;
    if (scale < 1000000000u && left > 0) continue;
    multiply_add(n, scale, chunk);
    chunk = 0;
    scale = 1;
  }
  if (d->more) multiply_add(n, 10, 1);
}

/* Compares the decimal with significand * 2^exponent. */
static int compare_with(const decimal *d, uint64_t significand, int32_t exponent) {
  natural ours, other;
  load_digits(&ours, d);
  other.used = significand >> 32 != 0 ? 2 : 1;
  other.limb[0] = (uint32_t)significand;
  other.limb[1] = (uint32_t)(significand >> 32);
  const int32_t tens = d->exponent - (d->more ? 1 : 0);
  multiply_by_power_of_5(tens >= 0 ? &ours : &other, (uint32_t)(tens >= 0 ? tens : -tens));
  const int32_t twos = tens - exponent;
  shift_left(twos >= 0 ? &ours : &other, (uint32_t)(twos >= 0 ? twos : -twos));
  return compare(&ours, &other);
}

static uint64_t bits_of(double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

static double double_of(uint64_t bits) {
  double value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* Compares the decimal with the midpoint between the double with these bits (positive, finite) and the next larger one. */
static int compare_with_middle(const decimal *d, uint64_t bits) {
  const uint64_t fraction = bits & (((uint64_t)1 << 52) - 1);
  const int32_t biased = (int32_t)(bits >> 52);
  const uint64_t significand = biased == 0 ? fraction : fraction | (uint64_t)1 << 52;
  return compare_with(d, 2 * significand + 1, (biased == 0 ? 1 : biased) - 1076);
}

/* 10^22 is the largest power of ten that a double represents exactly. */
static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static double magnitude(const decimal *d) {
  /* Exponent of the first digit. It has 64 bits, because the text may be long. */
  const int64_t top = (int64_t)d->exponent + (int64_t)d->count;
  if (d->count == 0 || top < -330) return 0;
  if (top > 310) return INFINITY;
  int32_t tens = d->exponent + (int32_t)(d->count - d->head_count);
  double near = (double)d->head;
  /* Both operands are exact, so the result is rounded only once (Clinger's fast path). */
  const bool exact = d->count == d->head_count && d->head <= (uint64_t)1 << 53;
  if (exact && tens >= -22 && tens <= 22) return tens < 0 ? near / powers[-tens] : near * powers[tens];
  /* The estimate is off by at most a few units in the last place. Exact comparisons then determine the right double. */
  for (; tens > 22; tens -= 22) near *= powers[22];
  for (; tens < -22; tens += 22) near /= powers[22];
  near = tens < 0 ? near / powers[-tens] : near * powers[tens];
  uint64_t bits = bits_of(near > DBL_MAX ? DBL_MAX : near);
  const uint64_t infinite = (uint64_t)0x7ff << 52;
  for (; bits < infinite; bits++) {
    const int side = compare_with_middle(d, bits);
    if (side < 0 || (side == 0 && (bits & 1) == 0)) break;
  }
  for (; bits > 0; bits--) {
    const int side = compare_with_middle(d, bits - 1);
    if (side > 0 || (side == 0 && (bits & 1) == 0)) break;
  }
  return double_of(bits);
}

double aiot_json_nearest(const char *text, size_t bytes) {
  const decimal d = read_decimal(text, bytes);
  const double value = magnitude(&d);
  return d.negative ? -value : value;
}
