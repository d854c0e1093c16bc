/* Compares the signal part with src/lib/signal. The results must match bit for bit for any set, length and signal. */
#include "aiot/pipeline.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../core/src/signal/turn.h"
#include "check.h"

typedef struct {
  double numerator, denominator;
  uint64_t cos, sin;
} turn_row;

typedef struct {
  const char *piece;
  aiot_signal_spec spec;
  /* One value per field, sample after sample. */
  const double *samples;
  size_t count;
  const uint32_t *expected;
  size_t windows, features;
} feature_row;

#include "signal.inc"

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

/* Enough memory for 895 samples of three axes. */
static uint8_t memory[400 * 1024];

static uint64_t bits_of(double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof(bits));
  return bits;
}

/*
 * Whether the bits differ; all NaNs are treated as equal. If the relative difference is larger than `relative`, stores it there.
 */
static bool differs(float got, uint32_t expected, double *relative) {
  float wanted;
  memcpy(&wanted, &expected, sizeof(wanted));
  if (isnan(wanted) && isnan(got)) return false;
  if (memcmp(&got, &expected, sizeof(got)) == 0) return false;
  const double scale = fabs((double)wanted) > 1e-30 ? fabs((double)wanted) : 1e-30;
  *relative = fmax(*relative, fabs((double)got - (double)wanted) / scale);
  return true;
}

static void test_turns(checks *c) {
  for (size_t i = 0; i < ROWS(turn_rows); i++) {
    const turn_row *r = &turn_rows[i];
    const aiot_turned got = aiot_turn(r->numerator, r->denominator);
    check_at(c, "cosine of a turn", "row", i, bits_of(got.cos) == r->cos);
    check_at(c, "sine of a turn", "row", i, bits_of(got.sin) == r->sin);
  }
}

/*
 * Number of windows that are produced, starting from a reset. `differing` counts values whose bits differ. For `relative`, see
 * differs.
 */
static size_t run(const feature_row *r, aiot_features *features, size_t *differing, double *relative) {
  size_t windows = 0;
  for (size_t i = 0; i < r->count; i++) {
    const float *out = aiot_features_push(features, r->samples + i * r->spec.fields);
    if (!out) continue;
    for (size_t k = 0; windows < r->windows && k < r->features; k++) {
      if (!differs(out[k], r->expected[windows * r->features + k], relative)) continue;
      if ((*differing)++ < 3) printf("  feature %zu of window %zu: %.9g\n", k, windows, (double)out[k]);
    }
    windows++;
  }
  return windows;
}

static void test_features(checks *c) {
  size_t values = 0, differing = 0, most = 0;
  double relative = 0;
  for (size_t i = 0; i < ROWS(feature_rows); i++) {
    const feature_row *r = &feature_rows[i];
    aiot_arena arena;
    aiot_arena_init(&arena, memory, sizeof(memory));
    aiot_features *features;
    const aiot_code code = aiot_features_open(&r->spec, &arena, &features);
    if (!check_equal(c, "features opened", i, AIOT_OK, code)) continue;
    if (arena.used > most) most = arena.used;
    check_equal(c, "features", i, (int64_t)r->features, (int64_t)aiot_features_count(features));
    /* The second run shows that a reset leaves no state. */
    for (int time = 0; time < 2; time++) {
      size_t wrong = 0;
      const size_t windows = run(r, features, &wrong, &relative);
      check_equal(c, "windows", i, (int64_t)r->windows, (int64_t)windows);
      check_at(c, r->piece, r->spec.set ? r->spec.set : "names", i, wrong == 0);
      values += windows * r->features;
      differing += wrong;
      aiot_features_reset(features);
    }
  }
  printf("%zu features, %zu differ, by a part of %.2g at most; %zu bytes of memory at most\n", values, differing, relative, most);
}

static void test_mel_refusals(checks *c) {
  const aiot_signal_spec good = {.fields = 1, .field = {"sound"}, .rate_hz = 8000, .resample_hz = 8000, .window_samples = 400,
                                 .stride_samples = 160, .set = "mfcc", .mel = {160, 80, 256, 20, 20, 4000, 13, false}};
  enum { CASES = 16 };
  aiot_signal_spec bad[CASES];
  for (size_t i = 0; i < CASES; i++) bad[i] = good;
  bad[0].fields = 2;
  bad[1].mel.frame = 401;
  bad[2].mel.frame = 1;
  bad[3].mel.hop = 0;
  bad[4].mel.fft = 159;
  bad[5].mel.fft = SIZE_MAX;
  bad[6].mel.bands = 0;
  bad[7].mel.bands = AIOT_MEL_BANDS_MAX + 1;
  bad[8].stride_samples = 170;
  bad[9].mel.low_hz = NAN;
  bad[10].mel.low_hz = 4000;
  bad[11].mel.high_hz = 4001;
  bad[12].mel.high_hz = INFINITY;
  bad[13].mel.coefficients = 21;
  bad[14].mel.coefficients = 0;
  /* Bands narrower than a bin. */
  bad[15].mel.bands = 200;
  for (size_t i = 0; i < CASES; i++) {
    aiot_arena arena;
    aiot_arena_init(&arena, memory, sizeof(memory));
    aiot_features *features;
    check_equal(c, "mel settings refused", i, AIOT_MODEL_UNSUPPORTED, aiot_features_open(&bad[i], &arena, &features));
  }
  aiot_arena arena;
  aiot_arena_init(&arena, memory, sizeof(memory));
  aiot_features *features;
  check_equal(c, "mel settings taken", 0, AIOT_OK, aiot_features_open(&good, &arena, &features));
}

static void test_micro_stream_refusals(checks *c) {
  const aiot_signal_spec good = {.fields = 1, .field = {"sound"}, .rate_hz = 8000, .resample_hz = 8000, .window_samples = 264,
                                 .stride_samples = 300, .set = "microfrontend", .mel = {64, 100, 64, 5, 125, 4000, 0, true}};
  static const struct {
    size_t stride;
    bool stream;
    aiot_code code;
  } cases[] = {
      {300, true, AIOT_OK},
      {400, true, AIOT_MODEL_UNSUPPORTED},
      {350, true, AIOT_MODEL_UNSUPPORTED},
      {350, false, AIOT_OK},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    aiot_signal_spec spec = good;
    spec.stride_samples = cases[i].stride;
    spec.mel.stream = cases[i].stream;
    aiot_arena arena;
    aiot_arena_init(&arena, memory, sizeof(memory));
    aiot_features *features;
    check_equal(c, "stride of a stream", i, cases[i].code, aiot_features_open(&spec, &arena, &features));
  }
}

/* Tests values that a signal part in a file may have, and memory of every size. */
static void test_refusals(checks *c) {
  const aiot_signal_spec good = feature_rows[0].spec;
  aiot_signal_spec bad[] = {good, good, good, good, good, good, good, good, good, good, good};
  bad[0].fields = 0;
  bad[1].fields = AIOT_FIELDS_MAX + 1;
  bad[2].rate_hz = NAN;
  bad[3].resample_hz = 2 * good.rate_hz;
  bad[4].lowpass_hz = good.rate_hz / 2;
  bad[5].window_samples = 0;
  bad[6].stride_samples = 0;
  bad[7].set = "cepstral";
  bad[8].set = "har";
  bad[9].set = "motion";
  bad[9].fields = 2;
  bad[10].window_samples = SIZE_MAX;
  for (size_t i = 0; i < ROWS(bad); i++) {
    aiot_arena arena;
    aiot_arena_init(&arena, memory, sizeof(memory));
    aiot_features *features;
    check_equal(c, "refused", i, AIOT_MODEL_UNSUPPORTED, aiot_features_open(&bad[i], &arena, &features));
  }
  test_mel_refusals(c);
  test_micro_stream_refusals(c);
  const char *unknown[] = {"x[0]", "acc_mpf"};
  aiot_signal_spec named = good;
  named.set = NULL;
  named.features = 2;
  named.feature = unknown;
  aiot_arena arena;
  aiot_arena_init(&arena, memory, sizeof(memory));
  aiot_features *features;
  check_equal(c, "an unknown feature name", 0, AIOT_MODEL_UNSUPPORTED, aiot_features_open(&named, &arena, &features));
}

static void test_short_memory(checks *c) {
  for (size_t i = 0; i < ROWS(feature_rows); i += 3) {
    const feature_row *r = &feature_rows[i];
    aiot_features *features;
    aiot_arena arena;
    aiot_arena_init(&arena, memory, sizeof(memory));
    aiot_features_open(&r->spec, &arena, &features);
    const size_t needed = arena.used;
    /* Tries each eighth of the required size, and one byte less than required. */
    for (size_t part = 0; part <= 8; part++) {
      const size_t bytes = part == 8 ? needed - 1 : needed * part / 8;
      aiot_arena_init(&arena, memory, bytes);
      check_equal(c, "short memory", i, AIOT_MEMORY_SHORT, aiot_features_open(&r->spec, &arena, &features));
    }
    aiot_arena_init(&arena, memory, needed);
    check_equal(c, "just enough memory", i, AIOT_OK, aiot_features_open(&r->spec, &arena, &features));
  }
}

/* Values that no sensor produces must not cause accesses outside the memory or an endless loop. */
static void test_wild_samples(checks *c) {
  const double wild[] = {NAN, INFINITY, -INFINITY, 0, -0.0, 1e308, -1e308, 5e-324, 1, -1};
  uint32_t seed = 1;
  for (size_t i = 0; i < ROWS(feature_rows); i++) {
    const feature_row *r = &feature_rows[i];
    aiot_arena arena;
    aiot_arena_init(&arena, memory, sizeof(memory));
    aiot_features *features;
    if (aiot_features_open(&r->spec, &arena, &features) != AIOT_OK) continue;
    double sample[AIOT_FIELDS_MAX];
    size_t windows = 0;
    for (size_t k = 0; k < r->count; k++) {
      for (size_t f = 0; f < r->spec.fields; f++) {
        seed = seed * 1664525u + 1013904223u;
        sample[f] = wild[(seed >> 16) % ROWS(wild)];
      }
      if (aiot_features_push(features, sample)) windows++;
    }
    check_equal(c, "windows of wild samples", i, (int64_t)r->windows, (int64_t)windows);
  }
}

int main(void) {
  checks c = {0, 0};
  test_turns(&c);
  test_features(&c);
  test_refusals(&c);
  test_short_memory(&c);
  test_wild_samples(&c);
  return checks_end(&c);
}
