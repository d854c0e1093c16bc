/*
 * A network from a .tflite file during preparation, and the resulting steps. operands.c defines the functions. network_read.c and
 * the kernels call them while the model is opened. All memory is from the network's arena; constants stay in the file. Layouts
 * and rules are those of the TFLite schema and its quantization specification. src/lib/runtime/interpreter is the TypeScript
 * implementation, with bit-exact results.
 */
#ifndef AIOT_NETWORK_H
#define AIOT_NETWORK_H

#include "aiot/arena.h"
#include "aiot/code.h"
#include "aiot/model.h"
#include "flatbuffer.h"

#define AIOT_RANK_MAX 6
/*
 * Maximum number of elements in a tensor. Products of sizes then fit into an int32, and a dot product of int8s stays far below
 * its limit.
 */
#define AIOT_ELEMENTS_MAX (1 << 24)

enum { AIOT_ALIGNMENT = sizeof(void *) > sizeof(double) ? sizeof(void *) : sizeof(double) };

/* A variable, which keeps its value between runs (variables.h). */
typedef struct aiot_variable aiot_variable;

/* A tensor as it is in the file, and its place in memory. */
typedef struct {
  int32_t type;
  int32_t rank;
  int32_t size[AIOT_RANK_MAX];
  int32_t count;
  /* Data of a constant; NULL = the tensor is computed at run time. */
  const uint8_t *data;
  aiot_vector scale;
  aiot_vector zero_point;
  int32_t axis;
  /*
   * Whether it is written, and the times of its first write and last use. Operator i runs at time i + 1; the input is written at
   * 0.
   */
  bool made;
  int32_t first, last;
  /* Index of the tensor whose memory it shares, or of itself. */
  int32_t root;
  uint32_t offset;
  /* The variable for which the tensor is a handle or the state; NULL = none. */
  aiot_variable *variable;
  /* Whether the file marks the tensor as variable. It must then be the state of one operator, which sets `variable`. */
  bool state;
  /* Whether a QUANTIZE converts this uint8 tensor from or to int8. */
  bool converted;
} aiot_operand;

/* One step. Its pointers to memory are set. */
typedef struct aiot_step aiot_step;
struct aiot_step {
  void (*run)(const aiot_step *step);
  /* The step's parameters for `run`. */
  const void *plan;
  const int8_t *x, *x2, *x3;
  int8_t *y;
  aiot_step *next;
  /* Indices of tensors x, x2, x3 and y; -1 = none. */
  int16_t from, from2, from3, to;
};

typedef struct {
  aiot_flatbuffer file;
  aiot_arena *arena;
  aiot_operand *operand;
  int32_t operands;
  aiot_step *steps;
  aiot_step **end;
  aiot_step *newest;
  /*
   * Whether the standardization of a float32 input, its QUANTIZE and the DEQUANTIZE to a float32 output are skipped. The
   * network's inputs and outputs are then the int8 tensors inside.
   */
  bool float_ends;
  aiot_variable *variables;
  /* Number of handles read so far, and the container that all of them must have. */
  int32_t handles;
  aiot_vector container;
  /* Whether a second subgraph sets the variables' initial values. */
  bool initialized;
} aiot_network;

/* The operator that is being prepared. */
typedef struct {
  aiot_network *network;
  int32_t code;
  aiot_table options;
  /* Whether the options table belongs to this operator. */
  bool suited;
  aiot_vector inputs, outputs;
  /* Options of a custom operator, as bytes. */
  aiot_vector custom;
} aiot_operator;

/* Reads the operator at this position. */
aiot_operator aiot_operator_at(aiot_network *network, aiot_vector operators, aiot_vector codes, uint32_t index);

/* Reads a tensor. For type resource, only its shape is read, because it must be a handle of a variable. */
aiot_code aiot_operand_read(aiot_flatbuffer *file, aiot_table tensor, aiot_vector buffers, aiot_operand *operand);

/* The tensor of an input or output; NULL = the operator has no such input or output. */
aiot_operand *aiot_operator_input(const aiot_operator *operator, uint32_t place);
aiot_operand *aiot_operator_output(const aiot_operator *operator, uint32_t place);
int32_t aiot_operator_input_index(const aiot_operator *operator, uint32_t place);
int32_t aiot_operator_output_index(const aiot_operator *operator, uint32_t place);

/* Element of a constant of int32s. */
int32_t aiot_operand_i32(const aiot_operand *operand, int32_t index);
/* Whether the tensor is a constant of this type. */
bool aiot_operand_constant(const aiot_operand *operand, int32_t type);
/* Whether the tensor has exactly this shape. */
bool aiot_operand_shaped(const aiot_operand *operand, int32_t rank, const int32_t *size);
/* Converts an axis to its index from the front; -1 if it does not exist. */
int32_t aiot_operand_axis(const aiot_operand *operand, int32_t axis);

/* Adds a step with a zeroed plan of this size from the arena; NULL = the arena is too small. */
void *aiot_network_step(aiot_network *network, void (*run)(const aiot_step *step), size_t plan_bytes, int32_t from,
                        int32_t from2, int32_t to);

/* Sets the third input of the step that was added last. */
void aiot_network_third(aiot_network *network, int32_t from3);

/* Prepares one operator (kernels_*.c). Error: AIOT_MODEL_UNSUPPORTED if no kernel supports it. */
typedef aiot_code (*aiot_prepare)(const aiot_operator *operator);

/* An operator, as files may contain it (docs/reference/tflite-rules.md). */
typedef struct {
  int32_t code;
  aiot_prepare prepare;
  /* Number in the schema's union BuiltinOptions. */
  int32_t options_type;
  /* Minimum and maximum number of inputs; those after the minimum are optional. */
  uint32_t least, most;
  /* Bit masks of inputs that may be omitted although later inputs are required, and of inputs that are the operator's state. */
  uint32_t optional, states;
} aiot_kernel;

/* Codes of the operators (BuiltinOperator of the schema). */
enum {
  AIOT_ADD = 0,
  AIOT_AVERAGE_POOL_2D = 1,
  AIOT_CONCATENATION = 2,
  AIOT_CONV_2D = 3,
  AIOT_DEPTHWISE_CONV_2D = 4,
  AIOT_DEPTH_TO_SPACE = 5,
  AIOT_DEQUANTIZE = 6,
  AIOT_FLOOR = 8,
  AIOT_FULLY_CONNECTED = 9,
  AIOT_L2_NORMALIZATION = 11,
  AIOT_LOGISTIC = 14,
  AIOT_MAX_POOL_2D = 17,
  AIOT_MUL = 18,
  AIOT_RELU = 19,
  AIOT_RELU6 = 21,
  AIOT_RESHAPE = 22,
  AIOT_RESIZE_BILINEAR = 23,
  AIOT_SOFTMAX = 25,
  AIOT_SPACE_TO_DEPTH = 26,
  AIOT_SVDF = 27,
  AIOT_TANH = 28,
  AIOT_CUSTOM = 32,
  AIOT_PAD = 34,
  AIOT_GATHER = 36,
  AIOT_BATCH_TO_SPACE_ND = 37,
  AIOT_SPACE_TO_BATCH_ND = 38,
  AIOT_TRANSPOSE = 39,
  AIOT_MEAN = 40,
  AIOT_SUB = 41,
  AIOT_DIV = 42,
  AIOT_SQUEEZE = 43,
  AIOT_UNIDIRECTIONAL_SEQUENCE_LSTM = 44,
  AIOT_STRIDED_SLICE = 45,
  AIOT_SPLIT = 49,
  AIOT_EXP = 47,
  AIOT_LOG_SOFTMAX = 50,
  AIOT_CAST = 53,
  AIOT_PRELU = 54,
  AIOT_MAXIMUM = 55,
  AIOT_ARG_MAX = 56,
  AIOT_MINIMUM = 57,
  AIOT_LESS = 58,
  AIOT_NEG = 59,
  AIOT_PADV2 = 60,
  AIOT_GREATER = 61,
  AIOT_GREATER_EQUAL = 62,
  AIOT_LESS_EQUAL = 63,
  AIOT_SLICE = 65,
  AIOT_SIN = 66,
  AIOT_TRANSPOSE_CONV = 67,
  AIOT_EXPAND_DIMS = 70,
  AIOT_EQUAL = 71,
  AIOT_NOT_EQUAL = 72,
  AIOT_LOG = 73,
  AIOT_SUM = 74,
  AIOT_SQRT = 75,
  AIOT_RSQRT = 76,
  AIOT_ARG_MIN = 79,
  AIOT_REDUCE_MAX = 82,
  AIOT_PACK = 83,
  AIOT_LOGICAL_OR = 84,
  AIOT_LOGICAL_AND = 86,
  AIOT_LOGICAL_NOT = 87,
  AIOT_UNPACK = 88,
  AIOT_REDUCE_MIN = 89,
  AIOT_SQUARE = 92,
  AIOT_FILL = 94,
  AIOT_FLOOR_MOD = 95,
  AIOT_RESIZE_NEAREST_NEIGHBOR = 97,
  AIOT_LEAKY_RELU = 98,
  AIOT_SQUARED_DIFFERENCE = 99,
  AIOT_MIRROR_PAD = 100,
  AIOT_ABS = 101,
  AIOT_SPLIT_V = 102,
  AIOT_CEIL = 104,
  AIOT_REVERSE_V2 = 105,
  AIOT_COS = 108,
  AIOT_ELU = 111,
  AIOT_QUANTIZE = 114,
  AIOT_ROUND = 116,
  AIOT_HARD_SWISH = 117,
  AIOT_SELECT_V2 = 123,
  AIOT_BATCH_MATMUL = 126,
  AIOT_CALL_ONCE = 129,
  AIOT_BROADCAST_TO = 130,
  AIOT_VAR_HANDLE = 142,
  AIOT_READ_VARIABLE = 143,
  AIOT_ASSIGN_VARIABLE = 144,
  /* Custom operators, which files name (kernels.c). Files do not contain these codes. */
  AIOT_SIGNAL_FRAMER = 1 << 20,
  AIOT_SIGNAL_WINDOW,
  AIOT_SIGNAL_FFT_AUTO_SCALE,
  AIOT_SIGNAL_RFFT,
  AIOT_SIGNAL_ENERGY,
  AIOT_SIGNAL_FILTER_BANK,
  AIOT_SIGNAL_FILTER_BANK_SQUARE_ROOT,
  AIOT_SIGNAL_FILTER_BANK_SPECTRAL_SUBTRACTION,
  AIOT_SIGNAL_PCAN,
  AIOT_SIGNAL_FILTER_BANK_LOG,
  AIOT_SIGNAL_STACKER,
  AIOT_SIGNAL_IRFFT,
  AIOT_SIGNAL_DELAY,
  AIOT_SIGNAL_OVERLAP_ADD
};

#endif
