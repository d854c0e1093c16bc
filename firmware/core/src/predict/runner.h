/* Computes the prediction from a window's features; shared by the predictor and the golden check (src/lib/model/bundle/predictor.ts). */
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

/* AIOT_BUNDLE_MALFORMED if the bundle's parts do not match the network; the codes of opening features and network. */
aiot_code aiot_runner_open(aiot_runner *runner, const aiot_bundle *bundle, const aiot_inference *inference, aiot_arena *arena);

/* Label, scores and value, without the window's number and smoothing. */
void aiot_runner_answer(const aiot_runner *runner, const float *features, aiot_answer *answer);

#endif
