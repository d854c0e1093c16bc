#include "fourier.h"

#include <string.h>

#include "room.h"
#include "turn.h"

/* The smallest product of twos and fives that is at least `least`. */
static size_t smooth_from(size_t least) {
  size_t best = SIZE_MAX;
  for (size_t fives = 1; fives < 2 * least; fives *= 5) {
    size_t value = fives;
    while (value < least) value *= 2;
    if (value < best) best = value;
  }
  return best;
}

static bool chirp_open(aiot_fourier *f, aiot_arena *arena) {
  const size_t n = f->n, m = smooth_from(2 * n - 1);
  if (!aiot_stages_open(&f->stages, m, arena)) return false;
  f->chirp_cos = aiot_doubles(arena, n);
  f->chirp_sin = aiot_doubles(arena, n);
  f->filter_re = aiot_doubles(arena, m);
  f->filter_im = aiot_doubles(arena, m);
  f->chirp_re = aiot_doubles(arena, m);
  f->chirp_im = aiot_doubles(arena, m);
  if (!f->chirp_cos || !f->chirp_sin || !f->filter_re || !f->filter_im || !f->chirp_re || !f->chirp_im) return false;
  for (size_t k = 0; k < n; k++) {
    /* Reducing k^2 modulo a whole turn keeps the angle exact. */
    const aiot_turned angle = aiot_turn((double)((uint64_t)k * k % (2 * n)), (double)(2 * n));
    f->chirp_cos[k] = angle.cos;
    f->chirp_sin[k] = angle.sin;
    f->filter_re[k] = angle.cos / (double)m;
    f->filter_im[k] = angle.sin / (double)m;
    if (k > 0) {
      f->filter_re[m - k] = f->filter_re[k];
      f->filter_im[m - k] = f->filter_im[k];
    }
  }
  aiot_stages_run(&f->stages, f->filter_re, f->filter_im);
  return true;
}

bool aiot_fourier_open(aiot_fourier *f, size_t n, aiot_arena *arena) {
  *f = (aiot_fourier){.n = n, .re = aiot_doubles(arena, n), .im = aiot_doubles(arena, n)};
  if (!f->re || !f->im) return false;
  if (aiot_largest_factor(n) > AIOT_FACTOR_MAX) return chirp_open(f, arena);
  return aiot_stages_open(&f->stages, n, arena);
}

static void chirp_run(const aiot_fourier *f) {
  const size_t n = f->n, m = f->stages.n;
  const double *cos = f->chirp_cos, *sin = f->chirp_sin;
  double *re = f->re, *im = f->im, *work_re = f->chirp_re, *work_im = f->chirp_im;
  for (size_t k = 0; k < n; k++) {
    work_re[k] = re[k] * cos[k] + im[k] * sin[k];
    work_im[k] = im[k] * cos[k] - re[k] * sin[k];
  }
  memset(work_re + n, 0, (m - n) * sizeof(double));
  memset(work_im + n, 0, (m - n) * sizeof(double));
  aiot_stages_run(&f->stages, work_re, work_im);
  for (size_t k = 0; k < m; k++) {
    const double a = work_re[k], b = work_im[k];
    work_re[k] = a * f->filter_re[k] - b * f->filter_im[k];
    /* The values are conjugated, because the transform of a conjugate is the conjugate of the inverse transform. */
    work_im[k] = -(a * f->filter_im[k] + b * f->filter_re[k]);
  }
  aiot_stages_run(&f->stages, work_re, work_im);
  for (size_t k = 0; k < n; k++) {
    const double a = work_re[k], b = -work_im[k];
    re[k] = a * cos[k] + b * sin[k];
    im[k] = b * cos[k] - a * sin[k];
  }
}

void aiot_fourier_run(const aiot_fourier *f) {
  if (f->chirp_cos) chirp_run(f);
  else aiot_stages_run(&f->stages, f->re, f->im);
}
