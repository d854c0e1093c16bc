#include "vote.h"

#include <string.h>

int aiot_vote_push(aiot_vote *vote, int label) {
  if (vote->count < vote->size) vote->count++;
  memmove(vote->last + 1, vote->last, vote->count - 1);
  vote->last[0] = (uint8_t)label;
  int best = label;
  size_t most = 0;
  for (size_t i = 0; i < vote->count; i++) {
    size_t count = 0;
    for (size_t k = 0; k < vote->count; k++) count += vote->last[k] == vote->last[i];
    /* An older class wins only if it is more frequent, so ties go to the newer one. */
    if (count <= most) continue;
    most = count;
    best = vote->last[i];
  }
  return best;
}

aiot_code aiot_average_open(aiot_average *average, const aiot_bundle *bundle, size_t scores, aiot_arena *arena) {
  *average = (aiot_average){.size = bundle->vote, .scores = scores};
  if (scores > AIOT_CLASSES_MAX) return AIOT_MODEL_UNSUPPORTED;
  average->last = aiot_arena_take(arena, bundle->vote * (scores + 1) * sizeof(double), _Alignof(double));
  return average->last ? AIOT_OK : AIOT_MEMORY_SHORT;
}

/* Whether a window was rejected for its distance from its class rather than for its output. */
static bool is_far(const aiot_bundle *bundle, const aiot_answer *answer) {
  if (bundle->answer != AIOT_ANSWER_CLASSES || answer->label < (int)bundle->classes) return false;
  const size_t best = aiot_best_class(answer->score, bundle->classes, bundle->costs);
  return answer->score[best] >= bundle->reject.minimum[best];
}

/* The class for mean outputs, followed by the share of rejected windows. */
static int decide(const aiot_bundle *bundle, const double *mean, size_t scores) {
  if (bundle->answer == AIOT_ANSWER_PROBABILITY) return mean[1] >= bundle->threshold ? 1 : 0;
  if (bundle->answer == AIOT_ANSWER_RECONSTRUCTION) return mean[0] > bundle->threshold ? 1 : 0;
  const size_t best = aiot_best_class(mean, bundle->classes, bundle->costs);
  if (bundle->reject.label[0] == '\0') return (int)best;
  return mean[scores] > mean[best] || mean[best] < bundle->reject.minimum[best] ? (int)bundle->classes : (int)best;
}

int aiot_average_push(aiot_average *average, const aiot_bundle *bundle, const aiot_answer *answer) {
  const size_t places = average->scores + 1;
  if (average->count < average->size) average->count++;
  memmove(average->last + places, average->last, (average->count - 1) * places * sizeof(double));
  const bool far = is_far(bundle, answer);
  for (size_t i = 0; i < average->scores; i++) average->last[i] = far ? 0 : answer->score[i];
  average->last[average->scores] = far ? 1 : 0;
  double mean[AIOT_CLASSES_MAX + 1] = {0};
  /* From the oldest to the newest, as in TypeScript, because the order of a sum affects its rounding. */
  for (size_t w = average->count; w-- > 0;)
    for (size_t i = 0; i < places; i++) mean[i] += average->last[w * places + i];
  for (size_t i = 0; i < places; i++) mean[i] /= (double)average->count;
  return decide(bundle, mean, average->scores);
}

/* Expected cost of predicting a class: the cost for each possible true class, weighted by that class's probability. */
static double expected_cost(const double *scores, size_t classes, const double *costs, size_t predicted) {
  double sum = 0;
  for (size_t c = 0; c < classes; c++) sum += scores[c] * costs[c * classes + predicted];
  return sum;
}

size_t aiot_best_class(const double *scores, size_t classes, const double *costs) {
  size_t best = 0;
  if (!costs) {
    for (size_t i = 1; i < classes; i++)
      if (scores[i] > scores[best]) best = i;
    return best;
  }
  double least = expected_cost(scores, classes, costs, 0);
  for (size_t i = 1; i < classes; i++) {
    const double cost = expected_cost(scores, classes, costs, i);
    if (cost >= least) continue;
    best = i;
    least = cost;
  }
  return best;
}
