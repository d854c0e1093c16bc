/*
 * The 115 features of KasperKornak/EngineeringThesis (2024), with their names and meanings: src/lib/signal/har.ts and
 * har-transforms.ts. Needs three fields and windows of 448 to 895 samples.
 */
#include <math.h>
#include <string.h>

#include "har_parts.h"
#include "moments.h"
#include "room.h"
#include "set.h"

enum { axes = 3, bands = AIOT_WAVELET_LEVELS + 1 };

/* Names and indices of the features. A group has one value per axis, one value for all axes, or several values per axis. */
typedef enum { MPF, IQR, WILSON_AMP, CROSSCO, THREE_QUARTERS, ONE_QUARTER, CORECOEF, AREA, SLOPE_CHANGE, RMS, STDEV, MEAN, MAD, ZEROCR, WF, MAV,
               P2P, MEDIAN_FREQUENCY, ENTROPY, KURTOSIS_T, KURTOSIS_F, SKEWNESS_T, SKEWNESS_F, TOP3, AUTOREGYW, AUTOREGBURG, ENWACTO, GROUPS } group;

typedef struct {
  const char *name;
  const char *order;
  /* Index of the first feature, and the number per axis. */
  uint8_t at;
  uint8_t each;
} group_of;

static const group_of groups[GROUPS] = {
    {"mpf", "xyz", 0, 1},         {"iqr", "xyz", 3, 1},           {"wilson_amp", "xyz", 6, 1},        {"crossco", "xyz", 9, 1},
    {"three_quarters", "xyz", 12, 1}, {"one_quarter", "xyz", 15, 1},  {"corecoef", "xyz", 18, 1},         {"mpf", "", 21, 1},
    {"slope_change", "xyz", 22, 1}, {"rms", "xyz", 25, 1},          {"stdev", "xyz", 28, 1},            {"mean", "xyz", 31, 1},
    {"mad", "xyz", 34, 1},        {"zerocr", "xyz", 37, 1},       {"wf", "xyz", 40, 1},               {"mav", "xyz", 43, 1},
    {"p2p", "xyz", 46, 1},        {"median_frequency", "xyz", 49, 1}, {"entropy", "xyz", 52, 1},          {"kurtosis_t", "xyz", 55, 1},
    {"kurtosis_f", "xyz", 58, 1}, {"skewness_t", "xyz", 61, 1},   {"skewness_f", "xyz", 64, 1},       {"top3", "xyz", 67, 1},
    {"autoregyw", "xyz", 70, 4},  {"autoregburg", "xyz", 82, 4},  {"enwacto", "zyx", 94, 7},
};
enum { features = 115 };

typedef struct {
  size_t samples;
  double bin_hz;
  const aiot_fourier *fourier;
  /* For each axis, the real parts of bins 0 to n/2, then the imaginary parts. */
  double *part[axes];
} state;

static bool fits(const aiot_signal_spec *spec) {
  return spec->fields == 3 && spec->window_samples >= 448 && spec->window_samples <= 895;
}

static size_t count(const aiot_signal_spec *spec) {
  (void)spec;
  return features;
}

static void feature(const aiot_signal_spec *spec, size_t index, char name[AIOT_FEATURE_NAME_BYTES]) {
  (void)spec;
  aiot_naming to = {.text = name};
  size_t g = GROUPS - 1;
  while (groups[g].at > index) g--;
  const size_t within = index - groups[g].at;
  aiot_name_add(&to, "acc_");
  if (g != AREA) {
    const char axis[3] = {groups[g].order[within / groups[g].each], '_', '\0'};
    aiot_name_add(&to, axis);
  }
  aiot_name_add(&to, groups[g].name);
  if (groups[g].each == 1) return;
  aiot_name_add(&to, "_");
  aiot_name_add_number(&to, within % groups[g].each + 1);
}

static void *open(const aiot_signal_spec *spec, const aiot_fourier *fourier, aiot_arena *arena) {
  state *own = aiot_arena_take(arena, sizeof(state), _Alignof(state));
  if (!own) return NULL;
  const size_t n = spec->window_samples;
  *own = (state){.samples = n, .bin_hz = spec->resample_hz / (double)n, .fourier = fourier};
  for (size_t a = 0; a < axes; a++) {
    own->part[a] = aiot_doubles(arena, 2 * (n / 2 + 1));
    if (!own->part[a]) return NULL;
  }
  return own;
}

typedef struct {
  double mean;
  /* Sum of squares of the signal without its mean. */
  double squares;
  bool constant;
} axis;

/* The signal without its mean. It is all 0 for a constant signal, because only rounding errors would remain. */
static void centre(const double *signal, size_t n, const axis *of, double *out) {
  for (size_t i = 0; i < n; i++) out[i] = of->constant ? 0 : signal[i] - of->mean;
}

static void put(float *out, group g, size_t a, double value) { out[groups[g].at + a] = (float)value; }

static void put_all(float *out, group g, size_t a, const double *values) {
  for (size_t i = 0; i < groups[g].each; i++) out[groups[g].at + a * groups[g].each + i] = (float)values[i];
}

/* Computes the features in the time domain. Returns the mean of |x|. The transform's memory serves as work space. */
static double time_part(const state *own, const double *signal, size_t a, axis *of, float *out) {
  const size_t n = own->samples;
  const aiot_fourier *f = own->fourier;
  double *centred = f->re, *work = f->im;
  const aiot_axis_sums sums = aiot_axis_sums_of(signal, n);
  const aiot_moments moments = aiot_central_moments(signal, n, sums.mean);
  *of = (axis){.mean = sums.mean, .squares = moments.variance * (double)n, .constant = sums.low == sums.high};
  centre(signal, n, of, centred);
  put(out, WILSON_AMP, a, sums.wilson);
  put(out, SLOPE_CHANGE, a, sums.sign_changes);
  put(out, ZEROCR, a, sums.sign_changes);
  put(out, RMS, a, sqrt(sums.mean * sums.mean + moments.variance));
  put(out, STDEV, a, moments.variance * (double)n / (double)(n - 1));
  put(out, MEAN, a, sums.mean);
  put(out, MAD, a, aiot_median_deviation(signal, n, work));
  put(out, WF, a, sums.waveform);
  put(out, MAV, a, sums.absolute);
  put(out, P2P, a, sums.high - sums.low);
  put(out, KURTOSIS_T, a, moments.kurtosis);
  put(out, SKEWNESS_T, a, moments.skewness);
  double coefficients[AIOT_AR_ORDER], wavelet[bands];
  aiot_yule_walker(centred, n, coefficients);
  put_all(out, AUTOREGYW, a, coefficients);
  aiot_burg(centred, n, f->stages.work_re, f->stages.work_im, coefficients);
  put_all(out, AUTOREGBURG, a, coefficients);
  aiot_wavelet(signal, n, f->stages.work_re, f->stages.work_im, wavelet);
  /* As in the original, the value computed from x (a = 0) is stored under the name of z. */
  put_all(out, ENWACTO, a, wavelet);
  return sums.absolute / (double)n;
}

/* Extracts bins 0 to n/2 of both signals from the transform of `first` + i `second`. */
static void unravel(const state *own, double *first, double *second) {
  const size_t n = own->samples, bins = n / 2 + 1;
  const double *re = own->fourier->re, *im = own->fourier->im;
  for (size_t k = 0; k < bins; k++) {
    const size_t m = k == 0 ? 0 : n - k;
    first[k] = (re[k] + re[m]) / 2;
    first[bins + k] = (im[k] - im[m]) / 2;
    if (!second) continue;
    second[k] = (im[k] + im[m]) / 2;
    second[bins + k] = (re[m] - re[k]) / 2;
  }
}

static void spectral_part(const state *own, size_t a, double mean, float *out) {
  const size_t n = own->samples;
  double *amplitude = own->fourier->re, *work = own->fourier->im;
  aiot_amplitudes(own->part[a], own->part[a] + n / 2 + 1, mean, amplitude, n);
  const aiot_spectrum_figures figures = aiot_spectrum_figures_of(amplitude, n, own->bin_hz);
  put(out, MPF, a, figures.mean_hz);
  put(out, THREE_QUARTERS, a, figures.three_quarters_hz);
  put(out, ONE_QUARTER, a, figures.one_quarter_hz);
  put(out, IQR, a, figures.three_quarters_hz - figures.one_quarter_hz);
  put(out, MEDIAN_FREQUENCY, a, (double)aiot_median_bin(amplitude, n, work));
  put(out, ENTROPY, a, figures.entropy);
  const aiot_moments moments = aiot_moments_of(amplitude, n);
  put(out, KURTOSIS_F, a, moments.kurtosis);
  put(out, SKEWNESS_F, a, moments.skewness);
}

/* Pearson's correlation of two signals after removing their means; 0 if one of them is constant. */
static double correlation(const double *x, const axis *of_x, const double *y, const axis *of_y, size_t n) {
  if (!(of_x->squares > 0 && of_y->squares > 0)) return 0;
  double sum = 0;
  for (size_t i = 0; i < n; i++) {
    sum += (of_x->constant ? 0 : x[i] - of_x->mean) * (of_y->constant ? 0 : y[i] - of_y->mean);
  }
  return sum / sqrt(of_x->squares * of_y->squares);
}

static void compute(void *of, const double *window, float *out) {
  const state *own = of;
  const size_t n = own->samples, bins = n / 2 + 1;
  const aiot_fourier *f = own->fourier;
  axis means[axes];
  double area = 0;
  for (size_t a = 0; a < axes; a++) area += time_part(own, window + a * n, a, &means[a], out);
  put(out, AREA, 0, area);
  centre(window, n, &means[0], f->re);
  centre(window + n, n, &means[1], f->im);
  aiot_fourier_run(f);
  unravel(own, own->part[0], own->part[1]);
  centre(window + 2 * n, n, &means[2], f->re);
  memset(f->im, 0, n * sizeof(double));
  aiot_fourier_run(f);
  unravel(own, own->part[2], NULL);
  for (size_t a = 0; a < axes; a++) spectral_part(own, a, means[a].mean, out);
  static const uint8_t pairs[axes][2] = {{0, 1}, {0, 2}, {1, 2}};
  for (size_t p = 0; p < axes; p++) {
    const size_t a = pairs[p][0], b = pairs[p][1];
    put(out, CROSSCO, p, aiot_dot(window + a * n, window + b * n, n));
    put(out, CORECOEF, p, correlation(window + a * n, &means[a], window + b * n, &means[b], n));
  }
  /* The spectrum of the sum is the sum of the spectra. */
  double *all = own->part[0];
  for (size_t i = 0; i < 2 * bins; i++) all[i] = all[i] + own->part[1][i] + own->part[2][i];
  aiot_amplitudes(all, all + bins, means[0].mean + means[1].mean + means[2].mean, f->re, n);
  size_t peaks[3];
  aiot_strongest_peaks(f->re, n, peaks);
  for (size_t p = 0; p < 3; p++) put(out, TOP3, p, (double)peaks[p]);
}

const aiot_set aiot_set_har = {"har", fits, count, feature, open, compute};
