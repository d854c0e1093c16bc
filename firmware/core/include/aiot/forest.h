/*
 * Decision trees (FOREST, docs/reference/tflite-operators.md#decision-trees), read in place from a .tflite file. They compare and add
 * integers, need no memory, and give the same sums as src/lib/runtime/interpreter/forest.ts.
 */
#ifndef AIOT_FOREST_H
#define AIOT_FOREST_H

#include <stddef.h>
#include <stdint.h>

#include "aiot/code.h"

/* Function that converts the sums of boosting into probabilities. */
typedef enum { AIOT_ENDING_NONE, AIOT_ENDING_SOFTMAX, AIOT_ENDING_LOGISTIC } aiot_ending;

typedef struct {
  size_t inputs, outputs, trees;
  /* Tables of int32s in the file, little-endian, at any alignment. */
  const uint8_t *nodes, *leaves, *roots, *base;
  /* Real value of one step of the sums: a power of two. */
  double scale;
  aiot_ending ending;
} aiot_forest;

/*
 * Checks the whole file: bounds, that every walk ends at a leaf, and that no sum exceeds 24 bits. The file must remain in place.
 * AIOT_BUNDLE_MALFORMED; AIOT_MODEL_UNSUPPORTED if it contains anything other than one FOREST, and optionally a SOFTMAX or LOGISTIC after it.
 */
aiot_code aiot_forest_open(const uint8_t *tflite, size_t bytes, aiot_forest *out);

/* Writes the sums of the leaves that a row reaches. `features` has `inputs` values, `sums` has `outputs`. Cannot fail. */
void aiot_forest_sums(const aiot_forest *forest, const float *features, int32_t *sums);

/*
 * Converts sums to the model's float32 outputs. Without an ending they are exact, because a sum has at most 24 bits and the scale is a power of
 * two. An ending computes an exponential, which other C libraries may round differently.
 */
void aiot_forest_outputs(const aiot_forest *forest, const int32_t *sums, float *outputs);

#endif
