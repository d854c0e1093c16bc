/*
 * Computes the prediction from a window's features. The predictor and the golden check share it
 * (src/lib/model/bundle/predictor.ts).
 */
#ifndef AIOT_PREDICT_RUNNER_H
#define AIOT_PREDICT_RUNNER_H

#include "aiot/pipeline.h"

typedef struct {
  const aiot_bundle *bundle;
  const aiot_inference *inference;
  aiot_model *model;
  aiot_features *features;
  size_t inputs;
  size_t outputs;
  /* Tensors of the last run. */
  int8_t *input;
  int8_t *output;
} aiot_runner;

/*
 * Opens a runner. Returns AIOT_BUNDLE_MALFORMED if the bundle's parts do not match the network, or an error of opening the
 * features or the network.
 */
aiot_code aiot_runner_open(aiot_runner *runner, const aiot_bundle *bundle, const aiot_inference *inference, aiot_arena *arena);

/* Computes label, scores and value, but not the window's number and the smoothing. */
void aiot_runner_answer(const aiot_runner *runner, const float *features, aiot_answer *answer);

#endif
