/**
 * A model as typed data: the contents of a .tflite file without its layout. The reader creates a graph, the quantizer rewrites it, the
 * writer writes it to a file, and the interpreters run it. Activations are NHWC. Constants have the layouts of the TFLite schema
 * (FULLY_CONNECTED [out, in], CONV_2D [out, kh, kw, in], DEPTHWISE_CONV_2D [1, kh, kw, in × multiplier]).
 */
export type TensorType =
  | 'float32'
  | 'float16'
  | 'int8'
  | 'int16'
  | 'int32'
  | 'int64'
  | 'uint8'
  | 'uint32'
  | 'uint64'
  | 'bool';

export type TensorData =
  | Float32Array
  | Uint16Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Uint32Array
  | BigUint64Array;

/** real = scale · (q − zeroPoint). There is one entry, or one entry for each index along `axis`. Scales are float32 values. */
export interface Quantization {
  scale: number[];
  zeroPoint: number[];
  axis: number;
}

export interface Tensor {
  name: string;
  /** All dimensions are positive; [] is a scalar. */
  shape: number[];
  type: TensorType;
  /** Data of a constant, row-major; absent for other tensors. float16 is stored as raw 16-bit words, bool as bytes of 0 and 1. */
  data?: TensorData;
  /**
   * Values of a variable before the first run and after a reset; absent for other tensors. A variable keeps its value between runs. Either
   * READ_VARIABLE and ASSIGN_VARIABLE use the variable, or it is one operator's state. A state starts with real zeros.
   */
  variable?: TensorData;
  quantization?: Quantization;
}

export type Activation = 'none' | 'relu' | 'relu_n1_to_1' | 'relu6';

export type Padding = 'same' | 'valid';
export type MirrorMode = 'reflect' | 'symmetric';

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
  /** For int16 only: false = scales need not be powers of two. The schema's default is true. */
  potScaleInt16?: false;
}

/** Each operator's options. An operator without options has `{}`. */
export interface OperatorOptions {
  FULLY_CONNECTED: {
    activation: Activation;
    keepNumDims: boolean;
    /** Whether float activations are quantized with a zero point at run time; only in dynamic-range files. */
    asymmetricQuantizeInputs?: boolean;
    /** Type of the bias, only in int16 files: int64, even if there is no bias. */
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
  /** Inputs: int32 output shape, filter [out, kh, kw, in], x, and the optional bias. */
  TRANSPOSE_CONV: {
    padding: Padding;
    strideH: number;
    strideW: number;
    activation: Activation;
    quantizedBiasType?: TensorType;
  };
  BATCH_MATMUL: { adjX: boolean; adjY: boolean };
  L2_NORMALIZATION: { activation: Activation };
  /**
   * Inputs: 0 x [batch, time, in] (`timeMajor`: [time, batch, in]). 1–4 weights for x [out, in], 5–8 weights for the hidden state [out,
   * out] and 12–15 biases [out], in each case for the input, forget, cell and output gates. 18 hidden state [batch, out]. 19 cell state
   * [batch, out]. Other inputs (peepholes, projection, layer normalization) are not supported. The cells' activation is tanh.
   */
  UNIDIRECTIONAL_SEQUENCE_LSTM: {
    /** Limit on the cell state's magnitude; 0 = no limit. */
    cellClip: number;
    timeMajor: boolean;
  };
  /**
   * Inputs: x [batch, in], feature weights [filters, in], time weights [filters, memory], the optional bias [units], and the state
   * [batch, filters · memory]. Each unit has `rank` filters. The output is [batch, units].
   */
  SVDF: { rank: number; activation: Activation };
  MAX_POOL_2D: Pool;
  AVERAGE_POOL_2D: Pool;
  MEAN: { keepDims: boolean };
  SUM: { keepDims: boolean };
  REDUCE_MAX: { keepDims: boolean };
  REDUCE_MIN: { keepDims: boolean };
  /** Inputs: x and the axis (an int32 scalar). The output is int32. */
  ARG_MAX: { outputType?: TensorType };
  ARG_MIN: { outputType?: TensorType };
  ADD: Sum;
  SUB: Sum;
  MUL: { activation: Activation };
  DIV: { activation: Activation };
  /** The remainder has the sign of the second input. */
  FLOOR_MOD: Record<never, never>;
  MAXIMUM: Record<never, never>;
  MINIMUM: Record<never, never>;
  SQUARED_DIFFERENCE: Record<never, never>;
  /** Comparisons. The output is bool. */
  EQUAL: Record<never, never>;
  NOT_EQUAL: Record<never, never>;
  GREATER: Record<never, never>;
  GREATER_EQUAL: Record<never, never>;
  LESS: Record<never, never>;
  LESS_EQUAL: Record<never, never>;
  /** Operators on bool. */
  LOGICAL_AND: Record<never, never>;
  LOGICAL_OR: Record<never, never>;
  LOGICAL_NOT: Record<never, never>;
  /** Inputs: a bool condition, the values for true, and the values for false. */
  SELECT_V2: Record<never, never>;
  /** Inputs: x and the constant slopes for negative values (int8 if activations are int16). */
  PRELU: Record<never, never>;
  /** Inputs: the parts in order. */
  CONCATENATION: { axis: number; activation: Activation };
  /** Inputs: x, int32 paddings [rank, 2]. */
  PAD: Record<never, never>;
  /** Inputs: x, int32 paddings [rank, 2], the fill value (a scalar of x's type and scale). */
  PADV2: Record<never, never>;
  /** Inputs: x, int32 paddings [rank, 2]. `reflect` does not repeat the elements at the border; `symmetric` does. */
  MIRROR_PAD: { mode: MirrorMode };
  /** Inputs: x and the int32 shape of the output. */
  BROADCAST_TO: Record<never, never>;
  /** Inputs: x and the int32 axes along which it is reversed. */
  REVERSE_V2: Record<never, never>;
  /** Inputs: x and the int32 permutation. */
  TRANSPOSE: Record<never, never>;
  /** Inputs: the axis (an int32 scalar) and x. There is one output for each split. */
  SPLIT: { numSplits: number };
  /**
   * Inputs: x, the constant int32 sizes of the parts (one may be −1, which means the rest), and the axis (an int32 scalar). There is one
   * output for each size.
   */
  SPLIT_V: { numSplits: number };
  /** Input: the variable. The output is a copy of its current value. */
  READ_VARIABLE: Record<never, never>;
  /** Inputs: the variable and its new value. There is no output. */
  ASSIGN_VARIABLE: Record<never, never>;
  /** Inputs: the parts in order. They are joined along a new axis. */
  PACK: { valuesCount: number; axis: number };
  /** There is one output for each index along the axis. */
  UNPACK: { num: number; axis: number };
  /** Inputs: x, int32 begin and size (−1 = to the end). */
  SLICE: Record<never, never>;
  /** Inputs: x, int32 indices, which may be constant. */
  GATHER: { axis: number; batchDims: number };
  DEPTH_TO_SPACE: { blockSize: number };
  SPACE_TO_DEPTH: { blockSize: number };
  /** Inputs: x, int32 block shape, int32 paddings. */
  SPACE_TO_BATCH_ND: Record<never, never>;
  /** Inputs: x, int32 block shape, int32 crops. */
  BATCH_TO_SPACE_ND: Record<never, never>;
  /** Inputs: int32 dimensions, a scalar value. */
  FILL: Record<never, never>;
  /** Inputs: x, int32 height and width. */
  RESIZE_BILINEAR: { alignCorners: boolean; halfPixelCenters: boolean };
  RESIZE_NEAREST_NEIGHBOR: { alignCorners: boolean; halfPixelCenters: boolean };
  /** Inputs: x, int32 begin, end, strides. Bit k of a mask refers to axis k. */
  STRIDED_SLICE: { beginMask: number; endMask: number; shrinkAxisMask: number };
  LEAKY_RELU: { alpha: number };
  RESHAPE: { newShape: number[] };
  EXPAND_DIMS: Record<never, never>;
  SQUEEZE: { squeezeDims: number[] };
  SOFTMAX: { beta: number };
  LOG_SOFTMAX: Record<never, never>;
  LOGISTIC: Record<never, never>;
  TANH: Record<never, never>;
  RELU: Record<never, never>;
  RELU6: Record<never, never>;
  ABS: Record<never, never>;
  NEG: Record<never, never>;
  SQRT: Record<never, never>;
  RSQRT: Record<never, never>;
  SQUARE: Record<never, never>;
  EXP: Record<never, never>;
  LOG: Record<never, never>;
  ELU: Record<never, never>;
  SIN: Record<never, never>;
  COS: Record<never, never>;
  FLOOR: Record<never, never>;
  CEIL: Record<never, never>;
  /** Rounds halves to the nearest even number. */
  ROUND: Record<never, never>;
  HARD_SWISH: Record<never, never>;
  /**
   * A custom operator in aiot, which sums the leaves that a row reaches in an ensemble of decision trees. Inputs: x, and the constant int32
   * tables described in forest.ts.
   */
  FOREST: Record<never, never>;
  /**
   * Operators of TFLite Micro's audio front end, on int16 samples. States (the last inputs) are not inputs in a file, but belong to its
   * operators. SIGNAL_FRAMER: input [...outer, samples], the outputs are frames [...outer, frames, frameSize] and whether all are complete.
   */
  SIGNAL_FRAMER: { frameSize: number; frameStep: number; prefill: boolean };
  /** Inputs: samples and constant weights. Products are shifted right by `shift` bits. */
  SIGNAL_WINDOW: { shift: number };
  /** Doubles samples as many times as int16 allows. The second output is the number of doublings. */
  SIGNAL_FFT_AUTO_SCALE: Record<never, never>;
  /** Real Fourier transform of [..., samples]. The output [..., fftLength + 2] has pairs of real and imaginary parts. */
  SIGNAL_RFFT: { fftLength: number; sampleType: number };
  /** The inverse: [..., fftLength + 2] → [..., fftLength]. `sampleType` is the number of int16, int32 or float32. */
  SIGNAL_IRFFT: { fftLength: number; sampleType: number };
  /** A row of samples, each as many samples later as the delay. */
  SIGNAL_DELAY: { delayLength: number };
  /** Adds overlapping frames [..., frames, frameSize] into samples [..., frames · frameStep]. */
  SIGNAL_OVERLAP_ADD: { frameStep: number; sampleType: number };
  /** Squared magnitudes, uint32, of the bins from `startIndex` to before `endIndex`. */
  SIGNAL_ENERGY: { startIndex: number; endIndex: number };
  /** Inputs: energies, and constant weights, unweights, first bins, first weights and widths. The output is uint64 [numChannels]. */
  SIGNAL_FILTER_BANK: { numChannels: number };
  /** Inputs: uint64 sums and the scale bits of SIGNAL_FFT_AUTO_SCALE. */
  SIGNAL_FILTER_BANK_SQUARE_ROOT: Record<never, never>;
  /** The outputs are the signal without the noise, and the noise estimate. Shares have `spectralSubtractionBits` bits of fraction. */
  SIGNAL_FILTER_BANK_SPECTRAL_SUBTRACTION: {
    numChannels: number;
    smoothing: number;
    oneMinusSmoothing: number;
    alternateSmoothing: number;
    alternateOneMinusSmoothing: number;
    smoothingBits: number;
    minSignalRemaining: number;
    spectralSubtractionBits: number;
    clamping: boolean;
  };
  /** Inputs: signal, noise estimate, constant table of gains. */
  SIGNAL_PCAN: { snrShift: number };
  SIGNAL_FILTER_BANK_LOG: { outputScale: number; inputCorrectionBits: number };
  /** The outputs are the last frames in one row, and whether the row is complete. */
  SIGNAL_STACKER: {
    numChannels: number;
    stackerLeftContext: number;
    stackerRightContext: number;
    stackerStep: number;
  };
  /** Converts stored values to another type: scales are ignored. */
  CAST: { inDataType?: TensorType; outDataType?: TensorType };
  QUANTIZE: Record<never, never>;
  DEQUANTIZE: Record<never, never>;
}

export type OperatorName = keyof OperatorOptions;

export type Operator = {
  [Name in OperatorName]: {
    op: Name;
    /** Indices into `Graph.tensors`; −1 = an optional input that is omitted. */
    inputs: number[];
    outputs: number[];
    options: OperatorOptions[Name];
  };
}[OperatorName];

export interface Graph {
  name: string;
  description: string;
  tensors: Tensor[];
  /** The operators, in execution order. */
  operators: Operator[];
  inputs: number[];
  outputs: number[];
  /** External names of inputs and outputs, in order (the file's signature). If absent, the tensors' names are used. */
  signature?: { inputs: string[]; outputs: string[] };
}

interface TypeRow {
  /** Number in the schema's TensorType. */
  code: number;
  bytes: number;
  /** Views `buffer` as elements of the type. `buffer` must contain only whole elements. */
  view: (buffer: ArrayBuffer) => TensorData;
}

const rows: Record<TensorType, TypeRow> = {
  float32: { code: 0, bytes: 4, view: (buffer) => new Float32Array(buffer) },
  float16: { code: 1, bytes: 2, view: (buffer) => new Uint16Array(buffer) },
  int32: { code: 2, bytes: 4, view: (buffer) => new Int32Array(buffer) },
  uint8: { code: 3, bytes: 1, view: (buffer) => new Uint8Array(buffer) },
  int64: { code: 4, bytes: 8, view: (buffer) => new BigInt64Array(buffer) },
  bool: { code: 6, bytes: 1, view: (buffer) => new Uint8Array(buffer) },
  int16: { code: 7, bytes: 2, view: (buffer) => new Int16Array(buffer) },
  int8: { code: 9, bytes: 1, view: (buffer) => new Int8Array(buffer) },
  uint64: { code: 12, bytes: 8, view: (buffer) => new BigUint64Array(buffer) },
  uint32: { code: 15, bytes: 4, view: (buffer) => new Uint32Array(buffer) },
};

const byCode = new Map((Object.keys(rows) as TensorType[]).map((type) => [rows[type].code, type]));

/** The type with this number in the schema, or undefined if it is not supported. */
export function tensorTypeOf(code: number): TensorType | undefined {
  return byCode.get(code);
}

export function tensorTypeCode(type: TensorType): number {
  return rows[type].code;
}

/** Size of one element, bytes. */
export function elementBytes(type: TensorType): number {
  return rows[type].bytes;
}

/** Number of elements in a tensor of this shape; 1 for a scalar ([]). */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((count, size) => count * size, 1);
}

/** Copies little-endian bytes into elements. The length of `bytes` must be a multiple of the element size. */
export function typedData(type: TensorType, bytes: Uint8Array): TensorData {
  // Not bytes.slice(), because a Buffer's slice shares the Buffer's memory.
  return rows[type].view(new Uint8Array(bytes).buffer);
}

/** Whether the array's class matches this type. */
export function isDataOf(type: TensorType, data: TensorData): boolean {
  return Object.getPrototypeOf(data) === Object.getPrototypeOf(rows[type].view(new ArrayBuffer(0)));
}

/**
 * Whether a tensor has no elements. Only an output that no operator computes may be empty. LiteRT and TFLite Micro read such an output, but
 * TFLite Micro rejects an operator with an empty result ("dynamic tensors are not supported").
 */
export function isEmpty({ shape }: Pick<Tensor, 'shape'>): boolean {
  return shape.includes(0);
}

/** Whether a model keeps values between runs. */
export function hasState({ tensors }: Graph): boolean {
  return tensors.some(({ variable }) => variable !== undefined);
}

/** Real zeros in a tensor's type. As in TFLite Micro, a variable without initial values in the file starts with these values. */
export function zeros({ type, shape, quantization }: Tensor): TensorData {
  const data = typedData(type, new Uint8Array(elementCount(shape) * elementBytes(type)));
  return type === 'int8' ? data.fill((quantization?.zeroPoint[0] ?? 0) as never) : data;
}

/** Whether a model contains decision trees, which only aiot's own interpreter and generated C can run. */
export function hasForest({ operators }: Pick<Graph, 'operators'>): boolean {
  return operators.some(({ op }) => op === 'FOREST');
}

/** Whether a model contains operators of TFLite Micro's audio front end, which LiteRT lacks. */
export function hasFrontEnd({ operators }: Pick<Graph, 'operators'>): boolean {
  return operators.some(({ op }) => op.startsWith('SIGNAL_'));
}

/** The graph without unused tensors. The other tensors keep their order. */
export function withoutUnused(graph: Graph): Graph {
  const used = new Set([
    ...graph.inputs,
    ...graph.outputs,
    ...graph.operators.flatMap(({ inputs, outputs }) => [...inputs, ...outputs]),
  ]);
  const kept = graph.tensors.flatMap((_, index) => (used.has(index) ? [index] : []));
  const places = new Map(kept.map((index, place) => [index, place]));
  const moved = (indices: readonly number[]) => indices.map((index) => places.get(index) ?? -1);
  return {
    ...graph,
    tensors: kept.map((index) => graph.tensors[index]!),
    operators: graph.operators.map((operator) => ({
      ...operator,
      inputs: moved(operator.inputs),
      outputs: moved(operator.outputs),
    })),
    inputs: moved(graph.inputs),
    outputs: moved(graph.outputs),
  };
}
