/* Counters and checks for the test programs. */
#ifndef AIOT_TEST_CHECK_H
#define AIOT_TEST_CHECK_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct {
  int passed;
  int failed;
} checks;

/* `where` and `row` identify the case. Only the first 20 failures are printed. */
static inline bool check_at(checks *c, const char *what, const char *where, size_t row, bool good) {
  if (good) {
    c->passed++;
    return true;
  }
  if (c->failed++ < 20) printf("%s, %s %zu: failed\n", what, where, row);
  return false;
}

static inline bool check_equal(checks *c, const char *what, size_t row, int64_t expected, int64_t got) {
  if (expected == got) {
    c->passed++;
    return true;
  }
  if (c->failed++ < 20) printf("%s, row %zu: expected %" PRId64 ", got %" PRId64 "\n", what, row, expected, got);
  return false;
}

static inline int checks_end(const checks *c) {
  printf("%d checks passed, %d failed\n", c->passed, c->failed);
  return c->failed == 0 && c->passed > 0 ? 0 : 1;
}

#endif
