/*
 * Compares emitted C with TensorFlow Lite's C library on the same int8 network, alternating in one process. Measures nanoseconds per
 * inference, as the minimum of many rounds. Prints `emitted NS, library NS, delegated NS, apart STEPS`: the times of our code, of the
 * library's own kernels and of XNNPACK, and the maximum difference between the outputs.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "model.h"
#include "tensorflow/lite/c/c_api.h"

/* From TensorFlow Lite 2.9, delegates/xnnpack/xnnpack_delegate.h, which is not part of the package. */
typedef struct {
  int32_t num_threads;
  uint32_t flags;
  void *weights_cache;
} xnnpack_options;
xnnpack_options TfLiteXNNPackDelegateOptionsDefault(void);
TfLiteDelegate *TfLiteXNNPackDelegateCreate(const xnnpack_options *options);
enum { XNNPACK_QS8 = 1 };

static double now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static TfLiteInterpreter *open_library(const char *file, int delegated) {
  TfLiteInterpreterOptions *options = TfLiteInterpreterOptionsCreate();
  TfLiteInterpreterOptionsSetNumThreads(options, 1);
  if (delegated) {
    xnnpack_options own = TfLiteXNNPackDelegateOptionsDefault();
    own.num_threads = 1;
    own.flags = XNNPACK_QS8;
    TfLiteInterpreterOptionsAddDelegate(options, TfLiteXNNPackDelegateCreate(&own));
  }
  TfLiteInterpreter *interpreter = TfLiteInterpreterCreate(TfLiteModelCreateFromFile(file), options);
  if (interpreter == NULL || TfLiteInterpreterAllocateTensors(interpreter) != kTfLiteOk) exit(2);
  return interpreter;
}

static void run_library(TfLiteInterpreter *interpreter, const int8_t *input, int8_t *output) {
  memcpy(TfLiteTensorData(TfLiteInterpreterGetInputTensor(interpreter, 0)), input, MODEL_INPUT_COUNT);
  if (TfLiteInterpreterInvoke(interpreter) != kTfLiteOk) exit(2);
  memcpy(output, TfLiteTensorData(TfLiteInterpreterGetOutputTensor(interpreter, 0)), MODEL_OUTPUT_COUNT);
}

static int8_t input[MODEL_INPUT_COUNT], output[MODEL_OUTPUT_COUNT], theirs[MODEL_OUTPUT_COUNT];

static void fill(uint32_t seed) {
  for (int i = 0; i < MODEL_INPUT_COUNT; i++) {
    seed = seed * 1664525u + 1013904223u;
    input[i] = (int8_t)(seed >> 24);
  }
}

static double timed(TfLiteInterpreter *interpreter, int runs) {
  const double start = now_ns();
  for (int i = 0; i < runs; i++) {
    input[0] = (int8_t)i;
    if (interpreter == NULL)
      model_run(input, output);
    else
      run_library(interpreter, input, theirs);
  }
  return (now_ns() - start) / runs;
}

int main(int count, char **arguments) {
  if (count != 4) return 2;
  const int runs = atoi(arguments[2]), rounds = atoi(arguments[3]);
  TfLiteInterpreter *sides[] = {NULL, open_library(arguments[1], 0), open_library(arguments[1], 1)};
  int apart = 0;
  for (uint32_t seed = 0; seed < 200; seed++) {
    fill(seed);
    model_run(input, output);
    run_library(sides[1], input, theirs);
    for (int i = 0; i < MODEL_OUTPUT_COUNT; i++)
      if (abs(output[i] - theirs[i]) > apart) apart = abs(output[i] - theirs[i]);
  }
  double best[] = {1e18, 1e18, 1e18};
  for (int round = 0; round < rounds; round++)
    for (int side = 0; side < 3; side++) {
      const double took = timed(sides[side], runs);
      if (took < best[side]) best[side] = took;
    }
  printf("emitted %.0f, library %.0f, delegated %.0f, apart %d\n", best[0], best[1], best[2], apart);
  return 0;
}
