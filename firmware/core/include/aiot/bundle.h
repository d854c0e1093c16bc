/*
 * A bundle (docs/reference/bundles.md), read in place from flash: members are located, bundle.json
 * is parsed into plain data, and only numbers are copied.
 */
#ifndef AIOT_BUNDLE_H
#define AIOT_BUNDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aiot/arena.h"
#include "aiot/code.h"
#include "aiot/input.h"
#include "aiot/model.h"

#define AIOT_NAME_BYTES 65
#define AIOT_FIELDS_MAX 16
#define AIOT_CLASSES_MAX 32
#define AIOT_EXTRA_MAX 8

typedef enum {
  AIOT_ANSWER_CLASSES,
  AIOT_ANSWER_PROBABILITY,
  AIOT_ANSWER_VALUE,
  AIOT_ANSWER_RECONSTRUCTION,
  AIOT_ANSWER_OBJECTS
} aiot_answer_kind;

/* An output besides the prediction's: its name, and its number of values. */
typedef struct {
  char name[AIOT_NAME_BYTES];
  size_t count;
} aiot_extra;

typedef struct {
  const uint8_t *data;
  size_t bytes;
} aiot_span;

#define AIOT_MEL_BANDS_MAX 256

/* A mel spectrogram (src/lib/signal/mel.ts): samples of a frame, of a hop, and of the transform; coefficients = 0 except for `mfcc`. */
typedef struct {
  size_t frame;
  size_t hop;
  size_t fft;
  size_t bands;
  double low_hz;
  double high_hz;
  size_t coefficients;
  /* `microfrontend`: whether the noise estimate continues from window to window. */
  bool stream;
} aiot_mel_spec;

/* Size of a picture in pixels, and how other pictures are fitted to it. */
typedef enum { AIOT_FIT_CROP, AIOT_FIT_STRETCH, AIOT_FIT_PAD } aiot_fit;

typedef struct {
  size_t width;
  size_t height;
  aiot_fit fit;
} aiot_image_spec;

/* The grid over a picture whose objects a model finds, and the picture's size in pixels (src/lib/model/bundle/detections.ts). */
typedef struct {
  size_t rows;
  size_t columns;
  size_t width;
  size_t height;
} aiot_object_spec;

/* The signal part: low-pass, resampling, window, features (src/lib/signal/spec.ts). */
typedef struct {
  size_t fields;
  char field[AIOT_FIELDS_MAX][AIOT_NAME_BYTES];
  double rate_hz;
  /* 0 = none */
  double lowpass_hz;
  double resample_hz;
  size_t window_samples;
  size_t stride_samples;
  /* `raw`, `motion`, `har`, `spectral`, `logmel`, `mfcc`, `microfrontend` or `image`; NULL = the features listed in `feature`. */
  const char *set;
  size_t features;
  const char **feature;
  /* For `logmel`, `mfcc` and `microfrontend`. */
  aiot_mel_spec mel;
  /* For `image`. */
  aiot_image_spec image;
} aiot_signal_spec;

/* Rejection of inputs that belong to no class (src/lib/model/bundle/types.ts, RejectSpec). The arrays are in the arena. */
typedef struct {
  /* Label of rejected windows; empty = no rejection. */
  char label[AIOT_NAME_BYTES];
  /* Minimum output of each class. */
  const double *minimum;
  /* Maximum distance from the center of each class; NULL = the distance is not used. */
  const double *radius;
  /* [classes * inputs], row by row. */
  const double *center;
  const double *weight;
} aiot_reject_spec;

typedef struct {
  char name[AIOT_NAME_BYTES];
  aiot_signal_spec signal;
  /* Standardization of the model's input. It has `count` means and deviations, which are in the arena. */
  aiot_input_spec standardization;
  size_t classes;
  char class_name[AIOT_CLASSES_MAX][AIOT_NAME_BYTES];
  aiot_answer_kind answer;
  double threshold;
  aiot_reject_spec reject;
  /* Costs [true class * predicted class], row by row, which the prediction minimizes; NULL = the largest output decides. In the arena. */
  const double *costs;
  /* For AIOT_ANSWER_OBJECTS. */
  aiot_object_spec objects;
  /* Number of windows that are smoothed; 1 = no smoothing. */
  size_t vote;
  /* Whether smoothing averages the outputs instead of taking the most frequent class. */
  bool average;
  /* Whether the network's state starts anew in each window. */
  bool window_state;
  aiot_span model;
  /* Outputs that follow the prediction's in the float32 output tensor, in the arena. */
  size_t extras;
  aiot_extra *extra;
  /* Types of the model's input and output: AIOT_INT8, AIOT_INT16 or AIOT_FLOAT32. */
  int32_t input_type, output_type;
  aiot_span golden;
} aiot_bundle;

/*
 * Reads the archive at `data`, which must remain valid. Errors: AIOT_BUNDLE_MALFORMED,
 * AIOT_MODEL_UNSUPPORTED (another type of input or output), AIOT_MEMORY_SHORT.
 */
aiot_code aiot_bundle_open(aiot_bundle *bundle, const uint8_t *data, size_t bytes, aiot_arena *arena);

/* Number of values of all extra outputs. */
size_t aiot_bundle_extra_values(const aiot_bundle *bundle);

/* Label of a prediction: the name of the class, or the label of rejected windows, whose index is the number of classes. NULL = none. */
const char *aiot_bundle_label(const aiot_bundle *bundle, int index);

#endif
