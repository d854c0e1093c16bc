/* Tests smoothing against votes.inc and averages.inc, which TypeScript's tests read too. */
#include "../core/src/predict/vote.h"

#include <string.h>

#include "check.h"

static const struct {
  size_t size;
  const char *labels, *voted;
} rows[] = {
#include "votes.inc"
};

static const struct {
  size_t size;
  bool priced;
  double costs[9];
  bool rejects;
  double minimum[3];
  size_t windows;
  uint16_t scores[3 * 24];
  const char *far, *labels, *voted;
} averages[] = {
#include "averages.inc"
};

static void test_average(checks *c, size_t r) {
  static double memory[4 * AIOT_VOTE_MAX];
  static aiot_bundle bundle;
  bundle = (aiot_bundle){.classes = 3, .answer = AIOT_ANSWER_CLASSES, .vote = averages[r].size, .average = true};
  if (averages[r].priced) bundle.costs = averages[r].costs;
  if (averages[r].rejects) {
    memcpy(bundle.reject.label, "none", 5);
    bundle.reject.minimum = averages[r].minimum;
  }
  aiot_arena arena;
  aiot_arena_init(&arena, (uint8_t *)memory, sizeof memory);
  aiot_average average;
  if (!check_equal(c, "opened", r, AIOT_OK, aiot_average_open(&average, &bundle, 3, &arena))) return;
  for (size_t i = 0; i < averages[r].windows; i++) {
    aiot_answer answer = {.label = averages[r].labels[i] - '0', .scores = 3};
    for (size_t s = 0; s < 3; s++) answer.score[s] = averages[r].scores[3 * i + s] / 256.0;
    const size_t best = aiot_best_class(answer.score, 3, bundle.costs);
    const bool low = averages[r].rejects && answer.score[best] < averages[r].minimum[best];
    check_equal(c, "class", i, answer.label, low || averages[r].far[i] == '1' ? 3 : (int)best);
    check_equal(c, averages[r].voted, i, averages[r].voted[i] - '0', aiot_average_push(&average, &bundle, &answer));
  }
}

static void test_short_memory(checks *c) {
  static double memory[11];
  static const aiot_bundle bundle = {.classes = 3, .vote = 3, .average = true};
  aiot_arena arena;
  aiot_average average;
  aiot_arena_init(&arena, (uint8_t *)memory, sizeof memory);
  check_equal(c, "short memory", 0, AIOT_MEMORY_SHORT, aiot_average_open(&average, &bundle, 3, &arena));
  check_equal(c, "too many outputs", 0, AIOT_MODEL_UNSUPPORTED, aiot_average_open(&average, &bundle, AIOT_CLASSES_MAX + 1, &arena));
}

int main(void) {
  checks c = {0};
  for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
    aiot_vote vote = {.size = rows[r].size};
    for (size_t i = 0; rows[r].labels[i]; i++)
      check_equal(&c, rows[r].labels, i, rows[r].voted[i] - '0', aiot_vote_push(&vote, rows[r].labels[i] - '0'));
  }
  for (size_t r = 0; r < sizeof averages / sizeof averages[0]; r++) test_average(&c, r);
  test_short_memory(&c);
  return checks_end(&c);
}
