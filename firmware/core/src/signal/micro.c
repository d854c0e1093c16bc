#include "micro.h"

#include <math.h>
#include <string.h>

#include "frames.h"
#include "front_end.h"
#include "logarithm.h"
#include "mel.h"
#include "room.h"
#include "turn.h"

enum {
  /* Bits of the fractions of window and filter weights, of smoothing, and of the gain. */
  WEIGHT_BITS = 12,
  SMOOTHING_BITS = 10,
  SHARE_BITS = 14,
  GAIN_BITS = 21,
  SNR_BITS = 12,
  LOG_SCALE = 64,
  /* Shares of 2^SHARE_BITS: a new value in the noise estimate of even and odd bands, and a signal's part that is never removed. */
  EVEN_SHARE = 409,
  ODD_SHARE = 983,
  REMAINING_SHARE = 819,
  GAINS = 4 * 32 - 2,
  FFT_MIN = 64,
  FFT_MAX = 1024,
};

static const double tau = 6.283185307179586477;
/* Power law and offset of the gain. */
static const double strength = 0.95, offset = 80;

struct aiot_micro {
  size_t fft;
  size_t bands;
  /* Number of frames in a window. */
  size_t count;
  aiot_frames frames;
  int16_t *taper;
  /* Samples of the current frame, and the tapered and padded frame. */
  int16_t *frame;
  int16_t *tapered;
  aiot_transform transform;
  /* The first bin of all bands; for each edge, the bin after its last one; and the weights of the bins below and above the edge. */
  size_t first;
  uint16_t *end;
  int16_t *rising;
  int16_t *falling;
  int16_t *gain;
  uint16_t *log_table;
  /* Levels of each frame of the window; in a stream, of the current frame. */
  uint32_t *levels;
  /* In a stream, the noise estimate of each band; otherwise NULL. */
  uint32_t *noise;
  float *out;
};

static unsigned correction_bits(size_t fft) { return aiot_bits_of((uint32_t)fft) - 1 - WEIGHT_BITS / 2; }

bool aiot_micro_wanted(const aiot_signal_spec *spec) { return spec->set && strcmp(spec->set, "microfrontend") == 0; }

static size_t frame_count(const aiot_signal_spec *spec) {
  return 1 + (spec->window_samples - spec->mel.frame) / spec->mel.hop;
}

/* The checks of microMisfit, except that of empty bands. */
static bool fits(const aiot_signal_spec *spec) {
  const size_t fft = spec->mel.fft, hop = spec->mel.hop, stride = spec->stride_samples;
  if (!aiot_mel_frames_fit(spec) || spec->mel.coefficients != 0) return false;
  if (fft < FFT_MIN || fft > FFT_MAX || (fft & (fft - 1)) != 0) return false;
  return !spec->mel.stream || (stride % hop == 0 && stride / hop <= frame_count(spec));
}

/* Mels in single precision, as the original computes them. */
static float mel_of(double hz) {
  const float ratio = (float)(hz / 700);
  const float logarithm = (float)aiot_log(1 + (double)ratio);
  return (float)(1127 * (double)logarithm);
}

static float edge_of(const aiot_mel_spec *mel, size_t edge) {
  const float low = mel_of(mel->low_hz), high = mel_of(mel->high_hz);
  const float step = (float)((double)(float)((double)high - (double)low) / (double)(mel->bands + 1));
  return (float)((double)low + (double)(float)((double)step * (double)edge));
}

static int16_t quantized(float weight) { return (int16_t)floor((double)(float)((double)weight * 4096 + 0.5)); }

/*
 * Finds the bins up to each edge and, if there is memory for them, their weights. Returns the number of bins, or 0 if a band has none.
 */
static size_t find_bins(aiot_micro *own, const aiot_signal_spec *spec, bool weigh) {
  const aiot_mel_spec *mel = &spec->mel;
  const double hz_per_bin = (double)(float)(0.5 * spec->resample_hz / (double)(mel->fft / 2));
  own->first = (size_t)(1.5 + mel->low_hz / hz_per_bin);
  size_t bin = own->first, previous = 0;
  for (size_t e = 0; e <= mel->bands; e++) {
    const float below = edge_of(mel, e), edge = edge_of(mel, e + 1);
    const size_t start = bin;
    for (; bin <= mel->fft / 2; bin++) {
      const float at = mel_of((double)(float)((double)bin * hz_per_bin));
      if (!(at <= edge)) break;
      if (!weigh) continue;
      const float weight = (float)((double)(float)((double)edge - (double)at) / (double)(float)((double)edge - (double)below));
      own->rising[bin - own->first] = quantized(weight);
      own->falling[bin - own->first] = quantized((float)(1 - (double)weight));
    }
    own->end[e] = (uint16_t)bin;
    if (e > 0 && previous + (bin - start) == 0) return 0;
    previous = bin - start;
  }
  return bin - own->first;
}

static aiot_code open_filters(aiot_micro *own, const aiot_signal_spec *spec, aiot_arena *arena) {
  own->end = aiot_room(arena, own->bands + 1, sizeof(uint16_t));
  if (!own->end) return AIOT_MEMORY_SHORT;
  const size_t total = find_bins(own, spec, false);
  if (total == 0) return AIOT_MODEL_UNSUPPORTED;
  own->rising = aiot_room(arena, total, sizeof(int16_t));
  own->falling = aiot_room(arena, total, sizeof(int16_t));
  if (!own->rising || !own->falling) return AIOT_MEMORY_SHORT;
  find_bins(own, spec, true);
  return AIOT_OK;
}

static int32_t gain_at(double x, unsigned correction) {
  const float value = (float)(x / (double)(1 << (SMOOTHING_BITS - correction)));
  const double logarithm = aiot_log((double)(float)((double)value + offset));
  const float power = (float)(1 / aiot_exp((double)(float)strength * logarithm));
  const float scaled = (float)((double)(1 << GAIN_BITS) * (double)power);
  return scaled > INT16_MAX ? INT16_MAX : (int32_t)(float)((double)scaled + 0.5);
}

/* Interpolation of the gain in segments that double in length. */
static void fill_gains(int16_t *table, unsigned correction) {
  table[0] = aiot_wrap16(gain_at(0, correction));
  table[1] = aiot_wrap16(gain_at(1, correction));
  for (unsigned bits = 2; bits <= 32; bits++) {
    const double start = (double)(1u << (bits - 1));
    const int32_t low = gain_at(start, correction), middle = gain_at(1.5 * start, correction);
    const int32_t high = gain_at(bits == 32 ? 2 * start - 1 : 2 * start, correction);
    const int32_t slope = 4 * (middle - low) - (high - low);
    table[4 * bits - 6] = aiot_wrap16(low);
    table[4 * bits - 5] = aiot_wrap16(slope);
    table[4 * bits - 4] = aiot_wrap16(high - low - slope);
  }
}

aiot_code aiot_micro_open(const aiot_signal_spec *spec, aiot_arena *arena, aiot_micro **out) {
  *out = NULL;
  if (!fits(spec)) return AIOT_MODEL_UNSUPPORTED;
  aiot_micro *own = aiot_arena_take(arena, sizeof(aiot_micro), _Alignof(aiot_micro));
  if (!own) return AIOT_MEMORY_SHORT;
  const aiot_mel_spec *mel = &spec->mel;
  *own = (aiot_micro){.fft = mel->fft, .bands = mel->bands, .frames = {.frame = mel->frame, .hop = mel->hop}};
  own->count = frame_count(spec);
  const aiot_code code = open_filters(own, spec, arena);
  if (code != AIOT_OK) return code;
  own->tapered = aiot_room(arena, own->fft, sizeof(int16_t));
  if (!own->tapered || !aiot_transform_open(&own->transform, own->fft, arena)) return AIOT_MEMORY_SHORT;
  own->taper = aiot_room(arena, mel->frame, sizeof(int16_t));
  own->frame = aiot_room(arena, mel->frame, sizeof(int16_t));
  own->gain = aiot_room(arena, GAINS, sizeof(int16_t));
  own->log_table = aiot_room(arena, AIOT_LOGARITHMS, sizeof(uint16_t));
  own->levels = aiot_room(arena, (mel->stream ? 1 : own->count) * own->bands, sizeof(uint32_t));
  if (mel->stream) own->noise = aiot_room(arena, own->bands, sizeof(uint32_t));
  own->out = aiot_room(arena, own->count * own->bands, sizeof(float));
  if (!own->taper || !own->frame || !own->gain || !own->log_table || !own->levels || !own->out) return AIOT_MEMORY_SHORT;
  if (mel->stream && !own->noise) return AIOT_MEMORY_SHORT;
  aiot_micro_reset(own);
  const double step = (double)(float)(tau / (double)mel->frame);
  for (size_t i = 0; i < mel->frame; i++) {
    const float angle = (float)(step * ((double)i + 0.5));
    const float cosine = (float)aiot_turn((double)angle, tau).cos;
    own->taper[i] = (int16_t)floor((double)(float)(0.5 - 0.5 * (double)cosine) * 4096 + 0.5);
  }
  fill_gains(own->gain, correction_bits(own->fft));
  aiot_fill_logarithms(own->log_table);
  *out = own;
  return AIOT_OK;
}

size_t aiot_micro_count(const aiot_micro *own) { return own->count * own->bands; }

/* Square roots of the bands' energies in the current frame. */
static void compute_levels(const aiot_micro *own, uint32_t *levels) {
  int32_t largest = 0;
  for (size_t i = 0; i < own->frames.frame; i++) {
    own->tapered[i] = aiot_wrap16((int32_t)own->frame[i] * own->taper[i] >> WEIGHT_BITS);
    /* The magnitude of -32768 wraps, as in the original, and is ignored. */
    const int32_t size = aiot_wrap16(own->tapered[i] < 0 ? -own->tapered[i] : own->tapered[i]);
    if (size > largest) largest = size;
  }
  const unsigned shift = 15 - aiot_bits_of((uint32_t)largest);
  for (size_t i = 0; i < own->frames.frame; i++) own->tapered[i] = aiot_wrap16((int32_t)((uint32_t)(int32_t)own->tapered[i] << shift));
  memset(own->tapered + own->frames.frame, 0, (own->fft - own->frames.frame) * sizeof(int16_t));
  aiot_transform_run(&own->transform, own->tapered);
  uint64_t falling = 0;
  size_t bin = own->first;
  for (size_t e = 0; e <= own->bands; e++) {
    uint64_t sum = falling;
    falling = 0;
    for (; bin < own->end[e]; bin++) {
      const int32_t re = own->transform.re[bin], im = own->transform.im[bin];
      const uint64_t energy = (uint64_t)((int64_t)re * re + (int64_t)im * im);
      sum += (uint64_t)own->rising[bin - own->first] * energy;
      falling += (uint64_t)own->falling[bin - own->first] * energy;
    }
    if (e > 0) levels[e - 1] = aiot_rounded_root(sum) >> shift;
  }
}

/* A share of full scale as int16; halves are rounded up, and NaN is 0. */
static int16_t full_scale(double share) {
  const double value = floor(share * 32768 + 0.5);
  if (isnan(value)) return 0;
  return value > INT16_MAX ? INT16_MAX : value < INT16_MIN ? INT16_MIN : (int16_t)value;
}

static const aiot_noise_reduction noise_reduction = {
    .smoothing_bits = SMOOTHING_BITS,
    .share_bits = SHARE_BITS,
    .fresh = {EVEN_SHARE, ODD_SHARE},
    .kept = {(1 << SHARE_BITS) - EVEN_SHARE, (1 << SHARE_BITS) - ODD_SHARE},
    .remaining = REMAINING_SHARE,
};

static uint32_t normalize(uint32_t signal, int32_t gain, unsigned correction) {
  return aiot_shrunk_ratio((uint64_t)((int64_t)signal * gain) >> (GAIN_BITS - correction - SNR_BITS));
}

/* Natural logarithm times LOG_SCALE. */
static uint32_t logarithm_of(uint32_t x, const uint16_t *table) {
  if (x <= 1) return 0;
  const uint32_t scaled = aiot_scaled_logarithm(x, LOG_SCALE, table);
  return scaled < UINT16_MAX ? scaled : UINT16_MAX;
}

/* The value of a band in the next frame. */
static float value_of(const aiot_micro *own, size_t band, uint32_t level, uint32_t *noise) {
  const unsigned correction = correction_bits(own->fft);
  const uint32_t signal = aiot_without_noise(&noise_reduction, level, band, noise);
  const uint32_t normal = normalize(signal, aiot_gain_of(*noise, own->gain + aiot_gain_place(*noise)), correction);
  return (float)logarithm_of(normal << correction, own->log_table);
}

static void compute_row(const aiot_micro *own, size_t row) {
  if (!own->noise) {
    compute_levels(own, own->levels + row * own->bands);
    return;
  }
  compute_levels(own, own->levels);
  for (size_t b = 0; b < own->bands; b++) own->out[row * own->bands + b] = value_of(own, b, own->levels[b], &own->noise[b]);
}

void aiot_micro_add(aiot_micro *own, double sample) {
  void *rows = own->levels;
  size_t value_bytes = sizeof(uint32_t);
  if (own->noise) {
    rows = own->out;
    value_bytes = sizeof(float);
  }
  const size_t place = aiot_frames_place(&own->frames, rows, own->bands * value_bytes);
  if (place == AIOT_FRAMES_GAP) return;
  own->frame[place] = full_scale(sample);
  size_t row = 0;
  if (aiot_frames_full(&own->frames, &row)) compute_row(own, row);
  aiot_frames_slide(&own->frames, own->frame, sizeof(int16_t));
}

const float *aiot_micro_values(aiot_micro *own) {
  if (own->noise) return own->out;
  for (size_t b = 0; b < own->bands; b++) {
    uint32_t noise = 0;
    for (size_t at = b; at < own->count * own->bands; at += own->bands) own->out[at] = value_of(own, b, own->levels[at], &noise);
  }
  return own->out;
}

void aiot_micro_advance(aiot_micro *own, size_t samples) { aiot_frames_advance(&own->frames, samples); }

void aiot_micro_restart(aiot_micro *own) { aiot_frames_restart(&own->frames); }

void aiot_micro_reset(aiot_micro *own) {
  aiot_micro_restart(own);
  if (own->noise) memset(own->noise, 0, own->bands * sizeof(uint32_t));
}
