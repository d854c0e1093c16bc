#include "stages.h"

#include <string.h>

#include "room.h"
#include "turn.h"

/*
 * One stage. Before it, the data consists of `s` interleaved signals of p * m samples; after it, of p times as many signals of m
 * samples.
 */
typedef struct {
  const aiot_stages *of;
  size_t p, m, s;
  const double *xr, *xi;
  double *yr, *yi;
} stage;

size_t aiot_largest_factor(size_t n) {
  size_t largest = 1;
  for (size_t p = 2; n > 1; p++) {
    /* n has no factor below p any more, so it is prime once p exceeds its square root. */
    if (p * p > n) return n > largest ? n : largest;
    for (; n % p == 0; n /= p) largest = p;
  }
  return largest;
}

bool aiot_stages_open(aiot_stages *stages, size_t n, aiot_arena *arena) {
  *stages = (aiot_stages){.n = n};
  size_t rest = n, widest = 0;
  for (; rest % 4 == 0; rest /= 4) stages->factor[stages->count++] = 4;
  for (size_t p = 2; rest > 1; p++) {
    for (; rest % p == 0; rest /= p) {
      stages->factor[stages->count++] = (uint8_t)p;
      if (p % 2 == 1 && p != 5) widest = p;
    }
  }
  stages->cos = aiot_doubles(arena, n);
  stages->sin = aiot_doubles(arena, n);
  stages->work_re = aiot_doubles(arena, n);
  stages->work_im = aiot_doubles(arena, n);
  if (widest > 0) stages->odd = aiot_doubles(arena, 4 * ((widest - 1) / 2));
  if (!stages->cos || !stages->sin || !stages->work_re || !stages->work_im || (widest > 0 && !stages->odd)) return false;
  for (size_t i = 0; i < n; i++) {
    const aiot_turned angle = aiot_turn((double)i, (double)n);
    stages->cos[i] = angle.cos;
    stages->sin[i] = -angle.sin;
  }
  const aiot_turned fifth = aiot_turn(1, 5), two_fifths = aiot_turn(2, 5);
  stages->cos72 = fifth.cos;
  stages->sin72 = fifth.sin;
  stages->cos144 = two_fifths.cos;
  stages->sin144 = two_fifths.sin;
  return true;
}

static void turned(const stage *g, size_t to, double re, double im, size_t angle) {
  const double c = g->of->cos[angle], w = g->of->sin[angle];
  g->yr[to] = re * c - im * w;
  g->yi[to] = re * w + im * c;
}

static void radix2(const stage *g) {
  const size_t s = g->s;
  for (size_t t = 0; t < g->m; t++) {
    for (size_t q = 0; q < s; q++) {
      const size_t a = q + s * t, b = a + s * g->m, to = q + s * 2 * t;
      const double dr = g->xr[a] - g->xr[b], di = g->xi[a] - g->xi[b];
      g->yr[to] = g->xr[a] + g->xr[b];
      g->yi[to] = g->xi[a] + g->xi[b];
      turned(g, to + s, dr, di, t * s);
    }
  }
}

static void radix4(const stage *g) {
  const size_t s = g->s, step = s * g->m;
  const double *xr = g->xr, *xi = g->xi;
  for (size_t t = 0; t < g->m; t++) {
    for (size_t q = 0; q < s; q++) {
      const size_t a = q + s * t, to = q + s * 4 * t;
      const double ur = xr[a] + xr[a + 2 * step], ui = xi[a] + xi[a + 2 * step];
      const double vr = xr[a] - xr[a + 2 * step], vi = xi[a] - xi[a + 2 * step];
      const double er = xr[a + step] + xr[a + 3 * step], ei = xi[a + step] + xi[a + 3 * step];
      /* Multiplies by -i. */
      const double fr = xi[a + step] - xi[a + 3 * step], fi = xr[a + 3 * step] - xr[a + step];
      g->yr[to] = ur + er;
      g->yi[to] = ui + ei;
      turned(g, to + s, vr + fr, vi + fi, t * s);
      turned(g, to + 2 * s, ur - er, ui - ei, 2 * t * s);
      turned(g, to + 3 * s, vr - fr, vi - fi, 3 * t * s);
    }
  }
}

static void radix5(const stage *g) {
  const size_t s = g->s, step = s * g->m;
  const double *xr = g->xr, *xi = g->xi;
  const double c1 = g->of->cos72, s1 = g->of->sin72, c2 = g->of->cos144, s2 = g->of->sin144;
  for (size_t t = 0; t < g->m; t++) {
    for (size_t q = 0; q < s; q++) {
      const size_t a = q + s * t, to = q + s * 5 * t;
      const double ar = xr[a], ai = xi[a];
      const double t1r = xr[a + step] + xr[a + 4 * step], t1i = xi[a + step] + xi[a + 4 * step];
      const double d1r = xr[a + step] - xr[a + 4 * step], d1i = xi[a + step] - xi[a + 4 * step];
      const double t2r = xr[a + 2 * step] + xr[a + 3 * step], t2i = xi[a + 2 * step] + xi[a + 3 * step];
      const double d2r = xr[a + 2 * step] - xr[a + 3 * step], d2i = xi[a + 2 * step] - xi[a + 3 * step];
      const double u1r = ar + t1r * c1 + t2r * c2, u1i = ai + t1i * c1 + t2i * c2;
      const double u2r = ar + t1r * c2 + t2r * c1, u2i = ai + t1i * c2 + t2i * c1;
      const double v1r = d1i * s1 + d2i * s2, v1i = -d1r * s1 - d2r * s2;
      const double v2r = d1i * s2 - d2i * s1, v2i = d2r * s1 - d1r * s2;
      g->yr[to] = ar + t1r + t2r;
      g->yi[to] = ai + t1i + t2i;
      turned(g, to + s, u1r + v1r, u1i + v1i, t * s);
      turned(g, to + 2 * s, u2r + v2r, u2i + v2i, 2 * t * s);
      turned(g, to + 3 * s, u2r - v2r, u2i - v2i, 3 * t * s);
      turned(g, to + 4 * s, u1r - v1r, u1i - v1i, 4 * t * s);
    }
  }
}

/*
 * One butterfly of any odd p. Opposite elements are added and subtracted first, which reduces the number of products to a
 * quarter.
 */
static void odd_butterfly(const stage *g, size_t a, size_t to, size_t t) {
  const size_t p = g->p, s = g->s, step = s * g->m, half = (p - 1) / 2, whole = g->of->n / p;
  double *sum_re = g->of->odd, *sum_im = sum_re + half, *dif_re = sum_im + half, *dif_im = dif_re + half;
  const double ar = g->xr[a], ai = g->xi[a];
  double all_re = ar, all_im = ai;
  for (size_t i = 0; i < half; i++) {
    const size_t b = a + (i + 1) * step, c = a + (p - 1 - i) * step;
    sum_re[i] = g->xr[b] + g->xr[c];
    sum_im[i] = g->xi[b] + g->xi[c];
    dif_re[i] = g->xr[b] - g->xr[c];
    dif_im[i] = g->xi[b] - g->xi[c];
    all_re += sum_re[i];
    all_im += sum_im[i];
  }
  g->yr[to] = all_re;
  g->yi[to] = all_im;
  for (size_t k = 1; k <= half; k++) {
    double ur = ar, ui = ai, vr = 0, vi = 0;
    for (size_t i = 0; i < half; i++) {
      const size_t angle = ((i + 1) * k) % p * whole;
      const double c = g->of->cos[angle], w = -g->of->sin[angle];
      ur += sum_re[i] * c;
      ui += sum_im[i] * c;
      vr += dif_im[i] * w;
      vi -= dif_re[i] * w;
    }
    turned(g, to + k * s, ur + vr, ui + vi, k * t * s);
    turned(g, to + (p - k) * s, ur - vr, ui - vi, (p - k) * t * s);
  }
}

static void odd_radix(const stage *g) {
  for (size_t t = 0; t < g->m; t++) {
    for (size_t q = 0; q < g->s; q++) odd_butterfly(g, q + g->s * t, q + g->s * g->p * t, t);
  }
}

void aiot_stages_run(const aiot_stages *stages, double *re, double *im) {
  size_t stride = 1;
  for (size_t i = 0; i < stages->count; i++) {
    const size_t p = stages->factor[i];
    stage g = {.of = stages, .p = p, .m = stages->n / stride / p, .s = stride};
    const bool there = i % 2 == 0;
    g.xr = there ? re : stages->work_re;
    g.xi = there ? im : stages->work_im;
    g.yr = there ? stages->work_re : re;
    g.yi = there ? stages->work_im : im;
    if (p == 2) radix2(&g);
    else if (p == 4) radix4(&g);
    else if (p == 5) radix5(&g);
    else odd_radix(&g);
    stride *= p;
  }
  if (stages->count % 2 == 0) return;
  memcpy(re, stages->work_re, stages->n * sizeof(double));
  memcpy(im, stages->work_im, stages->n * sizeof(double));
}
