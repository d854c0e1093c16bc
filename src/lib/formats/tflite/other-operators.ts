import { unsupported } from './errors.js';
import { builtinName } from './operator-names.js';

interface Other {
  /** What a network can use in its place. */
  instead: string;
  /** Where the operator comes from, if its name does not say. */
  origin?: string;
}

const fixedBatch = 'convert with a batch of 1 fixed in the input';
const recurrent = 'use convolutions over time (CONV_2D of height 1)';
const outside = 'compute it before or after the network';

/** TensorFlow's converter makes FlexTensorList operators of a recurrent layer that it cannot write as one operator. */
const recurrentPart: Other = { instead: recurrent, origin: 'a part of an LSTM or GRU' };

/** Operators of the schema that are not supported here, by code; those that are have a row in operators.ts. */
const others: Readonly<Record<number, Other>> = {
  5: { instead: 'use RESHAPE and TRANSPOSE' }, // DEPTH_TO_SPACE
  7: { instead: 'use FULLY_CONNECTED on a one-hot input' }, // EMBEDDING_LOOKUP
  16: { instead: recurrent }, // LSTM
  20: { instead: 'fuse it into the layer before, or use TANH' }, // RELU_N1_TO_1
  23: { instead: outside }, // RESIZE_BILINEAR
  24: { instead: recurrent }, // RNN
  27: { instead: recurrent }, // SVDF
  32: { instead: 'convert without custom and Flex operators' }, // CUSTOM
  36: { instead: 'take a range (STRIDED_SLICE)' }, // GATHER
  37: { instead: `${fixedBatch}: a dilated convolution is then one CONV_2D` }, // BATCH_TO_SPACE_ND
  38: { instead: `${fixedBatch}: a dilated convolution is then one CONV_2D` }, // SPACE_TO_BATCH_ND
  42: { instead: 'use MUL by the inverse where the divisor is constant' }, // DIV
  44: { instead: recurrent }, // UNIDIRECTIONAL_SEQUENCE_LSTM
  47: { instead: outside }, // EXP
  53: { instead: outside }, // CAST
  54: { instead: 'use LEAKY_RELU, with one slope' }, // PRELU
  55: { instead: 'use RELU where one side is a constant' }, // MAXIMUM
  56: { instead: outside }, // ARG_MAX
  57: { instead: 'use RELU6 where one side is a constant' }, // MINIMUM
  59: { instead: 'use MUL by −1' }, // NEG
  65: { instead: 'use STRIDED_SLICE (x[:, a:b])' }, // SLICE
  67: { instead: 'use FULLY_CONNECTED or RESHAPE to widen, then CONV_2D' }, // TRANSPOSE_CONV
  74: { instead: 'use MEAN, and the count as a factor in the next layer' }, // SUM
  75: { instead: outside }, // SQRT
  76: { instead: 'use batch normalization, which folds into the layer before it' }, // RSQRT
  77: { instead: fixedBatch }, // SHAPE
  78: { instead: 'use MUL' }, // POW
  81: { instead: fixedBatch }, // REDUCE_PROD
  83: { instead: 'use EXPAND_DIMS and CONCATENATION' }, // PACK
  88: { instead: 'use SPLIT and SQUEEZE' }, // UNPACK
  92: { instead: 'use MUL of a tensor with itself' }, // SQUARE
  97: { instead: outside }, // RESIZE_NEAREST_NEIGHBOR
  99: { instead: 'use SUB and MUL' }, // SQUARED_DIFFERENCE
  101: { instead: 'use RELU of x and of −x, added' }, // ABS
  102: { instead: 'use STRIDED_SLICE once for each part' }, // SPLIT_V
  111: { instead: 'use RELU or LEAKY_RELU' }, // ELU
  117: { instead: 'use RELU6, or x · LOGISTIC(x)' }, // HARD_SWISH
  119: { instead: recurrent, origin: 'a loop, as LSTM and GRU become' }, // WHILE
  123: { instead: 'use RELU or MUL by a mask' }, // SELECT_V2
  126: { instead: 'use FULLY_CONNECTED with constant weights' }, // BATCH_MATMUL
  130: { instead: 'use ADD and MUL, which broadcast by themselves' }, // BROADCAST_TO
  142: { instead: recurrent, origin: 'a variable, as LSTM and GRU keep' }, // VAR_HANDLE
  150: { instead: 'use RELU or LEAKY_RELU' }, // GELU
};

/** The error for an operator that is not supported: its index, its name in the schema, and a replacement if there is one. */
export function otherOperator(index: number, code: number, custom: string) {
  const { instead, origin } = custom.startsWith('FlexTensorList') ? recurrentPart : (others[code] ?? {});
  const title = [builtinName(code), origin && `(${origin})`, custom].filter(Boolean).join(' ');
  return unsupported(`operator ${index}`, `${title} is not supported${instead ? `: ${instead}` : ''}`);
}
