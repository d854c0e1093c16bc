/* In a project's own folder, checks that this core accepts and computes the files that were generated from its aiot.yaml. */
#include <string.h>

#include "aiot/pipeline.h"
#include "aiot_tables.h"

#include "check.h"

enum { MEMORY = 64 << 20 };
static uint8_t memory[MEMORY];

static void distinct(checks *c, const char *what, const char *const *names, size_t count, size_t most) {
  check_at(c, what, "count", count, count <= most);
  for (size_t i = 0; i < count; i++) {
    check_at(c, what, "length", i, names[i][0] != '\0' && strlen(names[i]) < AIOT_NAME_BYTES);
    for (size_t j = 0; j < i; j++) check_at(c, what, "unique", i, strcmp(names[i], names[j]) != 0);
  }
}

#ifdef AIOT_FEATURES
static aiot_signal_spec signal_of(void) {
  static aiot_signal_spec spec;
  memset(&spec, 0, sizeof spec);
  spec.fields = AIOT_FIELDS;
  for (size_t i = 0; i < AIOT_FIELDS && i < AIOT_FIELDS_MAX; i++) snprintf(spec.field[i], AIOT_NAME_BYTES, "%s", aiot_field_names[i]);
  spec.rate_hz = AIOT_RATE_HZ;
  spec.lowpass_hz = AIOT_LOWPASS_HZ;
  spec.resample_hz = AIOT_RESAMPLE_HZ;
  spec.window_samples = AIOT_WINDOW_SAMPLES;
  spec.stride_samples = AIOT_STRIDE_SAMPLES;
#ifdef AIOT_MEL
  spec.mel = (aiot_mel_spec)AIOT_MEL;
#endif
  return spec;
}

static void opens(checks *c, const char *what, const aiot_signal_spec *spec) {
  aiot_arena arena;
  aiot_features *features;
  aiot_arena_init(&arena, memory, sizeof memory);
  const aiot_code code = aiot_features_open(spec, &arena, &features);
  if (!check_at(c, what, aiot_code_name(code), 0, code == AIOT_OK)) return;
  check_equal(c, what, 0, AIOT_FEATURES, (int64_t)aiot_features_count(features));
}

static void test_features(checks *c) {
  aiot_signal_spec spec = signal_of();
#ifdef AIOT_FEATURE_SET
  spec.set = AIOT_FEATURE_SET;
  opens(c, "the set of features", &spec);
#endif
#ifdef AIOT_FEATURE_NAMES
  static const char *names[AIOT_FEATURES];
  for (size_t i = 0; i < AIOT_FEATURES; i++) names[i] = aiot_feature_names[i];
  spec.set = NULL;
  spec.features = AIOT_FEATURES;
  spec.feature = names;
  opens(c, "the features by their names", &spec);
#endif
}
#endif

int main(void) {
  checks c = {0, 0};
#if AIOT_FIELDS > 0
  distinct(&c, "fields", aiot_field_names, AIOT_FIELDS, AIOT_FIELDS_MAX);
  check_at(&c, "units", "one for each field", 0, sizeof aiot_field_units / sizeof *aiot_field_units == AIOT_FIELDS);
#endif
#if AIOT_LABELS > 0
  distinct(&c, "labels", aiot_label_names, AIOT_LABELS, AIOT_CLASSES_MAX);
#endif
#ifdef AIOT_FEATURES
  test_features(&c);
#endif
  check_at(&c, "model", "name", 0, strlen(AIOT_MODEL_NAME) < AIOT_NAME_BYTES);
  return checks_end(&c);
}
