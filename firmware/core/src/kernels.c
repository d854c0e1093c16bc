#include "kernels.h"

static const struct {
  int32_t code;
  aiot_prepare prepare;
} kernels[] = {
    {AIOT_FULLY_CONNECTED, aiot_prepare_fully_connected},
    {AIOT_CONV_2D, aiot_prepare_convolution},
    {AIOT_DEPTHWISE_CONV_2D, aiot_prepare_depthwise},
    {AIOT_MAX_POOL_2D, aiot_prepare_pool},
    {AIOT_AVERAGE_POOL_2D, aiot_prepare_pool},
    {AIOT_MEAN, aiot_prepare_reduction},
    {AIOT_REDUCE_MAX, aiot_prepare_reduction},
    {AIOT_ADD, aiot_prepare_sum},
    {AIOT_SUB, aiot_prepare_sum},
    {AIOT_MUL, aiot_prepare_product},
    {AIOT_LOGISTIC, aiot_prepare_table},
    {AIOT_TANH, aiot_prepare_table},
    {AIOT_RELU, aiot_prepare_table},
    {AIOT_RELU6, aiot_prepare_table},
    {AIOT_LEAKY_RELU, aiot_prepare_table},
    {AIOT_QUANTIZE, aiot_prepare_table},
    {AIOT_SOFTMAX, aiot_prepare_softmax},
    {AIOT_RESHAPE, aiot_prepare_reshape},
    {AIOT_EXPAND_DIMS, aiot_prepare_reshape},
    {AIOT_SQUEEZE, aiot_prepare_reshape},
    {AIOT_CONCATENATION, aiot_prepare_concatenation},
    {AIOT_PAD, aiot_prepare_pad},
    {AIOT_PADV2, aiot_prepare_pad},
    {AIOT_TRANSPOSE, aiot_prepare_transpose},
    {AIOT_SPLIT, aiot_prepare_split},
    {AIOT_STRIDED_SLICE, aiot_prepare_strided_slice},
};

aiot_prepare aiot_kernel_of(int32_t code) {
  for (size_t i = 0; i < sizeof kernels / sizeof kernels[0]; i++)
    if (kernels[i].code == code) return kernels[i].prepare;
  return NULL;
}
