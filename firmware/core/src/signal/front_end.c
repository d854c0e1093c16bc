#include "front_end.h"

#include <math.h>
#include <string.h>

#include "logarithm.h"
#include "room.h"
#include "turn.h"

enum {
  SNR_BITS = 12,
  OUTPUT_BITS = 6,
  LOG_SEGMENTS = 128,
};

/* Product of two fractions of 15 bits, rounded. */
static int32_t product(int32_t a, int32_t b) { return (a * b + 16384) >> 15; }

/* exp(-2 pi i (first + k)/whole): each real part is followed by its imaginary part. */
static void rotate(int16_t *to, size_t count, size_t first, size_t whole) {
  for (size_t k = 0; k < count; k++) {
    const aiot_turned angle = aiot_turn((double)((first + k) % whole), (double)whole);
    to[2 * k] = (int16_t)floor(0.5 + 32767 * angle.cos);
    to[2 * k + 1] = (int16_t)floor(0.5 - 32767 * angle.sin);
  }
}

bool aiot_transform_open(aiot_transform *own, size_t length, aiot_arena *arena) {
  const size_t half = length / 2;
  *own = (aiot_transform){.length = length};
  own->re = aiot_room(arena, half + 1, sizeof(int16_t));
  own->im = aiot_room(arena, half + 1, sizeof(int16_t));
  own->inner = aiot_room(arena, 2 * half, sizeof(int16_t));
  own->outer = aiot_room(arena, half, sizeof(int16_t));
  if (!own->re || !own->im || !own->inner || !own->outer) return false;
  rotate(own->inner, half, 0, half);
  rotate(own->outer, half / 2, half / 2 + 1, length);
  for (size_t rest = half; rest > 1; rest /= own->factor[own->factors++]) own->factor[own->factors] = rest % 4 == 0 ? 4 : 2;
  return true;
}

/* One step of the transform that joins two parts at `to`. */
static void join_two(const aiot_transform *own, size_t to, size_t part, size_t stride) {
  for (size_t i = 0; i < part; i++) {
    const size_t a = to + i, b = a + part;
    const int32_t ar = product(own->re[a], 16383), ai = product(own->im[a], 16383);
    const int32_t br = product(own->re[b], 16383), bi = product(own->im[b], 16383);
    const int32_t c = own->inner[2 * i * stride], s = own->inner[2 * i * stride + 1];
    const int32_t re = aiot_wrap16((br * c - bi * s + 16384) >> 15), im = aiot_wrap16((br * s + bi * c + 16384) >> 15);
    own->re[b] = aiot_wrap16(ar - re);
    own->im[b] = aiot_wrap16(ai - im);
    own->re[a] = aiot_wrap16(ar + re);
    own->im[a] = aiot_wrap16(ai + im);
  }
}

static void join_four(const aiot_transform *own, size_t to, size_t part, size_t stride) {
  for (size_t i = 0; i < part; i++) {
    int32_t re[4], im[4];
    for (size_t q = 0; q < 4; q++) {
      const int32_t vr = product(own->re[to + i + q * part], 8191), vi = product(own->im[to + i + q * part], 8191);
      const int32_t c = own->inner[2 * i * stride * q], s = own->inner[2 * i * stride * q + 1];
      re[q] = q == 0 ? vr : aiot_wrap16((vr * c - vi * s + 16384) >> 15);
      im[q] = q == 0 ? vi : aiot_wrap16((vr * s + vi * c + 16384) >> 15);
    }
    const int32_t even_re = aiot_wrap16(re[0] + re[2]), even_im = aiot_wrap16(im[0] + im[2]);
    const int32_t odd_re = aiot_wrap16(re[0] - re[2]), odd_im = aiot_wrap16(im[0] - im[2]);
    const int32_t sum_re = aiot_wrap16(re[1] + re[3]), sum_im = aiot_wrap16(im[1] + im[3]);
    const int32_t dif_re = aiot_wrap16(re[1] - re[3]), dif_im = aiot_wrap16(im[1] - im[3]);
    int16_t *x = own->re + to + i, *y = own->im + to + i;
    x[0] = aiot_wrap16(even_re + sum_re);
    y[0] = aiot_wrap16(even_im + sum_im);
    x[part] = aiot_wrap16(odd_re + dif_im);
    y[part] = aiot_wrap16(odd_im - dif_re);
    x[2 * part] = aiot_wrap16(even_re - sum_re);
    y[2 * part] = aiot_wrap16(even_im - sum_im);
    x[3 * part] = aiot_wrap16(odd_re - dif_im);
    y[3 * part] = aiot_wrap16(odd_im + dif_re);
  }
}

/* Transforms every `stride`-th pair of samples from `from` into the work space at `to`. At most AIOT_TRANSFORM_LEVELS levels deep. */
static void transform(const aiot_transform *own, const int16_t *samples, size_t from, size_t to, size_t stride, size_t level) {
  if (level == own->factors) {
    own->re[to] = samples[2 * from];
    own->im[to] = samples[2 * from + 1];
    return;
  }
  const size_t factor = own->factor[level], part = own->length / 2 / stride / factor;
  for (size_t i = 0; i < factor; i++) transform(own, samples, from + i * stride, to + i * part, stride * factor, level + 1);
  if (factor == 4) join_four(own, to, part, stride);
  else join_two(own, to, part, stride);
}

/* Turns the transform of pairs, in place, into the first half of that of the real samples. */
static void split(const aiot_transform *own) {
  const size_t half = own->length / 2;
  int16_t *x = own->re, *y = own->im;
  const int32_t first = product(x[0], 16383), second = product(y[0], 16383);
  x[0] = aiot_wrap16(first + second);
  x[half] = aiot_wrap16(first - second);
  y[0] = 0;
  y[half] = 0;
  for (size_t k = 1; k <= half / 2; k++) {
    const int32_t ar = product(x[k], 16383), ai = product(y[k], 16383);
    const int32_t br = product(x[half - k], 16383), bi = product(aiot_wrap16(-y[half - k]), 16383);
    const int32_t sum_re = aiot_wrap16(ar + br), sum_im = aiot_wrap16(ai + bi), dif_re = aiot_wrap16(ar - br), dif_im = aiot_wrap16(ai - bi);
    const int32_t c = own->outer[2 * (k - 1)], s = own->outer[2 * (k - 1) + 1];
    const int32_t re = aiot_wrap16((dif_re * c - dif_im * s + 16384) >> 15), im = aiot_wrap16((dif_re * s + dif_im * c + 16384) >> 15);
    x[k] = aiot_wrap16((sum_re + re) >> 1);
    y[k] = aiot_wrap16((sum_im + im) >> 1);
    x[half - k] = aiot_wrap16((sum_re - re) >> 1);
    y[half - k] = aiot_wrap16((im - sum_im) >> 1);
  }
}

void aiot_transform_run(const aiot_transform *own, const int16_t *samples) {
  transform(own, samples, 0, 0, 1, 0);
  split(own);
}

unsigned aiot_bits_of(uint32_t x) {
  unsigned bits = 0;
  for (; x > 0; x >>= 1) bits++;
  return bits;
}

uint32_t aiot_rounded_root(uint64_t x) {
  uint64_t rest = x, root = 0;
  for (uint64_t bit = (uint64_t)1 << 62; bit > 0; bit >>= 2) {
    if (rest >= root + bit) {
      rest -= root + bit;
      root = (root >> 1) + bit;
    } else {
      root >>= 1;
    }
  }
  const uint64_t most = x >> 32 == 0 ? UINT16_MAX : UINT32_MAX;
  return (uint32_t)(rest > root && root < most ? root + 1 : root);
}

size_t aiot_gain_place(uint32_t x) {
  return x <= 2 ? x : 4 * aiot_bits_of(x) - 6;
}

int32_t aiot_gain_of(uint32_t x, const int16_t *coefficients) {
  if (x <= 2) return coefficients[0];
  const unsigned bits = aiot_bits_of(x);
  const int32_t part = (int32_t)((bits < 11 ? x << (11 - bits) : x >> (bits - 11)) & 0x3ff);
  const int32_t slope = (coefficients[2] * part >> 5) + coefficients[1] * 32;
  const int32_t product = (int32_t)((uint32_t)slope * (uint32_t)part + 16384u);
  return aiot_wrap16((product >> 15) + coefficients[0]);
}

uint32_t aiot_without_noise(const aiot_noise_reduction *own, uint32_t signal, size_t band, uint32_t *noise) {
  const uint32_t scaled = signal << own->smoothing_bits;
  const uint64_t sum = (uint64_t)scaled * own->fresh[band % 2] + (uint64_t)*noise * own->kept[band % 2];
  const uint32_t estimate = (uint32_t)(sum >> own->share_bits), least = estimate < scaled ? estimate : scaled;
  *noise = own->clamps ? least : estimate;
  const uint32_t rest = (scaled - least) >> own->smoothing_bits;
  const uint32_t floor = (uint32_t)((uint64_t)signal * own->remaining >> own->share_bits);
  return rest > floor ? rest : floor;
}

uint32_t aiot_shrunk_ratio(uint64_t ratio) {
  if (ratio < 2u << SNR_BITS) return (uint32_t)(ratio * ratio >> (2 + 2 * SNR_BITS - OUTPUT_BITS));
  return (uint32_t)((ratio >> (SNR_BITS - OUTPUT_BITS)) - (1u << OUTPUT_BITS));
}

/* Segments of the difference between log2(1 + x) and x, with 16 bits of fraction. */
void aiot_fill_logarithms(uint16_t *table) {
  for (size_t i = 0; i < LOG_SEGMENTS; i++) {
    const double x = (double)i / LOG_SEGMENTS;
    table[i] = (uint16_t)floor(65536 * (aiot_log(1 + x) / aiot_log(2) - x) + 0.5);
  }
  table[LOG_SEGMENTS] = 0;
  table[LOG_SEGMENTS + 1] = 0;
}

uint32_t aiot_scaled_logarithm(uint32_t x, uint32_t scale, const uint16_t *table) {
  const unsigned whole = aiot_bits_of(x) - 1;
  const uint32_t rest = x - (1u << whole);
  const int32_t part = (int32_t)(whole < 16 ? rest << (16 - whole) : rest >> (whole - 16));
  const int32_t segment = part >> 9, low = table[segment], high = table[segment + 1];
  const int32_t fraction = part + low + ((high - low) * (part - 512 * segment) >> 16);
  const uint64_t log2 = (uint64_t)whole * 65536 + (uint64_t)fraction;
  /* 45426 is ln 2 with 16 bits of fraction. */
  const uint32_t natural = (uint32_t)((45426 * log2 + 32768) >> 16);
  return (natural * scale + 32768u) >> 16;
}
