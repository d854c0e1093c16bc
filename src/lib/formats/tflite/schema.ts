/**
 * The parts of the public TFLite schema (tensorflow/lite/schema/schema.fbs, version 3) that this project reads and
 * writes: table slots, enumerations, operator codes.
 */
export const fileIdentifier = 'TFL3';
export const schemaVersion = 3;

/** Number of each field within its table, in the schema's order. */
export const slots = {
  model: {
    version: 0,
    operatorCodes: 1,
    subgraphs: 2,
    description: 3,
    buffers: 4,
    metadata: 6,
    signatures: 7,
  },
  operatorCode: { oldCode: 0, customCode: 1, version: 2, code: 3 },
  subgraph: { tensors: 0, inputs: 1, outputs: 2, operators: 3, name: 4 },
  tensor: {
    shape: 0,
    type: 1,
    buffer: 2,
    name: 3,
    quantization: 4,
    isVariable: 5,
    sparsity: 6,
    signature: 7,
    variants: 9,
  },
  quantization: { scale: 2, zeroPoint: 3, detailsType: 4, axis: 6 },
  operator: { code: 0, inputs: 1, outputs: 2, optionsType: 3, options: 4, customOptions: 5 },
  buffer: { data: 0, offset: 1 },
  metadata: { name: 0, buffer: 1 },
  signature: { inputs: 0, outputs: 1, key: 2 },
  tensorMap: { name: 0, tensor: 1 },
} as const;

/** How many slots the schema gives each table that is written. */
export const slotCounts = {
  model: 8,
  operatorCode: 4,
  subgraph: 5,
  tensor: 8,
  quantization: 7,
  operator: 6,
  buffer: 1,
  metadata: 2,
  signature: 5,
  tensorMap: 2,
} as const;

export const paddings = ['same', 'valid'] as const;
export const activations = ['none', 'relu', 'relu_n1_to_1', 'relu6'] as const;

/** The schema's one-byte field for operator codes holds this for all codes above it ("see the other field"). */
export const largestOldCode = 127;
