#ifndef AIOT_DECLARED_TFLITE_RESOLVER_H
#define AIOT_DECLARED_TFLITE_RESOLVER_H

#include "tensorflow/lite/micro/micro_interpreter.h"

namespace tflite {
template <unsigned count>
class MicroMutableOpResolver : public MicroOpResolver {
 public:
  TfLiteStatus AddAdd();
  TfLiteStatus AddAveragePool2D();
  TfLiteStatus AddConv2D();
  TfLiteStatus AddDepthwiseConv2D();
  TfLiteStatus AddExpandDims();
  TfLiteStatus AddFullyConnected();
  TfLiteStatus AddLogistic();
  TfLiteStatus AddMaxPool2D();
  TfLiteStatus AddMean();
  TfLiteStatus AddPad();
  TfLiteStatus AddQuantize();
  TfLiteStatus AddDequantize();
  TfLiteStatus AddConcatenation();
  TfLiteStatus AddSplitV();
  TfLiteStatus AddReshape();
  TfLiteStatus AddSoftmax();
};
}  // namespace tflite

#endif
