/* From the features of a window to the answer: what predictor and golden check share (src/lib/model/bundle/predictor.ts). */
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
  /* Of the last run. */
  int8_t *input;
  int8_t *output;
} aiot_runner;

/* AIOT_BUNDLE_MALFORMED where the bundle's parts do not fit the network; what opening features and network says. */
aiot_code aiot_runner_open(aiot_runner *runner, const aiot_bundle *bundle, const aiot_inference *inference, aiot_arena *arena);

/* Label, scores and value; not the window's number, nor the vote. */
void aiot_runner_answer(const aiot_runner *runner, const float *features, aiot_answer *answer);

#endif
