/*
 * Decision trees of the bundles in the folder that the argument names: damaged and truncated files are rejected or run, and are never read
 * beyond their end. predictor_test.c compares the predictions.
 */
#include "aiot/forest.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "aiot/bundle.h"
#include "check.h"

enum { FEATURES_MAX = 256, OUTPUTS_MAX = 8 };

/* Sums whose shares are known. */
static void test_endings(checks *c) {
  const int32_t sums[] = {8, 4, 0};
  float outputs[3];
  aiot_forest forest = {.outputs = 3, .scale = 0.25};
  aiot_forest_outputs(&forest, sums, outputs);
  check_at(c, "the outputs", "without an ending", 0, outputs[0] == 2.0f && outputs[1] == 1.0f && outputs[2] == 0.0f);
  forest.ending = AIOT_ENDING_LOGISTIC;
  aiot_forest_outputs(&forest, sums, outputs);
  check_at(c, "the outputs", "sigmoid", 0, outputs[2] == 0.5f && fabs(outputs[0] - 0.8807970779778823) < 1e-7);
  forest.ending = AIOT_ENDING_SOFTMAX;
  aiot_forest_outputs(&forest, sums, outputs);
  /* e^2 : e : 1 */
  check_at(c, "the outputs", "softmax", 0, fabs(outputs[0] - 0.6652409557748219) < 1e-7 && fabs(outputs[2] - 0.0900305731703805) < 1e-7);
}

static uint8_t file[64 * 1024], memory[64 * 1024];

static aiot_span model_in(const char *folder, const char *name) {
  static aiot_bundle bundle;
  char path[512];
  snprintf(path, sizeof path, "%s/%s.aiot", folder, name);
  FILE *from = fopen(path, "rb");
  if (from == NULL) exit(2);
  const size_t bytes = fread(file, 1, sizeof file, from);
  fclose(from);
  aiot_arena arena;
  aiot_arena_init(&arena, memory, sizeof memory);
  if (aiot_bundle_open(&bundle, file, bytes, &arena) != AIOT_OK) exit(2);
  return bundle.model;
}

/* Runs rows that take different paths through the trees; no sum exceeds 24 bits. */
static bool runs(const aiot_forest *forest) {
  static const float values[] = {0.0f, -0.0f, 1.0f, -1.0f, 3.4e38f, -3.4e38f, 1e-45f, -1e-45f};
  static float features[FEATURES_MAX];
  int32_t sums[OUTPUTS_MAX];
  if (forest->inputs > FEATURES_MAX || forest->outputs > OUTPUTS_MAX) return false;
  for (size_t row = 0; row < sizeof values / sizeof values[0]; row++) {
    for (size_t i = 0; i < forest->inputs; i++) features[i] = values[(row * (i + 1)) % 8];
    aiot_forest_sums(forest, features, sums);
    for (size_t o = 0; o < forest->outputs; o++)
      if (sums[o] > 1 << 24 || sums[o] < -(1 << 24)) return false;
  }
  return true;
}

static void test_damage(checks *c, aiot_span model) {
  size_t refused = 0, accepted = 0;
  uint8_t *copy = malloc(model.bytes);
  memcpy(copy, model.data, model.bytes);
  aiot_forest forest;
  check_equal(c, "intact", 0, AIOT_OK, aiot_forest_open(copy, model.bytes, &forest));
  check_at(c, "it runs", "intact", 0, runs(&forest));
  for (size_t at = 0; at < model.bytes; at++) {
    for (unsigned bit = 0; bit < 8; bit++) {
      copy[at] = (uint8_t)(copy[at] ^ 1u << bit);
      const aiot_code code = aiot_forest_open(copy, model.bytes, &forest);
      refused += code != AIOT_OK;
      accepted += code == AIOT_OK;
      check_at(c, "a flipped bit", "code", at, code == AIOT_OK || code == AIOT_BUNDLE_MALFORMED || code == AIOT_MODEL_UNSUPPORTED);
      /* A changed number of features only changes the length of a row here; the runner compares it with the signal part. */
      if (code == AIOT_OK && forest.inputs <= FEATURES_MAX) check_at(c, "a flipped bit", "it runs", at, runs(&forest));
      copy[at] = (uint8_t)(copy[at] ^ 1u << bit);
    }
  }
  free(copy);
  printf("%zu flipped bits rejected, %zu accepted\n", refused, accepted);
  check_at(c, "some are rejected", "count", refused, refused > 1000);
  check_at(c, "others only change thresholds, leaves and texts", "count", accepted, accepted > 1000);
}

/* Each copy is exactly as long as the truncated file, so that the sanitizer detects a read beyond its end. */
static void test_lengths(checks *c, aiot_span model) {
  for (size_t bytes = 0; bytes < model.bytes; bytes++) {
    uint8_t *copy = malloc(bytes > 0 ? bytes : 1);
    memcpy(copy, model.data, bytes);
    aiot_forest forest;
    check_at(c, "truncated", "length", bytes, aiot_forest_open(copy, bytes, &forest) != AIOT_OK);
    free(copy);
  }
}

int main(int count, char **arguments) {
  if (count != 2) return 2;
  checks c = {0, 0};
  aiot_forest forest;
  aiot_model *network;
  aiot_arena arena;
  static uint8_t own[16 * 1024];
  aiot_arena_init(&arena, own, sizeof own);
  static const char *const names[] = {"trees", "wear", "boosting"};
  for (size_t i = 0; i < 3; i++) {
    const aiot_span model = model_in(arguments[1], names[i]);
    test_damage(&c, model);
    test_lengths(&c, model);
    check_equal(&c, "trees as a network", i, AIOT_MODEL_UNSUPPORTED, aiot_interpreter.open(model.data, model.bytes, &arena, &network));
  }
  const aiot_span model = model_in(arguments[1], "motion");
  check_equal(&c, "a network as trees", 0, AIOT_MODEL_UNSUPPORTED, aiot_forest_open(model.data, model.bytes, &forest));
  test_endings(&c);
  return checks_end(&c);
}
