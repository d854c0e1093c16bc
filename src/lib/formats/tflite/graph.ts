/**
 * A network as typed data: what a .tflite file says, without its layout. The reader makes it, the quantizer rewrites it,
 * the writer emits it, the interpreters run it. Activations are NHWC; layouts of constants as in the TFLite schema
 * (FULLY_CONNECTED [out, in], CONV_2D [out, kh, kw, in], DEPTHWISE_CONV_2D [1, kh, kw, in × multiplier]).
 */
export type TensorType = 'float32' | 'float16' | 'int8' | 'int16' | 'int32' | 'int64' | 'uint8' | 'bool';

export type TensorData =
  | Float32Array
  | Uint16Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Uint8Array;

/** real = scale · (q − zeroPoint). One entry, or one per index of `axis`. Scales are float32 values. */
export interface Quantization {
  scale: number[];
  zeroPoint: number[];
  axis: number;
}

export interface Tensor {
  name: string;
  /** All dimensions positive; [] is a scalar. */
  shape: number[];
  type: TensorType;
  /** Present = constant. Row-major; float16 as raw 16-bit words, bool as 0/1 bytes. */
  data?: TensorData;
  quantization?: Quantization;
}

export type Activation = 'none' | 'relu' | 'relu_n1_to_1' | 'relu6';
export type Padding = 'same' | 'valid';

interface Pool {
  padding: Padding;
  strideH: number;
  strideW: number;
  filterH: number;
  filterW: number;
  activation: Activation;
}

interface Sum {
  activation: Activation;
  /** int16 only: scales need not be powers of two. Such files have false here; the schema's default is true. */
  potScaleInt16?: false;
}

/** Options of each operator; an operator without any has `{}`. */
export interface OperatorOptions {
  FULLY_CONNECTED: {
    activation: Activation;
    keepNumDims: boolean;
    /** Only in dynamic-range files: float activations are quantized with a zero point on the fly. */
    asymmetricQuantizeInputs?: boolean;
    /** Only in int16 files: int64 even where there is no bias. */
    quantizedBiasType?: TensorType;
  };
  CONV_2D: {
    padding: Padding;
    strideH: number;
    strideW: number;
    dilationH: number;
    dilationW: number;
    activation: Activation;
    quantizedBiasType?: TensorType;
  };
  DEPTHWISE_CONV_2D: {
    padding: Padding;
    strideH: number;
    strideW: number;
    dilationH: number;
    dilationW: number;
    depthMultiplier: number;
    activation: Activation;
  };
  MAX_POOL_2D: Pool;
  AVERAGE_POOL_2D: Pool;
  MEAN: { keepDims: boolean };
  REDUCE_MAX: { keepDims: boolean };
  ADD: Sum;
  SUB: Sum;
  MUL: { activation: Activation };
  /** Inputs: the parts in order. */
  CONCATENATION: { axis: number; activation: Activation };
  /** Inputs: x, int32 paddings [rank, 2]. */
  PAD: Record<never, never>;
  /** Inputs: x, int32 paddings [rank, 2], the value to fill with (a scalar of x's type and scale). */
  PADV2: Record<never, never>;
  /** Inputs: x, int32 permutation. */
  TRANSPOSE: Record<never, never>;
  /** Inputs: the axis (an int32 scalar), x. As many outputs as splits. */
  SPLIT: { numSplits: number };
  /** Inputs: x, int32 begin, end, strides. Bit k of a mask speaks of axis k. */
  STRIDED_SLICE: { beginMask: number; endMask: number; shrinkAxisMask: number };
  LEAKY_RELU: { alpha: number };
  RESHAPE: { newShape: number[] };
  EXPAND_DIMS: Record<never, never>;
  SQUEEZE: { squeezeDims: number[] };
  SOFTMAX: { beta: number };
  LOGISTIC: Record<never, never>;
  TANH: Record<never, never>;
  RELU: Record<never, never>;
  RELU6: Record<never, never>;
  QUANTIZE: Record<never, never>;
  DEQUANTIZE: Record<never, never>;
}

export type OperatorName = keyof OperatorOptions;

export type Operator = {
  [Name in OperatorName]: {
    op: Name;
    /** Indices into `Graph.tensors`; −1 = an optional input left out. */
    inputs: number[];
    outputs: number[];
    options: OperatorOptions[Name];
  };
}[OperatorName];

export interface Graph {
  name: string;
  description: string;
  tensors: Tensor[];
  /** In execution order. */
  operators: Operator[];
  inputs: number[];
  outputs: number[];
  /**
   * Names that callers know inputs and outputs by, in their order (the file's signature); without it they are known by their
   * tensors' names.
   */
  signature?: { inputs: string[]; outputs: string[] };
}
