/*
 * TensorFlow Lite Micro as a table of aiot/model.h. It replaces the core's own interpreter if built with -DAIOT_TFLM=1, which
 * links the component espressif/esp-tflite-micro. Both give the same integers.
 */
#include <cstring>
#include <new>

#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

extern "C" {
#include "tflm.h"
}

#ifndef AIOT_TFLM_ARENA_BYTES
#define AIOT_TFLM_ARENA_BYTES (24u * 1024u)
#endif

struct aiot_model {
  tflite::MicroInterpreter *interpreter;
  aiot_tensor input;
  aiot_tensor output;
};

namespace {

using Resolver = tflite::MicroMutableOpResolver<16>;

/* Operators that `aiot model train` uses, and a few more. */
const Resolver *resolver() {
  static Resolver operators;
  static bool added = false;
  if (!added) {
    added = operators.AddFullyConnected() == kTfLiteOk && operators.AddConv2D() == kTfLiteOk && operators.AddDepthwiseConv2D() == kTfLiteOk &&
            operators.AddMaxPool2D() == kTfLiteOk && operators.AddAveragePool2D() == kTfLiteOk && operators.AddSoftmax() == kTfLiteOk &&
            operators.AddLogistic() == kTfLiteOk && operators.AddReshape() == kTfLiteOk && operators.AddMean() == kTfLiteOk &&
            operators.AddAdd() == kTfLiteOk && operators.AddPad() == kTfLiteOk && operators.AddExpandDims() == kTfLiteOk &&
            operators.AddQuantize() == kTfLiteOk && operators.AddDequantize() == kTfLiteOk &&
            operators.AddConcatenation() == kTfLiteOk && operators.AddSplitV() == kTfLiteOk;
  }
  return added ? &operators : nullptr;
}

aiot_tensor describe(const TfLiteTensor *tensor) {
  if (tensor->type == kTfLiteFloat32) return aiot_tensor{tensor->bytes / sizeof(float), 1, 0, AIOT_FLOAT32};
  const bool wide = tensor->type == kTfLiteInt16;
  return aiot_tensor{tensor->bytes / (wide ? 2 : 1), tensor->params.scale, tensor->params.zero_point, wide ? AIOT_INT16 : AIOT_INT8};
}

aiot_code open_model(const uint8_t *tflite, size_t bytes, aiot_arena *arena, aiot_model **out) {
  /*
   * TFLM trusts every offset in the file. The core's interpreter therefore checks them all first, in memory that is then
   * released.
   */
  aiot_arena scratch = *arena;
  aiot_model *checked = nullptr;
  const aiot_code code = aiot_interpreter.open(tflite, bytes, &scratch, &checked);
  if (code != AIOT_OK) return code;
  const Resolver *operators = resolver();
  void *place = aiot_arena_take(arena, sizeof(tflite::MicroInterpreter), alignof(tflite::MicroInterpreter));
  aiot_model *model = static_cast<aiot_model *>(aiot_arena_take(arena, sizeof(aiot_model), alignof(aiot_model)));
  uint8_t *memory = static_cast<uint8_t *>(aiot_arena_take(arena, AIOT_TFLM_ARENA_BYTES, 16));
  if (operators == nullptr || place == nullptr || model == nullptr || memory == nullptr) return AIOT_MEMORY_SHORT;
  model->interpreter = new (place) tflite::MicroInterpreter(tflite::GetModel(tflite), *operators, memory, AIOT_TFLM_ARENA_BYTES);
  if (model->interpreter->AllocateTensors() != kTfLiteOk) return AIOT_MODEL_UNSUPPORTED;
  const TfLiteTensor *input = model->interpreter->input(0), *output = model->interpreter->output(0);
  const TfLiteTensor *const ends[] = {input, output};
  for (const TfLiteTensor *end : ends)
    if (end->type != kTfLiteInt8 && end->type != kTfLiteInt16 && end->type != kTfLiteFloat32) return AIOT_MODEL_UNSUPPORTED;
  model->input = describe(input);
  model->output = describe(output);
  *out = model;
  return AIOT_OK;
}

const aiot_tensor *input_of(const aiot_model *model) { return &model->input; }
const aiot_tensor *output_of(const aiot_model *model) { return &model->output; }

void invoke(aiot_model *model, const void *input, void *output) {
  const size_t bytes = model->interpreter->output(0)->bytes;
  std::memcpy(model->interpreter->input(0)->data.raw, input, model->interpreter->input(0)->bytes);
  /* This cannot fail, because all checks are made when a model is opened. */
  if (model->interpreter->Invoke() != kTfLiteOk) std::memset(output, 0, bytes);
  else std::memcpy(output, model->interpreter->output(0)->data.raw, bytes);
}

/* The resolver has no operator that keeps a state. */
void reset(aiot_model *model) { (void)model; }

}  // namespace

extern "C" const aiot_inference aiot_tflm = {"tflm", open_model, input_of, output_of, invoke, reset};
