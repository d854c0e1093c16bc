#ifndef AIOT_DECLARED_TFLITE_INTERPRETER_H
#define AIOT_DECLARED_TFLITE_INTERPRETER_H

#include <stddef.h>
#include <stdint.h>

typedef enum { kTfLiteOk, kTfLiteError } TfLiteStatus;
typedef enum { kTfLiteNoType = 0, kTfLiteFloat32 = 1, kTfLiteInt16 = 7, kTfLiteInt8 = 9 } TfLiteType;

typedef struct TfLiteTensor {
  TfLiteType type;
  union {
    char *raw;
    int8_t *int8;
  } data;
  struct {
    float scale;
    int32_t zero_point;
  } params;
  size_t bytes;
} TfLiteTensor;

namespace tflite {
struct Model;
class MicroOpResolver {};
class MicroInterpreter {
 public:
  MicroInterpreter(const Model *model, const MicroOpResolver &operators, uint8_t *arena, size_t bytes);
  TfLiteStatus AllocateTensors();
  TfLiteStatus Invoke();
  TfLiteTensor *input(size_t index);
  TfLiteTensor *output(size_t index);
};
}  // namespace tflite

#endif
