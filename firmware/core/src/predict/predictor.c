#include "runner.h"
#include "vote.h"

struct aiot_predictor {
  aiot_runner runner;
  /* State of the smoothing. The bundle determines which of the two members is used. */
  aiot_vote vote;
  aiot_average average;
  uint32_t window;
};

aiot_code aiot_predictor_open(const aiot_bundle *bundle, const aiot_inference *inference, aiot_arena *arena, aiot_predictor **out) {
  *out = NULL;
  if (bundle->vote < 1 || bundle->vote > AIOT_VOTE_MAX) return AIOT_MODEL_UNSUPPORTED;
  aiot_predictor *own = aiot_arena_take(arena, sizeof(aiot_predictor), _Alignof(aiot_predictor));
  if (!own) return AIOT_MEMORY_SHORT;
  *own = (aiot_predictor){.vote.size = bundle->vote};
  aiot_code code = aiot_runner_open(&own->runner, bundle, inference, arena);
  if (code == AIOT_OK && bundle->average) code = aiot_average_open(&own->average, bundle, aiot_runner_scores(&own->runner), arena);
  if (code == AIOT_OK) *out = own;
  return code;
}

bool aiot_predictor_push(aiot_predictor *own, const double *sample, aiot_answer *answer) {
  const float *features = aiot_features_push(own->runner.features, sample);
  if (!features) return false;
  aiot_runner_answer(&own->runner, features, answer);
  answer->window = own->window++;
  if (answer->label < 0) return true;
  const aiot_bundle *bundle = own->runner.bundle;
  answer->voted = bundle->average ? aiot_average_push(&own->average, bundle, answer) : aiot_vote_push(&own->vote, answer->label);
  return true;
}

void aiot_predictor_reset(aiot_predictor *own) {
  aiot_features_reset(own->runner.features);
  aiot_runner_reset(&own->runner);
  own->vote.count = 0;
  own->average.count = 0;
  own->window = 0;
}
