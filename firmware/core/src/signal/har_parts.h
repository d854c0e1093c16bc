/* The parts of the feature set `har`, as in src/lib/signal/har.ts and har-transforms.ts. */
#ifndef AIOT_SIGNAL_HAR_PARTS_H
#define AIOT_SIGNAL_HAR_PARTS_H

#include <stdbool.h>
#include <stddef.h>

/* Results of one pass over an axis. */
typedef struct {
  double mean;
  double absolute;
  double low;
  double high;
  /* Sum of |step|, and sum of the signs of |step| - 0.05. */
  double waveform;
  double wilson;
  /* Number of steps at which the sign changes; 0 counts as a separate sign. */
  double sign_changes;
} aiot_axis_sums;

aiot_axis_sums aiot_axis_sums_of(const double *signal, size_t n);

double aiot_dot(const double *a, const double *b, size_t n);

/* Median of the values, which are reordered. */
double aiot_median(double *values, size_t n);

/* Median of |x - median|; `work` has n values. */
double aiot_median_deviation(const double *signal, size_t n, double *work);

#define AIOT_AR_ORDER 4u

/*
 * Autoregression coefficients from lag 1 on, by the Yule-Walker equations, of a signal whose mean is removed; 0 for a constant
 * signal.
 */
void aiot_yule_walker(const double *centred, size_t n, double out[AIOT_AR_ORDER]);

/* Autoregression coefficients by Burg's method, of a signal whose mean is removed. `forward` and `backward` have n values. */
void aiot_burg(const double *centred, size_t n, double *forward, double *backward, double out[AIOT_AR_ORDER]);

#define AIOT_WAVELET_LEVELS 6u

/*
 * For each band of a wavelet decomposition in six levels, the magnitude of one coefficient, divided by the length of the approximation. Order:
 * approximation, then details from the last level to the first. n is at least 448; `first` and `second` are buffers for n values.
 */
void aiot_wavelet(const double *signal, size_t n, double *first, double *second, double out[AIOT_WAVELET_LEVELS + 1]);

typedef struct {
  double mean_hz;
  double three_quarters_hz;
  double one_quarter_hz;
  /* Entropy, bits. */
  double entropy;
} aiot_spectrum_figures;

/*
 * One-sided amplitude spectrum from the real and imaginary parts of bins 0 to n/2, with the given mean. `out` has n values;
 * those above the Nyquist frequency are 0.
 */
void aiot_amplitudes(const double *re, const double *im, double mean, double *out, size_t n);

aiot_spectrum_figures aiot_spectrum_figures_of(const double *amplitude, size_t n, double bin_hz);

/* Index of the bin at which half of the power is reached, determined with the original's search. `work` has n/2 + 1 values. */
size_t aiot_median_bin(const double *amplitude, size_t n, double *work);

/* Bins of the three strongest local maxima in ascending order; 0 in place of missing ones. */
void aiot_strongest_peaks(const double *amplitude, size_t n, size_t out[3]);

#endif
