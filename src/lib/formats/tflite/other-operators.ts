import { unsupported } from './errors.js';

interface Other {
  name: string;
  /** What a network can use in its place. */
  instead?: string;
}

const fixedBatch = 'convert with a batch of 1 fixed in the input';
const recurrent = 'use convolutions over time (CONV_2D of height 1)';
const outside = 'compute it before or after the network';

/** Operators of the schema that are not supported here, by code; those that are have a row in operators.ts. */
const others: Readonly<Record<number, Other>> = {
  5: { name: 'DEPTH_TO_SPACE', instead: 'use RESHAPE and TRANSPOSE' },
  7: { name: 'EMBEDDING_LOOKUP', instead: 'use FULLY_CONNECTED on a one-hot input' },
  16: { name: 'LSTM', instead: recurrent },
  20: { name: 'RELU_N1_TO_1', instead: 'fuse it into the layer before, or use TANH' },
  23: { name: 'RESIZE_BILINEAR', instead: outside },
  24: { name: 'RNN', instead: recurrent },
  32: { name: 'CUSTOM', instead: 'convert without custom and Flex operators' },
  36: { name: 'GATHER', instead: 'take a range (STRIDED_SLICE)' },
  37: { name: 'BATCH_TO_SPACE_ND', instead: `${fixedBatch}: a dilated convolution is then one CONV_2D` },
  38: { name: 'SPACE_TO_BATCH_ND', instead: `${fixedBatch}: a dilated convolution is then one CONV_2D` },
  42: { name: 'DIV', instead: 'use MUL by the inverse where the divisor is constant' },
  44: { name: 'UNIDIRECTIONAL_SEQUENCE_LSTM', instead: recurrent },
  47: { name: 'EXP', instead: outside },
  53: { name: 'CAST', instead: outside },
  54: { name: 'PRELU', instead: 'use LEAKY_RELU, with one slope' },
  55: { name: 'MAXIMUM', instead: 'use RELU where one side is a constant' },
  56: { name: 'ARG_MAX', instead: outside },
  57: { name: 'MINIMUM', instead: 'use RELU6 where one side is a constant' },
  59: { name: 'NEG', instead: 'use MUL by −1' },
  65: { name: 'SLICE', instead: 'use STRIDED_SLICE (x[:, a:b])' },
  67: { name: 'TRANSPOSE_CONV', instead: 'use FULLY_CONNECTED or RESHAPE to widen, then CONV_2D' },
  74: { name: 'SUM', instead: 'use MEAN, and the count as a factor in the next layer' },
  75: { name: 'SQRT', instead: outside },
  76: { name: 'RSQRT', instead: 'use batch normalization, which folds into the layer before it' },
  77: { name: 'SHAPE', instead: fixedBatch },
  78: { name: 'POW', instead: 'use MUL' },
  81: { name: 'REDUCE_PROD', instead: fixedBatch },
  83: { name: 'PACK', instead: 'use EXPAND_DIMS and CONCATENATION' },
  88: { name: 'UNPACK', instead: 'use SPLIT and SQUEEZE' },
  92: { name: 'SQUARE', instead: 'use MUL of a tensor with itself' },
  97: { name: 'RESIZE_NEAREST_NEIGHBOR', instead: outside },
  99: { name: 'SQUARED_DIFFERENCE', instead: 'use SUB and MUL' },
  101: { name: 'ABS', instead: 'use RELU of x and of −x, added' },
  102: { name: 'SPLIT_V', instead: 'use STRIDED_SLICE once for each part' },
  111: { name: 'ELU', instead: 'use RELU or LEAKY_RELU' },
  117: { name: 'HARD_SWISH', instead: 'use RELU6, or x · LOGISTIC(x)' },
  119: { name: 'WHILE (a loop, as LSTM and GRU become)', instead: recurrent },
  123: { name: 'SELECT_V2', instead: 'use RELU or MUL by a mask' },
  126: { name: 'BATCH_MATMUL', instead: 'use FULLY_CONNECTED with constant weights' },
  130: { name: 'BROADCAST_TO', instead: 'use ADD and MUL, which broadcast by themselves' },
  142: { name: 'VAR_HANDLE (a variable, as LSTM and GRU keep)', instead: recurrent },
  150: { name: 'GELU', instead: 'use RELU or LEAKY_RELU' },
};

/** The refusal of an operator that is not known here: its index, its name, what could replace it. */
export function otherOperator(index: number, code: number, custom: string) {
  const known = others[code] ?? { name: `builtin ${code}` };
  // What TensorFlow's converter makes of a recurrent layer that it cannot write as one operator.
  const { name, instead } = custom.startsWith('FlexTensorList')
    ? { name: 'CUSTOM (a part of an LSTM or GRU)', instead: recurrent }
    : known;
  const title = custom === '' ? name : `${name} ${custom}`;
  return unsupported(`operator ${index}`, `${title} is not supported${instead ? `: ${instead}` : ''}`);
}
