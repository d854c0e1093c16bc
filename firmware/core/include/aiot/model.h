/*
 * A quantized network that runs in place. Its input and output are int8 (interface 1), int16 or other integers, or float32, which
 * QUANTIZE and DEQUANTIZE convert. uint8 inputs and outputs are passed as int8 values that are 128 lower. There are two implementations with the same results: the
 * core's own interpreter of .tflite files (below), and TFLite Micro (hal/esp32/main/tflm.h).
 */
#ifndef AIOT_MODEL_H
#define AIOT_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include "aiot/arena.h"
#include "aiot/code.h"

/* Numbers of the schema's TensorType. */
enum { AIOT_FLOAT32 = 0, AIOT_FLOAT16 = 1, AIOT_INT32 = 2, AIOT_UINT8 = 3, AIOT_INT64 = 4, AIOT_BOOL = 6, AIOT_INT16 = 7, AIOT_INT8 = 9, AIOT_UINT64 = 12, AIOT_RESOURCE = 13, AIOT_UINT32 = 15 };

typedef struct {
  size_t count;
  /* real = scale * (q - zero_point) */
  double scale;
  int32_t zero_point;
  /*
   * AIOT_INT8, AIOT_INT16, AIOT_INT32, AIOT_UINT32, AIOT_BOOL or AIOT_FLOAT32. All but int8 may have no quantization: scale 1, zero
   * point 0.
   */
  int32_t type;
} aiot_tensor;

/* Bytes of an element; 0 = not a type of a tensor. */
uint32_t aiot_type_bytes(int32_t type);

typedef struct aiot_model aiot_model;

/* An implementation that runs networks. */
typedef struct {
  const char *name;
  /*
   * Checks the whole file (bounds, schema version, operators, types) and plans its memory in `arena`. The file must remain in
   * place. Errors: AIOT_BUNDLE_MALFORMED, AIOT_MODEL_UNSUPPORTED, AIOT_MEMORY_SHORT.
   */
  aiot_code (*open)(const uint8_t *tflite, size_t bytes, aiot_arena *arena, aiot_model **out);
  const aiot_tensor *(*input)(const aiot_model *model);
  const aiot_tensor *(*output)(const aiot_model *model);
  /* Runs the network, which cannot fail after opening. `input` and `output` have the tensors' types and numbers of values. */
  void (*invoke)(aiot_model *model, const void *input, void *output);
  /* Sets the network's variables to their initial values, as after opening. Called before the first input of a recording. */
  void (*reset)(aiot_model *model);
} aiot_inference;

/* The core's interpreter. It is bit-exact with TFLite's reference kernels, like src/lib/runtime/interpreter. */
extern const aiot_inference aiot_interpreter;
/*
 * Like aiot_interpreter, but also accepts networks with float32 inputs and outputs. It runs only the int8 network inside; its
 * tensors give the quantization. A leading ADD and MUL are skipped, and the caller must apply them.
 */
extern const aiot_inference aiot_interpreter_within;

#endif
