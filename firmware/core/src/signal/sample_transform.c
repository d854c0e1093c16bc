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

bool aiot_sample_transform_open(aiot_sample_transform *own, size_t length, int bits, bool inverse, aiot_arena *arena) {
  const size_t half = length / 2;
  *own = (aiot_sample_transform){.length = length, .bits = bits, .inverse = inverse};
  own->inner = aiot_room(arena, length, sizeof(int32_t));
  own->outer = aiot_room(arena, half, sizeof(int32_t));
  own->work = aiot_room(arena, length, sizeof(int32_t));
  if (!own->inner || !own->outer || !own->work) return false;
  rotate(own, own->inner, half, 0, half);
  rotate(own, own->outer, half / 2, half / 2 + 1, length);
  for (size_t rest = half; rest > 1; rest /= own->factor[own->factors++]) own->factor[own->factors] = rest % 4 == 0 ? 4 : 2;
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
