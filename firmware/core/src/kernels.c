#include "kernels.h"

#include <string.h>

#include "real.h"

static const aiot_kernel kernels[] = {
    {AIOT_FULLY_CONNECTED, aiot_prepare_fully_connected, 8, 2, 3, 0, 0},
    {AIOT_CONV_2D, aiot_prepare_convolution, 1, 2, 3, 0, 0},
    {AIOT_DEPTHWISE_CONV_2D, aiot_prepare_depthwise, 2, 2, 3, 0, 0},
    {AIOT_MAX_POOL_2D, aiot_prepare_pool, 5, 1, 1, 0, 0},
    {AIOT_AVERAGE_POOL_2D, aiot_prepare_pool, 5, 1, 1, 0, 0},
    {AIOT_MEAN, aiot_prepare_reduction, 27, 2, 2, 0, 0},
    {AIOT_SUM, aiot_prepare_reduction, 27, 2, 2, 0, 0},
    {AIOT_REDUCE_MAX, aiot_prepare_reduction, 27, 2, 2, 0, 0},
    {AIOT_REDUCE_MIN, aiot_prepare_reduction, 27, 2, 2, 0, 0},
    {AIOT_ARG_MAX, aiot_prepare_position, 40, 2, 2, 0, 0},
    {AIOT_ARG_MIN, aiot_prepare_position, 57, 2, 2, 0, 0},
    {AIOT_ADD, aiot_prepare_sum, 11, 2, 2, 0, 0},
    {AIOT_SUB, aiot_prepare_sum, 28, 2, 2, 0, 0},
    {AIOT_MUL, aiot_prepare_product, 21, 2, 2, 0, 0},
    {AIOT_DIV, aiot_prepare_division, 29, 2, 2, 0, 0},
    {AIOT_FLOOR_MOD, aiot_prepare_floor_mod, 72, 2, 2, 0, 0},
    {AIOT_SQUARED_DIFFERENCE, aiot_prepare_squared_difference, 76, 2, 2, 0, 0},
    {AIOT_PRELU, aiot_prepare_prelu, 0, 2, 2, 0, 0},
    {AIOT_MAXIMUM, aiot_prepare_choice, 39, 2, 2, 0, 0},
    {AIOT_MINIMUM, aiot_prepare_choice, 39, 2, 2, 0, 0},
    {AIOT_EQUAL, aiot_prepare_comparison, 53, 2, 2, 0, 0},
    {AIOT_NOT_EQUAL, aiot_prepare_comparison, 54, 2, 2, 0, 0},
    {AIOT_GREATER, aiot_prepare_comparison, 44, 2, 2, 0, 0},
    {AIOT_GREATER_EQUAL, aiot_prepare_comparison, 45, 2, 2, 0, 0},
    {AIOT_LESS, aiot_prepare_comparison, 41, 2, 2, 0, 0},
    {AIOT_LESS_EQUAL, aiot_prepare_comparison, 46, 2, 2, 0, 0},
    {AIOT_LOGICAL_AND, aiot_prepare_logic, 62, 2, 2, 0, 0},
    {AIOT_LOGICAL_OR, aiot_prepare_logic, 60, 2, 2, 0, 0},
    {AIOT_LOGICAL_NOT, aiot_prepare_logic, 63, 1, 1, 0, 0},
    {AIOT_SELECT_V2, aiot_prepare_select, 98, 3, 3, 0, 0},
    {AIOT_ABS, aiot_prepare_table, 78, 1, 1, 0, 0},
    {AIOT_NEG, aiot_prepare_real_values, 42, 1, 1, 0, 0},
    {AIOT_SQRT, aiot_prepare_real_values, 0, 1, 1, 0, 0},
    {AIOT_SQUARE, aiot_prepare_real_values, 66, 1, 1, 0, 0},
    {AIOT_EXP, aiot_prepare_real_values, 33, 1, 1, 0, 0},
    {AIOT_LOG, aiot_prepare_real_values, 0, 1, 1, 0, 0},
    {AIOT_SIN, aiot_prepare_real_values, 0, 1, 1, 0, 0},
    {AIOT_COS, aiot_prepare_real_values, 84, 1, 1, 0, 0},
    {AIOT_FLOOR, aiot_prepare_real_values, 0, 1, 1, 0, 0},
    {AIOT_CEIL, aiot_prepare_real_values, 0, 1, 1, 0, 0},
    {AIOT_ROUND, aiot_prepare_real_values, 0, 1, 1, 0, 0},
    {AIOT_RSQRT, aiot_prepare_table, 0, 1, 1, 0, 0},
    {AIOT_ELU, aiot_prepare_table, 0, 1, 1, 0, 0},
    {AIOT_HARD_SWISH, aiot_prepare_table, 91, 1, 1, 0, 0},
    {AIOT_LOGISTIC, aiot_prepare_table, 0, 1, 1, 0, 0},
    {AIOT_TANH, aiot_prepare_table, 0, 1, 1, 0, 0},
    {AIOT_RELU, aiot_prepare_table, 0, 1, 1, 0, 0},
    {AIOT_RELU6, aiot_prepare_table, 0, 1, 1, 0, 0},
    {AIOT_LEAKY_RELU, aiot_prepare_table, 75, 1, 1, 0, 0},
    {AIOT_QUANTIZE, aiot_prepare_table, 89, 1, 1, 0, 0},
    {AIOT_DEQUANTIZE, aiot_prepare_dequantize, 38, 1, 1, 0, 0},
    {AIOT_SOFTMAX, aiot_prepare_softmax, 9, 1, 1, 0, 0},
    {AIOT_LOG_SOFTMAX, aiot_prepare_log_softmax, 36, 1, 1, 0, 0},
    {AIOT_RESHAPE, aiot_prepare_reshape, 17, 1, 2, 0, 0},
    {AIOT_EXPAND_DIMS, aiot_prepare_expand_dims, 52, 2, 2, 0, 0},
    {AIOT_SQUEEZE, aiot_prepare_squeeze, 30, 1, 1, 0, 0},
    {AIOT_CONCATENATION, aiot_prepare_concatenation, 10, 1, 10, 0, 0},
    {AIOT_PAD, aiot_prepare_pad, 22, 2, 2, 0, 0},
    {AIOT_PADV2, aiot_prepare_pad, 43, 3, 3, 0, 0},
    {AIOT_MIRROR_PAD, aiot_prepare_mirror_pad, 77, 2, 2, 0, 0},
    {AIOT_BROADCAST_TO, aiot_prepare_broadcast, 104, 2, 2, 0, 0},
    {AIOT_REVERSE_V2, aiot_prepare_reverse, 81, 2, 2, 0, 0},
    {AIOT_TRANSPOSE, aiot_prepare_transpose, 26, 2, 2, 0, 0},
    {AIOT_SPLIT, aiot_prepare_split, 35, 2, 2, 0, 0},
    {AIOT_SPLIT_V, aiot_prepare_split_sizes, 79, 3, 3, 0, 0},
    {AIOT_CALL_ONCE, aiot_prepare_call_once, 103, 0, 0, 0, 0},
    {AIOT_VAR_HANDLE, aiot_prepare_var_handle, 111, 0, 0, 0, 0},
    {AIOT_READ_VARIABLE, aiot_prepare_variable, 112, 1, 1, 0, 0},
    {AIOT_ASSIGN_VARIABLE, aiot_prepare_variable, 113, 2, 2, 0, 0},
    {AIOT_STRIDED_SLICE, aiot_prepare_strided_slice, 32, 4, 4, 0, 0},
    {AIOT_PACK, aiot_prepare_pack, 59, 1, 64, 0, 0},
    {AIOT_UNPACK, aiot_prepare_unpack, 64, 1, 1, 0, 0},
    {AIOT_SLICE, aiot_prepare_slice, 48, 3, 3, 0, 0},
    {AIOT_GATHER, aiot_prepare_gather, 23, 2, 2, 0, 0},
    {AIOT_DEPTH_TO_SPACE, aiot_prepare_blocks, 94, 1, 1, 0, 0},
    {AIOT_SPACE_TO_DEPTH, aiot_prepare_blocks, 19, 1, 1, 0, 0},
    {AIOT_SPACE_TO_BATCH_ND, aiot_prepare_batches, 25, 3, 3, 0, 0},
    {AIOT_BATCH_TO_SPACE_ND, aiot_prepare_batches, 24, 3, 3, 0, 0},
    {AIOT_CAST, aiot_prepare_cast, 37, 1, 1, 0, 0},
    {AIOT_FILL, aiot_prepare_fill, 68, 2, 2, 0, 0},
    {AIOT_TRANSPOSE_CONV, aiot_prepare_transpose_convolution, 49, 3, 4, 0, 0},
    {AIOT_RESIZE_BILINEAR, aiot_prepare_resize, 15, 2, 2, 0, 0},
    {AIOT_RESIZE_NEAREST_NEIGHBOR, aiot_prepare_resize, 74, 2, 2, 0, 0},
    {AIOT_BATCH_MATMUL, aiot_prepare_batch_matmul, 101, 2, 2, 0, 0},
    {AIOT_L2_NORMALIZATION, aiot_prepare_l2_normalization, 12, 1, 1, 0, 0},
    {AIOT_UNIDIRECTIONAL_SEQUENCE_LSTM, aiot_prepare_lstm, 71, 24, 24, 7u << 9 | 3u << 16 | 15u << 20, 3u << 18},
    {AIOT_SVDF, aiot_prepare_svdf, 6, 5, 5, 1u << 3, 1u << 4},
    {AIOT_SIGNAL_FRAMER, aiot_prepare_framer, 0, 1, 1, 0, 0},
    {AIOT_SIGNAL_WINDOW, aiot_prepare_window, 0, 2, 2, 0, 0},
    {AIOT_SIGNAL_FFT_AUTO_SCALE, aiot_prepare_auto_scale, 0, 1, 1, 0, 0},
    {AIOT_SIGNAL_RFFT, aiot_prepare_transform, 0, 1, 1, 0, 0},
    {AIOT_SIGNAL_ENERGY, aiot_prepare_energy, 0, 1, 1, 0, 0},
    {AIOT_SIGNAL_FILTER_BANK, aiot_prepare_filter_bank, 0, 6, 6, 0, 0},
    {AIOT_SIGNAL_FILTER_BANK_SQUARE_ROOT, aiot_prepare_square_roots, 0, 2, 2, 0, 0},
    {AIOT_SIGNAL_FILTER_BANK_SPECTRAL_SUBTRACTION, aiot_prepare_spectral_subtraction, 0, 1, 1, 0, 0},
    {AIOT_SIGNAL_PCAN, aiot_prepare_pcan, 0, 3, 3, 0, 0},
    {AIOT_SIGNAL_FILTER_BANK_LOG, aiot_prepare_logarithms, 0, 1, 1, 0, 0},
    {AIOT_SIGNAL_STACKER, aiot_prepare_stacker, 0, 1, 1, 0, 0},
    {AIOT_SIGNAL_IRFFT, aiot_prepare_transform, 0, 1, 1, 0, 0},
    {AIOT_SIGNAL_DELAY, aiot_prepare_delay, 0, 1, 1, 0, 0},
    {AIOT_SIGNAL_OVERLAP_ADD, aiot_prepare_overlap_add, 0, 1, 1, 0, 0},
};

/* Names of custom operators, in the order of their codes from AIOT_SIGNAL_FRAMER on. */
static const char *const custom_names[] = {
    "SignalFramer", "SignalWindow", "SignalFftAutoScale", "SignalRfft", "SignalEnergy", "SignalFilterBank", "SignalFilterBankSquareRoot",
    "SignalFilterBankSpectralSubtraction", "SignalPCAN", "SignalFilterBankLog", "SignalStacker", "SignalIrfft", "SignalDelay", "SignalOverlapAdd"};

/* The code of a custom operator with this name; AIOT_CUSTOM = unknown. */
static int32_t custom_code(const aiot_flatbuffer *file, aiot_vector name) {
  for (size_t i = 0; i < sizeof custom_names / sizeof custom_names[0]; i++)
    if (strlen(custom_names[i]) == name.count && memcmp(file->data + name.at, custom_names[i], name.count) == 0)
      return AIOT_SIGNAL_FRAMER + (int32_t)i;
  return AIOT_CUSTOM;
}

const aiot_kernel *aiot_kernel_of(int32_t code) {
  for (size_t i = 0; i < sizeof kernels / sizeof kernels[0]; i++)
    if (kernels[i].code == code) return &kernels[i];
  return NULL;
}

aiot_operator aiot_operator_at(aiot_network *network, aiot_vector operators, aiot_vector codes, uint32_t index) {
  aiot_flatbuffer *file = &network->file;
  const aiot_table table = aiot_flatbuffer_table_at(file, operators, index);
  const int32_t kind = aiot_flatbuffer_i32(file, table, 0, 0);
  /* The cast makes a negative index out of range. */
  const aiot_table code = aiot_flatbuffer_table_at(file, codes, (uint32_t)kind);
  const int32_t old = aiot_flatbuffer_i8(file, code, 0, 0), builtin = aiot_flatbuffer_i32(file, code, 3, 0);
  aiot_operator operator = {
      .network = network,
      .code = old > builtin ? old : builtin,
      .custom = aiot_flatbuffer_vector(file, table, 5, 1),
      .inputs = aiot_flatbuffer_vector(file, table, 1, 4),
      .outputs = aiot_flatbuffer_vector(file, table, 2, 4),
  };
  if (operator.code == AIOT_CUSTOM) operator.code = custom_code(file, aiot_flatbuffer_vector(file, code, 1, 1));
  /* A code of a custom operator is not a code of a file. */
  else if (operator.code >= AIOT_SIGNAL_FRAMER) operator.code = AIOT_CUSTOM;
  const aiot_kernel *kernel = aiot_kernel_of(operator.code);
  const int32_t options_type = (uint8_t)aiot_flatbuffer_i8(file, table, 3, 0);
  operator.suited = options_type == 0 || (kernel != NULL && options_type == kernel->options_type);
  /* An operator without a type of options has none, so all options have their defaults. */
  if (options_type != 0 && operator.suited) operator.options = aiot_flatbuffer_table(file, table, 4);
  return operator;
}
