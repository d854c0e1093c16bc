/*
 * From samples to predictions: low-pass, resampling, window, features, standardization, network, smoothing. The results are those
 * of src/lib/signal/pipeline.ts and src/lib/model/bundle/predictor.ts. All memory is allocated from the arena at the start.
 */
#ifndef AIOT_PIPELINE_H
#define AIOT_PIPELINE_H

#include <stdbool.h>

#include "aiot/bundle.h"

typedef struct aiot_features aiot_features;

/*
 * Prepares a signal part. Errors: AIOT_MODEL_UNSUPPORTED for a feature set or name that this firmware or these fields
 * do not support, and for windows of more than 65536 samples; AIOT_MEMORY_SHORT.
 */
aiot_code aiot_features_open(const aiot_signal_spec *spec, aiot_arena *arena, aiot_features **out);
size_t aiot_features_count(const aiot_features *features);
/*
 * `sample` has one value per field. Returns the features of a window if this sample completes one, otherwise NULL. They remain
 * valid until the next call.
 */
const float *aiot_features_push(aiot_features *features, const double *sample);
void aiot_features_reset(aiot_features *features);

/* Maximum number of objects in a picture; must equal mostDetections in src/lib/model/bundle/detections.ts. */
#define AIOT_OBJECTS_MAX 32

/* An object in a picture. */
typedef struct {
  /* Index of the object's class. */
  int label;
  /* The object's center, in pixels from the picture's upper left corner. */
  double x;
  double y;
  /* Class probability in the object's strongest cell. */
  double confidence;
} aiot_object;

typedef struct {
  /* Number of the window since the last reset. */
  uint32_t window;
  /* Index of the class; -1 if the model predicts values or objects. */
  int label;
  int voted;
  /* `scores` values in the order of the classes. `value` is as in docs/reference/protocol.md#inference. */
  size_t scores;
  double score[AIOT_CLASSES_MAX];
  double value;
  /* Objects in a picture, strongest first; valid until the next prediction. */
  size_t objects;
  const aiot_object *object;
  /* Values of the extra outputs, one output after another; NULL if there are none. Valid until the next prediction. */
  const float *extra;
} aiot_answer;

typedef struct aiot_predictor aiot_predictor;

aiot_code aiot_predictor_open(const aiot_bundle *bundle, const aiot_inference *inference, aiot_arena *arena,
                              aiot_predictor **out);
/* Processes a sample. True if it completed a window; the result is then in `answer`. */
bool aiot_predictor_push(aiot_predictor *predictor, const double *sample, aiot_answer *answer);
void aiot_predictor_reset(aiot_predictor *predictor);

typedef struct aiot_golden aiot_golden;

/*
 * Opens a bundle's golden vectors, which are run one at a time. The bundle and the arena must remain valid until the last
 * one. Returns the same codes as opening the features and the network.
 */
aiot_code aiot_golden_open(const aiot_bundle *bundle, const aiot_inference *inference, aiot_arena *arena, aiot_golden **out);
/*
 * Runs the next vector, from its samples to the exact integers and the prediction. False if none is left; `code` is then the
 * overall result.
 */
bool aiot_golden_next(aiot_golden *golden, aiot_code *code);
/* Number of vectors that were run, and of those that passed. */
void aiot_golden_counts(const aiot_golden *golden, size_t *vectors, size_t *passed);

/* Runs all golden vectors at once. Returns AIOT_GOLDEN_MISMATCH if one differs or there is none. */
aiot_code aiot_golden_check(const aiot_bundle *bundle, const aiot_inference *inference, aiot_arena arena, size_t *vectors,
                            size_t *passed);

#endif
