#include "kernels.h"

static const aiot_kernel kernels[] = {
    {AIOT_FULLY_CONNECTED, aiot_prepare_fully_connected, 8, 2, 3},
    {AIOT_CONV_2D, aiot_prepare_convolution, 1, 2, 3},
    {AIOT_DEPTHWISE_CONV_2D, aiot_prepare_depthwise, 2, 2, 3},
    {AIOT_MAX_POOL_2D, aiot_prepare_pool, 5, 1, 1},
    {AIOT_AVERAGE_POOL_2D, aiot_prepare_pool, 5, 1, 1},
    {AIOT_MEAN, aiot_prepare_reduction, 27, 2, 2},
    {AIOT_SUM, aiot_prepare_reduction, 27, 2, 2},
    {AIOT_REDUCE_MAX, aiot_prepare_reduction, 27, 2, 2},
    {AIOT_REDUCE_MIN, aiot_prepare_reduction, 27, 2, 2},
    {AIOT_ADD, aiot_prepare_sum, 11, 2, 2},
    {AIOT_SUB, aiot_prepare_sum, 28, 2, 2},
    {AIOT_MUL, aiot_prepare_product, 21, 2, 2},
    {AIOT_SQUARED_DIFFERENCE, aiot_prepare_squared_difference, 76, 2, 2},
    {AIOT_PRELU, aiot_prepare_prelu, 0, 2, 2},
    {AIOT_MAXIMUM, aiot_prepare_choice, 39, 2, 2},
    {AIOT_MINIMUM, aiot_prepare_choice, 39, 2, 2},
    {AIOT_EQUAL, aiot_prepare_comparison, 53, 2, 2},
    {AIOT_NOT_EQUAL, aiot_prepare_comparison, 54, 2, 2},
    {AIOT_GREATER, aiot_prepare_comparison, 44, 2, 2},
    {AIOT_GREATER_EQUAL, aiot_prepare_comparison, 45, 2, 2},
    {AIOT_LESS, aiot_prepare_comparison, 41, 2, 2},
    {AIOT_LESS_EQUAL, aiot_prepare_comparison, 46, 2, 2},
    {AIOT_SELECT_V2, aiot_prepare_select, 98, 3, 3},
    {AIOT_ABS, aiot_prepare_table, 78, 1, 1},
    {AIOT_RSQRT, aiot_prepare_table, 0, 1, 1},
    {AIOT_ELU, aiot_prepare_table, 0, 1, 1},
    {AIOT_HARD_SWISH, aiot_prepare_table, 91, 1, 1},
    {AIOT_LOGISTIC, aiot_prepare_table, 0, 1, 1},
    {AIOT_TANH, aiot_prepare_table, 0, 1, 1},
    {AIOT_RELU, aiot_prepare_table, 0, 1, 1},
    {AIOT_RELU6, aiot_prepare_table, 0, 1, 1},
    {AIOT_LEAKY_RELU, aiot_prepare_table, 75, 1, 1},
    {AIOT_QUANTIZE, aiot_prepare_table, 89, 1, 1},
    {AIOT_SOFTMAX, aiot_prepare_softmax, 9, 1, 1},
    {AIOT_RESHAPE, aiot_prepare_reshape, 17, 1, 2},
    {AIOT_EXPAND_DIMS, aiot_prepare_expand_dims, 52, 2, 2},
    {AIOT_SQUEEZE, aiot_prepare_squeeze, 30, 1, 1},
    {AIOT_CONCATENATION, aiot_prepare_concatenation, 10, 1, 10},
    {AIOT_PAD, aiot_prepare_pad, 22, 2, 2},
    {AIOT_PADV2, aiot_prepare_pad, 43, 3, 3},
    {AIOT_TRANSPOSE, aiot_prepare_transpose, 26, 2, 2},
    {AIOT_SPLIT, aiot_prepare_split, 35, 2, 2},
    {AIOT_STRIDED_SLICE, aiot_prepare_strided_slice, 32, 4, 4},
};

const aiot_kernel *aiot_kernel_of(int32_t code) {
  for (size_t i = 0; i < sizeof kernels / sizeof kernels[0]; i++)
    if (kernels[i].code == code) return &kernels[i];
  return NULL;
}
