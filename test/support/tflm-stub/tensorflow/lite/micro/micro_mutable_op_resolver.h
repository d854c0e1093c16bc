// A substitute for TFLite Micro's header, for compiling emitted sources without it. It has the resolver methods for this project's
// operators, each callable without arguments.
#pragma once

enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 };

namespace tflite {

template <unsigned int tOpCount>
class MicroMutableOpResolver {
 public:
#define AIOT_STUB_OPERATOR(name) \
  TfLiteStatus name() { return ++count_ <= tOpCount ? kTfLiteOk : kTfLiteError; }
  AIOT_STUB_OPERATOR(AddAdd)
  AIOT_STUB_OPERATOR(AddAveragePool2D)
  AIOT_STUB_OPERATOR(AddConcatenation)
  AIOT_STUB_OPERATOR(AddConv2D)
  AIOT_STUB_OPERATOR(AddDepthwiseConv2D)
  AIOT_STUB_OPERATOR(AddDequantize)
  AIOT_STUB_OPERATOR(AddExpandDims)
  AIOT_STUB_OPERATOR(AddFullyConnected)
  AIOT_STUB_OPERATOR(AddLeakyRelu)
  AIOT_STUB_OPERATOR(AddLogistic)
  AIOT_STUB_OPERATOR(AddMaxPool2D)
  AIOT_STUB_OPERATOR(AddMean)
  AIOT_STUB_OPERATOR(AddMul)
  AIOT_STUB_OPERATOR(AddPad)
  AIOT_STUB_OPERATOR(AddPadV2)
  AIOT_STUB_OPERATOR(AddQuantize)
  AIOT_STUB_OPERATOR(AddReduceMax)
  AIOT_STUB_OPERATOR(AddRelu)
  AIOT_STUB_OPERATOR(AddRelu6)
  AIOT_STUB_OPERATOR(AddReshape)
  AIOT_STUB_OPERATOR(AddSoftmax)
  AIOT_STUB_OPERATOR(AddSplit)
  AIOT_STUB_OPERATOR(AddSqueeze)
  AIOT_STUB_OPERATOR(AddStridedSlice)
  AIOT_STUB_OPERATOR(AddSub)
  AIOT_STUB_OPERATOR(AddTanh)
  AIOT_STUB_OPERATOR(AddTranspose)
#undef AIOT_STUB_OPERATOR

 private:
  unsigned int count_ = 0;
};

}  // namespace tflite
