/*
 * Without arguments, checks golden values of the guide's firmware. With `-`, reads signals and prints the results, which other
 * programs compare.
 */
#include "aiot/spectrum.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

static uint8_t memory[1 << 20];
static double signal[4096];

static aiot_spectrum *opened(size_t samples, double rate_hz, bool keep_mean) {
  aiot_arena arena;
  aiot_arena_init(&arena, memory, sizeof(memory));
  aiot_spectrum *spectrum = NULL;
  aiot_spectrum_open(samples, rate_hz, keep_mean, &arena, &spectrum);
  return spectrum;
}

/* Reads signals. Each line has the number of samples, the rate, 0 or 1 for keeping the mean, then the samples. */
static int judge(void) {
  size_t samples;
  double rate_hz;
  int keep_mean;
  while (scanf("%zu %lf %d", &samples, &rate_hz, &keep_mean) == 3) {
    aiot_spectrum *spectrum = opened(samples, rate_hz, keep_mean == 1);
    if (!spectrum || samples > sizeof(signal) / sizeof(signal[0])) return 1;
    for (size_t i = 0; i < samples; i++) {
      if (scanf("%lf", &signal[i]) != 1) return 1;
    }
    const aiot_peak peak = aiot_spectrum_peak(spectrum, signal);
    printf("%zu %.17g %.17g %.17g", peak.bin, peak.frequency_hz, peak.magnitude, peak.amplitude);
    for (size_t k = 0; k <= samples / 2; k++) printf(" %.17g", aiot_spectrum_magnitudes(spectrum)[k]);
    printf("\n");
  }
  return 0;
}

static double peak_hz(bool keep_mean) { return aiot_spectrum_peak(opened(64, 13095, keep_mean), signal).frequency_hz; }

static void near(checks *c, const char *what, size_t row, double expected, double got) {
  if (!check_at(c, what, "row", row, fabs(expected - got) <= 0.005)) printf("  expected %.3f, got %.3f\n", expected, got);
}

/* Expected values are from the guide's FFT module, compiled and run in double precision, to two decimals. */
static void test_guide(checks *c) {
  const double pi = 3.14159265358979323846;
  for (size_t i = 0; i < 64; i++) signal[i] = sin(2 * pi * 1000 * (double)i / 13095);
  near(c, "sine of 1000 Hz, phase 0", 0, 1006.95, peak_hz(true));
  for (size_t i = 0; i < 64; i++) signal[i] = 500 + 50 * sin(2 * pi * 0.5 * 0.1225 * (double)i);
  near(c, "slow swing on an offset", 0, 805.70, peak_hz(true));
  for (size_t i = 0; i < 64; i++) signal[i] = i % 2 == 0 ? 2048 : 2049;
  near(c, "two alternating values", 0, 6547.50, peak_hz(true));
  for (size_t i = 0; i < 64; i++) signal[i] = (double)i;
  near(c, "ramp", 0, 930.05, peak_hz(true));
  const double constants[] = {0, 1, -1, 2048, 0.1, 1e-300, 1e300};
  for (size_t k = 0; k < sizeof(constants) / sizeof(constants[0]); k++) {
    for (size_t i = 0; i < 64; i++) signal[i] = constants[k];
    near(c, "constant", k, 0, peak_hz(false));
    near(c, "constant, with its mean", k, 0, peak_hz(true));
  }
}

/* Tests cases that the guide's firmware cannot handle: a signal below bin 2, and its amplitude with any offset. */
static void test_mean(checks *c) {
  const double pi = 3.14159265358979323846, bin_hz = 13095.0 / 64;
  for (size_t i = 0; i < 64; i++) signal[i] = 2000 + 3 * sin(2 * pi * 1.5 * (double)i / 64);
  aiot_peak peak = aiot_spectrum_peak(opened(64, 13095, false), signal);
  check_at(c, "slow sine", "bin", peak.bin, peak.bin == 1 || peak.bin == 2);
  check_at(c, "slow sine", "frequency between bins 1 and 2", 0, peak.frequency_hz > bin_hz && peak.frequency_hz < 2 * bin_hz);
  peak = aiot_spectrum_peak(opened(64, 13095, true), signal);
  check_at(c, "slow sine, with its mean", "hidden", 0, peak.bin != 1 && peak.magnitude < 3);
  for (size_t i = 0; i < 64; i++) signal[i] = 2000 + 3 * sin(2 * pi * 10 * (double)i / 64);
  peak = aiot_spectrum_peak(opened(64, 13095, false), signal);
  check_at(c, "sine of ten bins", "bin", peak.bin, peak.bin == 10);
  check_at(c, "sine of ten bins", "amplitude 3", 0, fabs(peak.amplitude - 3) < 0.01);
  for (size_t i = 0; i < 64; i++) signal[i] = NAN;
  check_at(c, "not a number", "no frequency", 0, aiot_spectrum_peak(opened(64, 13095, false), signal).frequency_hz == 0);
}

static void test_refusals(checks *c) {
  const size_t lengths[] = {0, 1, 2, 3, 63, 65, 96, 131072, SIZE_MAX};
  for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
    aiot_arena arena;
    aiot_arena_init(&arena, memory, sizeof(memory));
    aiot_spectrum *spectrum;
    check_equal(c, "length", lengths[i], AIOT_CONFIG_MALFORMED, aiot_spectrum_open(lengths[i], 100, false, &arena, &spectrum));
  }
  aiot_arena arena;
  aiot_arena_init(&arena, memory, 1000);
  aiot_spectrum *spectrum;
  check_equal(c, "rate", 0, AIOT_CONFIG_MALFORMED, aiot_spectrum_open(64, 0, false, &arena, &spectrum));
  check_equal(c, "short memory", 0, AIOT_MEMORY_SHORT, aiot_spectrum_open(64, 100, false, &arena, &spectrum));
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "-") == 0) return judge();
  checks c = {0, 0};
  test_guide(&c);
  test_mean(&c);
  test_refusals(&c);
  return checks_end(&c);
}
