#include "mel.h"

#include <math.h>
#include <string.h>

#include "fourier.h"
#include "frames.h"
#include "logarithm.h"
#include "room.h"
#include "turn.h"

struct aiot_mel {
  aiot_mel_spec spec;
  double rate_hz;
  /* Number of frames of a window, and of values of a frame. */
  size_t count;
  size_t width;
  aiot_frames frames;
  aiot_fourier fourier;
  double *taper;
  double *frame;
  /* For each band, its first bin and number of bins; their weights are consecutive. */
  uint32_t *first;
  uint32_t *bins;
  double *weight;
  double *level;
  /* width * bands; NULL without a cosine transform. */
  double *cosine;
  float *rows;
};

/* The mel scale is linear below this frequency in Hz, and logarithmic above it (Slaney 1998). */
static const double bend = 1000, hertz_per_mel = 200.0 / 3;
/* Lowest power of a band. */
static const double least_power = 1e-10;
/* 10/ln 10 */
static const double per_neper = 4.342944819032518;

static double log_step(void) { return aiot_log(6.4) / 27; }

static double mel_of(double hz) { return hz < bend ? hz / hertz_per_mel : bend / hertz_per_mel + aiot_log(hz / bend) / log_step(); }

static double hertz_of(double mel) {
  const double bend_mel = bend / hertz_per_mel;
  return mel < bend_mel ? hertz_per_mel * mel : bend * aiot_exp(log_step() * (mel - bend_mel));
}

bool aiot_mel_wanted(const aiot_signal_spec *spec) {
  return spec->set && (strcmp(spec->set, "logmel") == 0 || strcmp(spec->set, "mfcc") == 0);
}

/* The checks of melMisfit in src/lib/signal/mel.ts, and the limits of project-schema.ts. */
static bool fits(const aiot_signal_spec *spec) {
  const aiot_mel_spec *mel = &spec->mel;
  if (!aiot_mel_frames_fit(spec)) return false;
  return strcmp(spec->set, "mfcc") == 0 ? mel->coefficients >= 1 && mel->coefficients <= mel->bands : mel->coefficients == 0;
}

bool aiot_mel_frames_fit(const aiot_signal_spec *spec) {
  const aiot_mel_spec *mel = &spec->mel;
  if (spec->fields != 1 || mel->frame < 2 || mel->frame > spec->window_samples || mel->hop < 1) return false;
  if (mel->fft < mel->frame || mel->fft > AIOT_WINDOW_MAX || mel->bands < 1 || mel->bands > AIOT_MEL_BANDS_MAX) return false;
  if (spec->stride_samples < spec->window_samples && spec->stride_samples % mel->hop != 0) return false;
  return mel->low_hz >= 0 && mel->high_hz > mel->low_hz && mel->high_hz <= spec->resample_hz / 2;
}

/* Weight of a bin in the triangle between three edges in Hz, before it is scaled. */
static double weight_of(const aiot_mel *own, const double edge[3], size_t bin) {
  const double hz = (double)bin * own->rate_hz / (double)own->spec.fft;
  const double rising = (hz - edge[0]) / (edge[1] - edge[0]);
  const double falling = (edge[2] - hz) / (edge[2] - edge[1]);
  return rising < falling ? rising : falling;
}

static void edges_of(const aiot_mel_spec *mel, size_t band, double edge[3]) {
  const double low = mel_of(mel->low_hz), high = mel_of(mel->high_hz);
  const double step = (high - low) / (double)(mel->bands + 1);
  for (size_t i = 0; i < 3; i++) edge[i] = hertz_of(band + i == mel->bands + 1 ? high : low + step * (double)(band + i));
}

/* Finds the bins of every band; returns their total, or 0 if a band has none. */
static size_t find_bins(aiot_mel *own) {
  size_t total = 0;
  for (size_t b = 0; b < own->spec.bands; b++) {
    double edge[3];
    edges_of(&own->spec, b, edge);
    for (size_t k = 0; k <= own->spec.fft / 2; k++) {
      if (!(weight_of(own, edge, k) > 0)) continue;
      if (own->bins[b]++ == 0) own->first[b] = (uint32_t)k;
    }
    if (own->bins[b] == 0) return 0;
    total += own->bins[b];
  }
  return total;
}

static aiot_code open_filters(aiot_mel *own, aiot_arena *arena) {
  own->first = aiot_room(arena, own->spec.bands, sizeof(uint32_t));
  own->bins = aiot_room(arena, own->spec.bands, sizeof(uint32_t));
  if (!own->first || !own->bins) return AIOT_MEMORY_SHORT;
  const size_t total = find_bins(own);
  if (total == 0) return AIOT_MODEL_UNSUPPORTED;
  own->weight = aiot_doubles(arena, total);
  if (!own->weight) return AIOT_MEMORY_SHORT;
  double *to = own->weight;
  for (size_t b = 0; b < own->spec.bands; b++) {
    double edge[3];
    edges_of(&own->spec, b, edge);
    const double area = 2 / (edge[2] - edge[0]);
    for (size_t k = 0; k < own->bins[b]; k++) *to++ = weight_of(own, edge, own->first[b] + k) * area;
  }
  return AIOT_OK;
}

/* Orthonormal DCT-II. */
static bool open_cosines(aiot_mel *own, aiot_arena *arena) {
  const size_t bands = own->spec.bands;
  own->cosine = aiot_doubles(arena, own->width * bands);
  if (!own->cosine) return false;
  for (size_t c = 0; c < own->width; c++) {
    const double scale = sqrt((c == 0 ? 1.0 : 2.0) / (double)bands);
    for (size_t b = 0; b < bands; b++)
      own->cosine[c * bands + b] = scale * aiot_turn((double)(c * (2 * b + 1) % (4 * bands)), (double)(4 * bands)).cos;
  }
  return true;
}

aiot_code aiot_mel_open(const aiot_signal_spec *spec, aiot_arena *arena, aiot_mel **out) {
  *out = NULL;
  if (!fits(spec)) return AIOT_MODEL_UNSUPPORTED;
  aiot_mel *own = aiot_arena_take(arena, sizeof(aiot_mel), _Alignof(aiot_mel));
  if (!own) return AIOT_MEMORY_SHORT;
  const aiot_mel_spec *mel = &spec->mel;
  *own = (aiot_mel){.spec = *mel, .rate_hz = spec->resample_hz};
  own->count = 1 + (spec->window_samples - mel->frame) / mel->hop;
  own->frames = (aiot_frames){.frame = mel->frame, .hop = mel->hop};
  own->width = mel->coefficients > 0 ? mel->coefficients : mel->bands;
  const aiot_code code = open_filters(own, arena);
  if (code != AIOT_OK) return code;
  if (!aiot_fourier_open(&own->fourier, mel->fft, arena)) return AIOT_MEMORY_SHORT;
  own->taper = aiot_doubles(arena, mel->frame);
  own->frame = aiot_doubles(arena, mel->frame);
  own->level = aiot_doubles(arena, mel->bands);
  own->rows = aiot_room(arena, own->count * own->width, sizeof(float));
  if (!own->taper || !own->frame || !own->level || !own->rows) return AIOT_MEMORY_SHORT;
  if (mel->coefficients > 0 && !open_cosines(own, arena)) return AIOT_MEMORY_SHORT;
  for (size_t i = 0; i < mel->frame; i++) own->taper[i] = 0.5 - 0.5 * aiot_turn((double)i, (double)mel->frame).cos;
  *out = own;
  return AIOT_OK;
}

size_t aiot_mel_count(const aiot_mel *own) { return own->count * own->width; }

static void compute_levels(const aiot_mel *own) {
  const aiot_fourier *f = &own->fourier;
  for (size_t i = 0; i < own->spec.frame; i++) f->re[i] = own->frame[i] * own->taper[i];
  memset(f->re + own->spec.frame, 0, (f->n - own->spec.frame) * sizeof(double));
  memset(f->im, 0, f->n * sizeof(double));
  aiot_fourier_run(f);
  const double *weight = own->weight;
  for (size_t b = 0; b < own->spec.bands; b++) {
    double sum = 0;
    for (size_t k = own->first[b]; k < own->first[b] + own->bins[b]; k++) {
      const double power = f->re[k] * f->re[k] + f->im[k] * f->im[k];
      sum += *weight++ * power;
    }
    own->level[b] = per_neper * aiot_log(sum > least_power ? sum : least_power);
  }
}

static void compute_row(const aiot_mel *own, float *row) {
  compute_levels(own);
  const size_t bands = own->spec.bands;
  for (size_t c = 0; c < own->width; c++) {
    if (!own->cosine) {
      row[c] = (float)own->level[c];
      continue;
    }
    double sum = 0;
    for (size_t b = 0; b < bands; b++) sum += own->cosine[c * bands + b] * own->level[b];
    row[c] = (float)sum;
  }
}

void aiot_mel_add(aiot_mel *own, double sample) {
  const size_t place = aiot_frames_place(&own->frames, own->rows, own->width * sizeof(float));
  if (place == AIOT_FRAMES_GAP) return;
  own->frame[place] = sample;
  size_t row = 0;
  if (aiot_frames_full(&own->frames, &row)) compute_row(own, own->rows + row * own->width);
  aiot_frames_slide(&own->frames, own->frame, sizeof(double));
}

const float *aiot_mel_values(const aiot_mel *own) { return own->rows; }

void aiot_mel_advance(aiot_mel *own, size_t samples) { aiot_frames_advance(&own->frames, samples); }

void aiot_mel_restart(aiot_mel *own) { aiot_frames_restart(&own->frames); }
