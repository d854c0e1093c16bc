#include "sample_transform.h"

#include <math.h>

#include "room.h"
#include "turn.h"

static int32_t wrapped(const aiot_sample_transform *own, int64_t x) {
  return own->bits == 15 ? aiot_wrap16((int32_t)x) : (int32_t)(uint32_t)(uint64_t)x;
}

/* Rounds a product of two fractions. */
static int32_t narrowed(const aiot_sample_transform *own, int64_t x) {
  return wrapped(own, (x + ((int64_t)1 << (own->bits - 1))) >> own->bits);
}

static int64_t whole_of(const aiot_sample_transform *own) {
  return ((int64_t)1 << own->bits) - 1;
}

/* x / by, rounded, which prevents overflow of the following sums. */
static int32_t shrunk(const aiot_sample_transform *own, int32_t x, int by) {
  return narrowed(own, x * (whole_of(own) / by));
}

/* exp(-2 pi i (first + k)/whole), or its conjugate in the inverse. */
static void rotate(const aiot_sample_transform *own, int32_t *to, size_t count, size_t first, size_t whole) {
  const double most = (double)whole_of(own), sign = own->inverse ? 1 : -1;
  for (size_t k = 0; k < count; k++) {
    const aiot_turned angle = aiot_turn((double)((first + k) % whole), (double)whole);
    to[2 * k] = (int32_t)floor(0.5 + most * angle.cos);
    to[2 * k + 1] = (int32_t)floor(0.5 + sign * most * angle.sin);
  }
}

/* Steps of a transform of `half` pairs. Returns their number. */
static size_t factorize(size_t half, uint8_t *factor) {
  size_t count = 0;
  for (size_t rest = half; rest > 1; rest /= factor[count++]) factor[count] = rest % 4 == 0 ? 4 : 2;
  return count;
}

bool aiot_sample_transform_open(aiot_sample_transform *own, size_t length, int bits, bool inverse, aiot_arena *arena) {
  const size_t half = length / 2;
  *own = (aiot_sample_transform){.length = length, .bits = bits, .inverse = inverse};
  own->inner = aiot_room(arena, length, sizeof(int32_t));
  own->outer = aiot_room(arena, half, sizeof(int32_t));
  own->work = aiot_room(arena, length, sizeof(int32_t));
  if (!own->inner || !own->outer || !own->work) return false;
  rotate(own, own->inner, half, 0, half);
  rotate(own, own->outer, half / 2, half / 2 + 1, length);
  own->factors = factorize(half, own->factor);
  return true;
}

typedef struct {
  int32_t re, im;
} pair;

static pair turned(const aiot_sample_transform *own, pair x, const int32_t *by) {
  return (pair){narrowed(own, (int64_t)x.re * by[0] - (int64_t)x.im * by[1]), narrowed(own, (int64_t)x.re * by[1] + (int64_t)x.im * by[0])};
}

static pair shrunk_pair(const aiot_sample_transform *own, const int32_t *x, int by) {
  return (pair){shrunk(own, x[0], by), shrunk(own, x[1], by)};
}

static pair added(const aiot_sample_transform *own, pair a, pair b) {
  return (pair){wrapped(own, (int64_t)a.re + b.re), wrapped(own, (int64_t)a.im + b.im)};
}

static pair subtracted(const aiot_sample_transform *own, pair a, pair b) {
  return (pair){wrapped(own, (int64_t)a.re - b.re), wrapped(own, (int64_t)a.im - b.im)};
}

static void put(int32_t *y, pair x) {
  y[0] = x.re;
  y[1] = x.im;
}

static void join_two(const aiot_sample_transform *own, int32_t *y, size_t part, const int32_t *turn) {
  const pair a = shrunk_pair(own, y, 2), b = turned(own, shrunk_pair(own, y + 2 * part, 2), turn);
  put(y + 2 * part, subtracted(own, a, b));
  put(y, added(own, a, b));
}

static void join_four(const aiot_sample_transform *own, int32_t *y, size_t part, size_t turn) {
  pair x[4];
  for (size_t q = 0; q < 4; q++) {
    x[q] = shrunk_pair(own, y + 2 * q * part, 4);
    if (q > 0) x[q] = turned(own, x[q], own->inner + 2 * turn * q);
  }
  const pair even = added(own, x[0], x[2]), odd = subtracted(own, x[0], x[2]);
  const pair sum = added(own, x[1], x[3]), difference = subtracted(own, x[1], x[3]);
  /* In the inverse, the quarter turn is in the other direction. */
  put(y, added(own, even, sum));
  put(y + 4 * part, subtracted(own, even, sum));
  put(y + (own->inverse ? 6 : 2) * part, (pair){wrapped(own, (int64_t)odd.re + difference.im), wrapped(own, (int64_t)odd.im - difference.re)});
  put(y + (own->inverse ? 2 : 6) * part, (pair){wrapped(own, (int64_t)odd.re - difference.im), wrapped(own, (int64_t)odd.im + difference.re)});
}

/* Transforms every `stride`-th pair of x from `from` into y at the pair `to`. */
static void transform(const aiot_sample_transform *own, const int32_t *x, size_t from, int32_t *y, size_t to, size_t stride, size_t level) {
  if (level == own->factors) {
    y[2 * to] = x[2 * from];
    y[2 * to + 1] = x[2 * from + 1];
    return;
  }
  const size_t factor = own->factor[level], part = own->length / 2 / stride / factor;
  for (size_t i = 0; i < factor; i++) transform(own, x, from + i * stride, y, to + i * part, stride * factor, level + 1);
  for (size_t i = 0; i < part; i++) {
    if (factor == 4) join_four(own, y + 2 * (to + i), part, i * stride);
    else join_two(own, y + 2 * (to + i), part, own->inner + 2 * i * stride);
  }
}

/* The sum of pair k and the conjugate of its mirror image, and their difference, rotated. */
static pair crossed(const aiot_sample_transform *own, const int32_t *x, size_t k, pair *rotated) {
  const int32_t *mirror = x + 2 * (own->length / 2 - k);
  const pair a = shrunk_pair(own, x + 2 * k, 2);
  const pair b = {shrunk(own, mirror[0], 2), shrunk(own, wrapped(own, -(int64_t)mirror[1]), 2)};
  *rotated = turned(own, subtracted(own, a, b), own->outer + 2 * (k - 1));
  return added(own, a, b);
}

static int32_t halved(const aiot_sample_transform *own, int64_t x) {
  return (own->bits == 15 ? (int32_t)x : wrapped(own, x)) >> 1;
}

static void run_forward(const aiot_sample_transform *own, const int32_t *in, int32_t *out) {
  const size_t half = own->length / 2;
  transform(own, in, 0, own->work, 0, 1, 0);
  const pair first = shrunk_pair(own, own->work, 2);
  put(out, (pair){wrapped(own, (int64_t)first.re + first.im), 0});
  put(out + own->length, (pair){wrapped(own, (int64_t)first.re - first.im), 0});
  for (size_t k = 1; k <= half / 2; k++) {
    pair turn;
    const pair sum = crossed(own, own->work, k, &turn);
    put(out + 2 * k, (pair){halved(own, (int64_t)sum.re + turn.re), halved(own, (int64_t)sum.im + turn.im)});
    put(out + 2 * (half - k), (pair){halved(own, (int64_t)sum.re - turn.re), halved(own, (int64_t)turn.im - sum.im)});
  }
}

static void run_inverse(const aiot_sample_transform *own, const int32_t *in, int32_t *out) {
  const size_t half = own->length / 2;
  const int32_t low = in[0], high = in[own->length];
  const int32_t ends[2] = {wrapped(own, (int64_t)low + high), wrapped(own, (int64_t)low - high)};
  put(own->work, shrunk_pair(own, ends, 2));
  for (size_t k = 1; k <= half / 2; k++) {
    pair turn;
    const pair sum = crossed(own, in, k, &turn), other = subtracted(own, sum, turn);
    put(own->work + 2 * k, added(own, sum, turn));
    put(own->work + 2 * (half - k), (pair){other.re, wrapped(own, -(int64_t)other.im)});
  }
  transform(own, own->work, 0, out, 0, 1, 0);
}

void aiot_sample_transform_run(const aiot_sample_transform *own, const int32_t *in, int32_t *out) {
  (own->inverse ? run_inverse : run_forward)(own, in, out);
}

static const double pi = 3.14159265358979323846;

/* Sets the rotation by a phase in double precision, as KISS FFT does. */
static void set_rotation(const aiot_real_transform *own, float *to, double phase) {
  to[0] = (float)cos(phase);
  to[1] = (float)sin(own->inverse ? phase : -phase);
}

bool aiot_real_transform_open(aiot_real_transform *own, size_t length, bool inverse, aiot_arena *arena) {
  const size_t half = length / 2;
  *own = (aiot_real_transform){.length = length, .inverse = inverse};
  own->inner = aiot_room(arena, length, sizeof(float));
  own->outer = aiot_room(arena, half, sizeof(float));
  own->work = aiot_room(arena, length, sizeof(float));
  if (!own->inner || !own->outer || !own->work) return false;
  for (size_t k = 0; k < half; k++) set_rotation(own, own->inner + 2 * k, 2 * pi * (double)k / (double)half);
  for (size_t k = 0; k < half / 2; k++) set_rotation(own, own->outer + 2 * k, pi * ((double)(k + 1) / (double)half + 0.5));
  own->factors = factorize(half, own->factor);
  return true;
}

typedef struct {
  float re, im;
} real_pair;

static real_pair real_at(const float *x) {
  return (real_pair){x[0], x[1]};
}

static void put_real(float *y, float re, float im) {
  y[0] = re;
  y[1] = im;
}

/* Each product is rounded before it is added. */
static real_pair real_turned(real_pair x, const float *by) {
  const float a = x.re * by[0], b = x.im * by[1], c = x.re * by[1], d = x.im * by[0];
  return (real_pair){a - b, c + d};
}

static real_pair real_sum(real_pair a, real_pair b) {
  return (real_pair){a.re + b.re, a.im + b.im};
}

static real_pair real_difference(real_pair a, real_pair b) {
  return (real_pair){a.re - b.re, a.im - b.im};
}

static void real_two(float *y, size_t part, const float *turn) {
  const real_pair a = real_at(y), b = real_turned(real_at(y + 2 * part), turn);
  put_real(y + 2 * part, a.re - b.re, a.im - b.im);
  put_real(y, a.re + b.re, a.im + b.im);
}

static void real_four(const aiot_real_transform *own, float *y, size_t part, size_t turn) {
  real_pair x[4] = {real_at(y)};
  for (size_t q = 1; q < 4; q++) x[q] = real_turned(real_at(y + 2 * q * part), own->inner + 2 * turn * q);
  const real_pair even = real_sum(x[0], x[2]), odd = real_difference(x[0], x[2]);
  const real_pair sum = real_sum(x[1], x[3]), difference = real_difference(x[1], x[3]);
  put_real(y, even.re + sum.re, even.im + sum.im);
  put_real(y + 4 * part, even.re - sum.re, even.im - sum.im);
  put_real(y + (own->inverse ? 6 : 2) * part, odd.re + difference.im, odd.im - difference.re);
  put_real(y + (own->inverse ? 2 : 6) * part, odd.re - difference.im, odd.im + difference.re);
}

/* Like `transform`. */
static void real_stages(const aiot_real_transform *own, const float *x, size_t from, float *y, size_t to, size_t stride, size_t level) {
  if (level == own->factors) {
    put_real(y + 2 * to, x[2 * from], x[2 * from + 1]);
    return;
  }
  const size_t factor = own->factor[level], part = own->length / 2 / stride / factor;
  for (size_t i = 0; i < factor; i++) real_stages(own, x, from + i * stride, y, to + i * part, stride * factor, level + 1);
  for (size_t i = 0; i < part; i++) {
    if (factor == 4) real_four(own, y + 2 * (to + i), part, i * stride);
    else real_two(y + 2 * (to + i), part, own->inner + 2 * i * stride);
  }
}

/* Like `crossed`. */
static real_pair real_crossed(const aiot_real_transform *own, const float *x, size_t k, real_pair *rotated) {
  const float *mirror = x + 2 * (own->length / 2 - k);
  const real_pair a = real_at(x + 2 * k), b = {mirror[0], -mirror[1]};
  *rotated = real_turned(real_difference(a, b), own->outer + 2 * (k - 1));
  return real_sum(a, b);
}

static void real_forward(const aiot_real_transform *own, const float *in, float *out) {
  const size_t half = own->length / 2;
  const float *first = own->work;
  real_stages(own, in, 0, own->work, 0, 1, 0);
  put_real(out, first[0] + first[1], 0);
  put_real(out + own->length, first[0] - first[1], 0);
  for (size_t k = 1; k <= half / 2; k++) {
    real_pair turn;
    const real_pair sum = real_crossed(own, own->work, k, &turn);
    put_real(out + 2 * k, (sum.re + turn.re) * 0.5f, (sum.im + turn.im) * 0.5f);
    put_real(out + 2 * (half - k), (sum.re - turn.re) * 0.5f, (turn.im - sum.im) * 0.5f);
  }
}

static void real_inverse(const aiot_real_transform *own, const float *in, float *out) {
  const size_t half = own->length / 2;
  put_real(own->work, in[0] + in[own->length], in[0] - in[own->length]);
  for (size_t k = 1; k <= half / 2; k++) {
    real_pair turn;
    const real_pair sum = real_crossed(own, in, k, &turn);
    put_real(own->work + 2 * k, sum.re + turn.re, sum.im + turn.im);
    put_real(own->work + 2 * (half - k), sum.re - turn.re, -(sum.im - turn.im));
  }
  real_stages(own, own->work, 0, out, 0, 1, 0);
  for (size_t i = 0; i < own->length; i++) out[i] /= (float)own->length;
}

void aiot_real_transform_run(const aiot_real_transform *own, const float *in, float *out) {
  (own->inverse ? real_inverse : real_forward)(own, in, out);
}
