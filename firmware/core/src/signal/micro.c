#include "micro.h"

#include <math.h>
#include <string.h>

#include "frames.h"
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
  OUTPUT_BITS = 6,
  LOG_SHIFT = 6,
  /* Shares of 2^SHARE_BITS: a new value in the noise estimate of even and odd bands, and a signal's part that is never removed. */
  EVEN_SHARE = 409,
  ODD_SHARE = 983,
  REMAINING_SHARE = 819,
  GAINS = 4 * 32 - 2,
  LOG_SEGMENTS = 128,
  FACTORS_MAX = 6,
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
  /* Complex values: half the transform's length, plus one. */
  int16_t *re;
  int16_t *im;
  /* Rotations of the half-length transform, and of its conversion to the transform of the real values. */
  int16_t *inner;
  int16_t *outer;
  uint8_t factor[FACTORS_MAX];
  size_t factors;
  /* The first bin of all bands; for each edge the bin after its last one; and weights of the bins below and above the edge. */
  size_t first;
  uint16_t *end;
  int16_t *rising;
  int16_t *falling;
  int16_t *gain;
  uint16_t *log_table;
  uint32_t *levels;
  float *out;
};

static int16_t wrap(int32_t value) { return (int16_t)(uint16_t)(uint32_t)value; }

/* Product of two fractions of 15 bits, rounded. */
static int32_t product(int32_t a, int32_t b) { return (a * b + 16384) >> 15; }

static unsigned bits_of(uint32_t x) {
  unsigned bits = 0;
  for (; x > 0; x >>= 1) bits++;
  return bits;
}

static unsigned correction_bits(size_t fft) { return bits_of((uint32_t)fft) - 1 - WEIGHT_BITS / 2; }

bool aiot_micro_wanted(const aiot_signal_spec *spec) { return spec->set && strcmp(spec->set, "microfrontend") == 0; }

/* The checks of microMisfit, except that of empty bands. */
static bool fits(const aiot_signal_spec *spec) {
  const size_t fft = spec->mel.fft;
  return aiot_mel_frames_fit(spec) && spec->mel.coefficients == 0 && fft >= FFT_MIN && fft <= FFT_MAX && (fft & (fft - 1)) == 0;
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

/* exp(-2 pi i (first + k)/whole), real and imaginary part one after the other. */
static void rotate(int16_t *to, size_t count, size_t first, size_t whole) {
  for (size_t k = 0; k < count; k++) {
    const aiot_turned angle = aiot_turn((double)((first + k) % whole), (double)whole);
    to[2 * k] = (int16_t)floor(0.5 + 32767 * angle.cos);
    to[2 * k + 1] = (int16_t)floor(0.5 - 32767 * angle.sin);
  }
}

static bool open_transform(aiot_micro *own, aiot_arena *arena) {
  const size_t half = own->fft / 2;
  own->tapered = aiot_room(arena, own->fft, sizeof(int16_t));
  own->re = aiot_room(arena, half + 1, sizeof(int16_t));
  own->im = aiot_room(arena, half + 1, sizeof(int16_t));
  own->inner = aiot_room(arena, 2 * half, sizeof(int16_t));
  own->outer = aiot_room(arena, half, sizeof(int16_t));
  if (!own->tapered || !own->re || !own->im || !own->inner || !own->outer) return false;
  rotate(own->inner, half, 0, half);
  rotate(own->outer, half / 2, half / 2 + 1, own->fft);
  for (size_t rest = half; rest > 1; rest /= own->factor[own->factors++]) own->factor[own->factors] = rest % 4 == 0 ? 4 : 2;
  return true;
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
  table[0] = wrap(gain_at(0, correction));
  table[1] = wrap(gain_at(1, correction));
  for (unsigned bits = 2; bits <= 32; bits++) {
    const double start = (double)(1u << (bits - 1));
    const int32_t low = gain_at(start, correction), middle = gain_at(1.5 * start, correction);
    const int32_t high = gain_at(bits == 32 ? 2 * start - 1 : 2 * start, correction);
    const int32_t slope = 4 * (middle - low) - (high - low);
    table[4 * bits - 6] = wrap(low);
    table[4 * bits - 5] = wrap(slope);
    table[4 * bits - 4] = wrap(high - low - slope);
  }
}

/* Segments of the difference between log2(1 + x) and x, with 16 bits of fraction. */
static void fill_logarithms(uint16_t *table) {
  for (size_t i = 0; i < LOG_SEGMENTS; i++) {
    const double x = (double)i / LOG_SEGMENTS;
    table[i] = (uint16_t)floor(65536 * (aiot_log(1 + x) / aiot_log(2) - x) + 0.5);
  }
  table[LOG_SEGMENTS] = 0;
  table[LOG_SEGMENTS + 1] = 0;
}

aiot_code aiot_micro_open(const aiot_signal_spec *spec, aiot_arena *arena, aiot_micro **out) {
  *out = NULL;
  if (!fits(spec)) return AIOT_MODEL_UNSUPPORTED;
  aiot_micro *own = aiot_arena_take(arena, sizeof(aiot_micro), _Alignof(aiot_micro));
  if (!own) return AIOT_MEMORY_SHORT;
  const aiot_mel_spec *mel = &spec->mel;
  *own = (aiot_micro){.fft = mel->fft, .bands = mel->bands, .frames = {.frame = mel->frame, .hop = mel->hop}};
  own->count = 1 + (spec->window_samples - mel->frame) / mel->hop;
  const aiot_code code = open_filters(own, spec, arena);
  if (code != AIOT_OK) return code;
  if (!open_transform(own, arena)) return AIOT_MEMORY_SHORT;
  own->taper = aiot_room(arena, mel->frame, sizeof(int16_t));
  own->frame = aiot_room(arena, mel->frame, sizeof(int16_t));
  own->gain = aiot_room(arena, GAINS, sizeof(int16_t));
  own->log_table = aiot_room(arena, LOG_SEGMENTS + 2, sizeof(uint16_t));
  own->levels = aiot_room(arena, own->count * own->bands, sizeof(uint32_t));
  own->out = aiot_room(arena, own->count * own->bands, sizeof(float));
  if (!own->taper || !own->frame || !own->gain || !own->log_table || !own->levels || !own->out) return AIOT_MEMORY_SHORT;
  const double step = (double)(float)(tau / (double)mel->frame);
  for (size_t i = 0; i < mel->frame; i++) {
    const float angle = (float)(step * ((double)i + 0.5));
    const float cosine = (float)aiot_turn((double)angle, tau).cos;
    own->taper[i] = (int16_t)floor((double)(float)(0.5 - 0.5 * (double)cosine) * 4096 + 0.5);
  }
  fill_gains(own->gain, correction_bits(own->fft));
  fill_logarithms(own->log_table);
  *out = own;
  return AIOT_OK;
}

size_t aiot_micro_count(const aiot_micro *own) { return own->count * own->bands; }

/* One step of the transform that joins two parts at `to`. */
static void join_two(const aiot_micro *own, size_t to, size_t part, size_t stride) {
  for (size_t i = 0; i < part; i++) {
    const size_t a = to + i, b = a + part;
    const int32_t ar = product(own->re[a], 16383), ai = product(own->im[a], 16383);
    const int32_t br = product(own->re[b], 16383), bi = product(own->im[b], 16383);
    const int32_t c = own->inner[2 * i * stride], s = own->inner[2 * i * stride + 1];
    const int32_t re = wrap((br * c - bi * s + 16384) >> 15), im = wrap((br * s + bi * c + 16384) >> 15);
    own->re[b] = wrap(ar - re);
    own->im[b] = wrap(ai - im);
    own->re[a] = wrap(ar + re);
    own->im[a] = wrap(ai + im);
  }
}

static void join_four(const aiot_micro *own, size_t to, size_t part, size_t stride) {
  for (size_t i = 0; i < part; i++) {
    int32_t re[4], im[4];
    for (size_t q = 0; q < 4; q++) {
      const int32_t vr = product(own->re[to + i + q * part], 8191), vi = product(own->im[to + i + q * part], 8191);
      const int32_t c = own->inner[2 * i * stride * q], s = own->inner[2 * i * stride * q + 1];
      re[q] = q == 0 ? vr : wrap((vr * c - vi * s + 16384) >> 15);
      im[q] = q == 0 ? vi : wrap((vr * s + vi * c + 16384) >> 15);
    }
    const int32_t even_re = wrap(re[0] + re[2]), even_im = wrap(im[0] + im[2]);
    const int32_t odd_re = wrap(re[0] - re[2]), odd_im = wrap(im[0] - im[2]);
    const int32_t sum_re = wrap(re[1] + re[3]), sum_im = wrap(im[1] + im[3]);
    const int32_t dif_re = wrap(re[1] - re[3]), dif_im = wrap(im[1] - im[3]);
    int16_t *x = own->re + to + i, *y = own->im + to + i;
    x[0] = wrap(even_re + sum_re);
    y[0] = wrap(even_im + sum_im);
    x[part] = wrap(odd_re + dif_im);
    y[part] = wrap(odd_im - dif_re);
    x[2 * part] = wrap(even_re - sum_re);
    y[2 * part] = wrap(even_im - sum_im);
    x[3 * part] = wrap(odd_re - dif_im);
    y[3 * part] = wrap(odd_im + dif_re);
  }
}

/* Transforms every `stride`-th pair of samples from `from` into the work space at `to`. At most FACTORS_MAX levels deep. */
static void transform(const aiot_micro *own, size_t from, size_t to, size_t stride, size_t level) {
  if (level == own->factors) {
    own->re[to] = own->tapered[2 * from];
    own->im[to] = own->tapered[2 * from + 1];
    return;
  }
  const size_t factor = own->factor[level], part = own->fft / 2 / stride / factor;
  for (size_t i = 0; i < factor; i++) transform(own, from + i * stride, to + i * part, stride * factor, level + 1);
  if (factor == 4) join_four(own, to, part, stride);
  else join_two(own, to, part, stride);
}

/* Turns the transform of pairs, in place, into the first half of that of the real samples. */
static void split(const aiot_micro *own) {
  const size_t half = own->fft / 2;
  int16_t *x = own->re, *y = own->im;
  const int32_t first = product(x[0], 16383), second = product(y[0], 16383);
  x[0] = wrap(first + second);
  x[half] = wrap(first - second);
  y[0] = 0;
  y[half] = 0;
  for (size_t k = 1; k <= half / 2; k++) {
    const int32_t ar = product(x[k], 16383), ai = product(y[k], 16383);
    const int32_t br = product(x[half - k], 16383), bi = product(wrap(-y[half - k]), 16383);
    const int32_t sum_re = wrap(ar + br), sum_im = wrap(ai + bi), dif_re = wrap(ar - br), dif_im = wrap(ai - bi);
    const int32_t c = own->outer[2 * (k - 1)], s = own->outer[2 * (k - 1) + 1];
    const int32_t re = wrap((dif_re * c - dif_im * s + 16384) >> 15), im = wrap((dif_re * s + dif_im * c + 16384) >> 15);
    x[k] = wrap((sum_re + re) >> 1);
    y[k] = wrap((sum_im + im) >> 1);
    x[half - k] = wrap((sum_re - re) >> 1);
    y[half - k] = wrap((im - sum_im) >> 1);
  }
}

/* Square root, rounded to the nearest integer that has half as many bits. */
static uint32_t root_of(uint64_t x) {
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

/* Square roots of the bands' energies in the current frame. */
static void compute_levels(const aiot_micro *own, uint32_t *levels) {
  int32_t largest = 0;
  for (size_t i = 0; i < own->frames.frame; i++) {
    own->tapered[i] = wrap((int32_t)own->frame[i] * own->taper[i] >> WEIGHT_BITS);
    /* The magnitude of -32768 wraps, as in the original, and is ignored. */
    const int32_t size = wrap(own->tapered[i] < 0 ? -own->tapered[i] : own->tapered[i]);
    if (size > largest) largest = size;
  }
  const unsigned shift = 15 - bits_of((uint32_t)largest);
  for (size_t i = 0; i < own->frames.frame; i++) own->tapered[i] = wrap((int32_t)((uint32_t)(int32_t)own->tapered[i] << shift));
  memset(own->tapered + own->frames.frame, 0, (own->fft - own->frames.frame) * sizeof(int16_t));
  transform(own, 0, 0, 1, 0);
  split(own);
  uint64_t falling = 0;
  size_t bin = own->first;
  for (size_t e = 0; e <= own->bands; e++) {
    uint64_t sum = falling;
    falling = 0;
    for (; bin < own->end[e]; bin++) {
      const int32_t re = own->re[bin], im = own->im[bin];
      const uint64_t energy = (uint64_t)((int64_t)re * re + (int64_t)im * im);
      sum += (uint64_t)own->rising[bin - own->first] * energy;
      falling += (uint64_t)own->falling[bin - own->first] * energy;
    }
    if (e > 0) levels[e - 1] = root_of(sum) >> shift;
  }
}

/* A share of full scale as int16; halves are rounded up, and NaN is 0. */
static int16_t full_scale(double share) {
  const double value = floor(share * 32768 + 0.5);
  if (isnan(value)) return 0;
  return value > INT16_MAX ? INT16_MAX : value < INT16_MIN ? INT16_MIN : (int16_t)value;
}

void aiot_micro_add(aiot_micro *own, double sample) {
  const size_t place = aiot_frames_place(&own->frames, own->levels, own->bands * sizeof(uint32_t));
  if (place == AIOT_FRAMES_GAP) return;
  own->frame[place] = full_scale(sample);
  size_t row = 0;
  if (aiot_frames_full(&own->frames, &row)) compute_levels(own, own->levels + row * own->bands);
  aiot_frames_slide(&own->frames, own->frame, sizeof(int16_t));
}

static int32_t gain_of(uint32_t x, const int16_t *table) {
  if (x <= 2) return table[x];
  const unsigned bits = bits_of(x), at = 4 * bits - 6;
  const int32_t part = (int32_t)((bits < 11 ? x << (11 - bits) : x >> (bits - 11)) & 0x3ff);
  const int32_t slope = (table[at + 2] * part >> 5) + table[at + 1] * 32;
  return wrap(((slope * part + 16384) >> 15) + table[at]);
}

/* Subtracts the estimate of the noise, which it updates. */
static uint32_t reduce_noise(uint32_t signal, bool even, uint32_t *noise) {
  const uint32_t share = even ? EVEN_SHARE : ODD_SHARE;
  const uint64_t scaled = (uint64_t)signal << SMOOTHING_BITS;
  const uint64_t estimate = (scaled * share + (uint64_t)*noise * ((1u << SHARE_BITS) - share)) >> SHARE_BITS;
  *noise = (uint32_t)estimate;
  const uint64_t rest = (scaled - (estimate < scaled ? estimate : scaled)) >> SMOOTHING_BITS;
  const uint64_t least = (uint64_t)signal * REMAINING_SHARE >> SHARE_BITS;
  return (uint32_t)(rest > least ? rest : least);
}

static uint32_t normalize(uint32_t signal, int32_t gain, unsigned correction) {
  const uint64_t snr = (uint64_t)((int64_t)signal * gain) >> (GAIN_BITS - correction - SNR_BITS);
  if (snr < 2u << SNR_BITS) return (uint32_t)(snr * snr >> (2 + 2 * SNR_BITS - OUTPUT_BITS));
  return (uint32_t)((snr >> (SNR_BITS - OUTPUT_BITS)) - (1u << OUTPUT_BITS));
}

/* Natural logarithm times 2^LOG_SHIFT. */
static uint32_t logarithm_of(uint32_t x, const uint16_t *table) {
  if (x <= 1) return 0;
  const unsigned whole = bits_of(x) - 1;
  const uint32_t rest = x - (1u << whole);
  const int32_t part = (int32_t)(whole < 16 ? rest << (16 - whole) : rest >> (whole - 16));
  const int32_t segment = part >> 9, low = table[segment], high = table[segment + 1];
  const int32_t fraction = part + low + ((high - low) * (part - 512 * segment) >> 16);
  const uint64_t log2 = (uint64_t)whole * 65536 + (uint64_t)fraction;
  /* 45426 is ln 2 with 16 bits of fraction. */
  const uint64_t natural = (45426 * log2 + 32768) >> 16;
  const uint64_t scaled = ((natural << LOG_SHIFT) + 32768) >> 16;
  return (uint32_t)(scaled < UINT16_MAX ? scaled : UINT16_MAX);
}

const float *aiot_micro_values(aiot_micro *own) {
  const unsigned correction = correction_bits(own->fft);
  for (size_t b = 0; b < own->bands; b++) {
    uint32_t noise = 0;
    for (size_t f = 0; f < own->count; f++) {
      const uint32_t signal = reduce_noise(own->levels[f * own->bands + b], b % 2 == 0, &noise);
      const uint32_t normal = normalize(signal, gain_of(noise, own->gain), correction);
      own->out[f * own->bands + b] = (float)logarithm_of(normal << correction, own->log_table);
    }
  }
  return own->out;
}

void aiot_micro_advance(aiot_micro *own, size_t samples) { aiot_frames_advance(&own->frames, samples); }

void aiot_micro_restart(aiot_micro *own) { aiot_frames_restart(&own->frames); }
