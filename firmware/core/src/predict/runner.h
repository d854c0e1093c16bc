/*
 * Computes the prediction from a window's features. The predictor and the golden check share it
 * (src/lib/model/bundle/predictor.ts).
 */
#ifndef AIOT_PREDICT_RUNNER_H
#define AIOT_PREDICT_RUNNER_H

#include "aiot/forest.h"
#include "aiot/pipeline.h"
#include "objects.h"

typedef struct {
  const aiot_bundle *bundle;
  const aiot_inference *inference;
  aiot_model *model;
  aiot_features *features;
  size_t inputs;
  /* Number of outputs that predict. The extra outputs follow them. */
  size_t outputs;
  size_t extra;
  /* Tensors of the network's last run: int8, int16 or float32. */
  void *input;
  void *output;
  /* Whether decision trees replace the network. Their input and output are float32. */
  bool trees;
  aiot_forest forest;
  int32_t *sums;
  /* For AIOT_ANSWER_OBJECTS. */
  aiot_objects objects;
} aiot_runner;

/*
 * Opens a runner. Returns AIOT_BUNDLE_MALFORMED if the bundle's parts do not match the network, or an error of opening the
 * features or the network.
 */
aiot_code aiot_runner_open(aiot_runner *runner, const aiot_bundle *bundle, const aiot_inference *inference, aiot_arena *arena);

/* Computes label, scores and value, but not the window's number and the smoothing. */
void aiot_runner_answer(const aiot_runner *runner, const float *features, aiot_answer *answer);

/* Number of scores of a prediction. */
size_t aiot_runner_scores(const aiot_runner *runner);

/* The next input is the first of a recording, as in `aiot_inference`. */
void aiot_runner_reset(const aiot_runner *runner);

/* Values of the last run's input and output as in golden.json: integers or float32 numbers. */
double aiot_runner_input(const aiot_runner *runner, size_t index);
double aiot_runner_output(const aiot_runner *runner, size_t index);

#endif
