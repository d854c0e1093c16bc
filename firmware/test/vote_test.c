/* Tests smoothing against votes.inc, which TypeScript's tests read too. */
#include "../core/src/predict/vote.h"

#include <string.h>

#include "check.h"

static const struct {
  size_t size;
  const char *labels, *voted;
} rows[] = {
#include "votes.inc"
};

int main(void) {
  checks c = {0};
  for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
    aiot_vote vote = {.size = rows[r].size};
    for (size_t i = 0; rows[r].labels[i]; i++)
      check_equal(&c, rows[r].labels, i, rows[r].voted[i] - '0', aiot_vote_push(&vote, rows[r].labels[i] - '0'));
  }
  return checks_end(&c);
}
