/* Operators that the interpreter supports. Each is prepared by one function (network.h, aiot_prepare). */
#ifndef AIOT_KERNELS_H
#define AIOT_KERNELS_H

#include "flexbuffer.h"
#include "network.h"

/*
 * The kernel for an operator; NULL = it is not supported. Used by network_read.c. The functions below are used only by the table
 * in kernels.c.
 */
const aiot_kernel *aiot_kernel_of(int32_t code);

aiot_code aiot_prepare_fully_connected(const aiot_operator *operator);
aiot_code aiot_prepare_convolution(const aiot_operator *operator);
aiot_code aiot_prepare_depthwise(const aiot_operator *operator);
aiot_code aiot_prepare_pool(const aiot_operator *operator);
aiot_code aiot_prepare_reduction(const aiot_operator *operator);
/* For ARG_MAX and ARG_MIN. */
aiot_code aiot_prepare_position(const aiot_operator *operator);
aiot_code aiot_prepare_sum(const aiot_operator *operator);
aiot_code aiot_prepare_product(const aiot_operator *operator);
/* DIV on int8, int32 and float32. */
aiot_code aiot_prepare_division(const aiot_operator *operator);
/* FLOOR_MOD on float32. */
aiot_code aiot_prepare_floor_mod(const aiot_operator *operator);
aiot_code aiot_prepare_squared_difference(const aiot_operator *operator);
aiot_code aiot_prepare_prelu(const aiot_operator *operator);
/* For MAXIMUM and MINIMUM. */
aiot_code aiot_prepare_choice(const aiot_operator *operator);
aiot_code aiot_prepare_comparison(const aiot_operator *operator);
/* For LOGICAL_AND, LOGICAL_OR and LOGICAL_NOT. */
aiot_code aiot_prepare_logic(const aiot_operator *operator);
aiot_code aiot_prepare_select(const aiot_operator *operator);
/*
 * For LOGISTIC, TANH, RELU, RELU6, LEAKY_RELU, QUANTIZE, ABS, RSQRT, ELU and HARD_SWISH, whose output values each depend on one
 * input value.
 */
aiot_code aiot_prepare_table(const aiot_operator *operator);
/* DEQUANTIZE from int8 or int16 to float32. */
aiot_code aiot_prepare_dequantize(const aiot_operator *operator);
aiot_code aiot_prepare_softmax(const aiot_operator *operator);
aiot_code aiot_prepare_log_softmax(const aiot_operator *operator);
aiot_code aiot_prepare_reshape(const aiot_operator *operator);
aiot_code aiot_prepare_expand_dims(const aiot_operator *operator);
aiot_code aiot_prepare_squeeze(const aiot_operator *operator);
aiot_code aiot_prepare_concatenation(const aiot_operator *operator);
aiot_code aiot_prepare_pad(const aiot_operator *operator);
aiot_code aiot_prepare_mirror_pad(const aiot_operator *operator);
aiot_code aiot_prepare_broadcast(const aiot_operator *operator);
aiot_code aiot_prepare_reverse(const aiot_operator *operator);
aiot_code aiot_prepare_transpose(const aiot_operator *operator);
aiot_code aiot_prepare_split(const aiot_operator *operator);
aiot_code aiot_prepare_split_sizes(const aiot_operator *operator);
aiot_code aiot_prepare_call_once(const aiot_operator *operator);
aiot_code aiot_prepare_var_handle(const aiot_operator *operator);
/* For READ_VARIABLE and ASSIGN_VARIABLE. */
aiot_code aiot_prepare_variable(const aiot_operator *operator);
aiot_code aiot_prepare_strided_slice(const aiot_operator *operator);
aiot_code aiot_prepare_pack(const aiot_operator *operator);
aiot_code aiot_prepare_unpack(const aiot_operator *operator);
aiot_code aiot_prepare_slice(const aiot_operator *operator);
aiot_code aiot_prepare_gather(const aiot_operator *operator);
/* For DEPTH_TO_SPACE and SPACE_TO_DEPTH. */
aiot_code aiot_prepare_blocks(const aiot_operator *operator);
/* For SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND. */
aiot_code aiot_prepare_batches(const aiot_operator *operator);
/* LOGISTIC, TANH and SOFTMAX on int16. Used by the functions above. */
aiot_code aiot_prepare_wide_sigmoid(const aiot_operator *operator);
aiot_code aiot_prepare_wide_softmax(const aiot_operator *operator);
/* CAST between int8, int16, int32, uint32, float32 and bool. */
aiot_code aiot_prepare_cast(const aiot_operator *operator);
aiot_code aiot_prepare_fill(const aiot_operator *operator);
aiot_code aiot_prepare_transpose_convolution(const aiot_operator *operator);
/* For RESIZE_NEAREST_NEIGHBOR and RESIZE_BILINEAR. */
aiot_code aiot_prepare_resize(const aiot_operator *operator);
aiot_code aiot_prepare_batch_matmul(const aiot_operator *operator);
aiot_code aiot_prepare_l2_normalization(const aiot_operator *operator);
aiot_code aiot_prepare_svdf(const aiot_operator *operator);
aiot_code aiot_prepare_lstm(const aiot_operator *operator);
/* Operators of TensorFlow Lite Micro's audio front end. */
aiot_code aiot_prepare_framer(const aiot_operator *operator);
aiot_code aiot_prepare_window(const aiot_operator *operator);
aiot_code aiot_prepare_auto_scale(const aiot_operator *operator);
aiot_code aiot_prepare_transform(const aiot_operator *operator);
aiot_code aiot_prepare_energy(const aiot_operator *operator);
aiot_code aiot_prepare_filter_bank(const aiot_operator *operator);
aiot_code aiot_prepare_square_roots(const aiot_operator *operator);
aiot_code aiot_prepare_spectral_subtraction(const aiot_operator *operator);
aiot_code aiot_prepare_pcan(const aiot_operator *operator);
aiot_code aiot_prepare_logarithms(const aiot_operator *operator);
aiot_code aiot_prepare_stacker(const aiot_operator *operator);
aiot_code aiot_prepare_delay(const aiot_operator *operator);
aiot_code aiot_prepare_overlap_add(const aiot_operator *operator);

#endif
