import type { OperatorName, OperatorOptions, Tensor, TensorType } from '../graph.js';
import type { MapField, OptionField } from '../option-fields.js';

/** Properties of an operator's use that determine the operator's version. */
export interface Use<Name extends OperatorName> {
  options: OperatorOptions[Name];
  /** Types of the inputs (undefined if omitted) and of the first output. */
  inputs: (Tensor | undefined)[];
  output: Tensor;
}

/** An output's scale and zero point, as prescribed by the integer kernels, by type. */
export interface FixedScale {
  int8: readonly [scale: number, zeroPoint: number];
  int16?: readonly [scale: number, zeroPoint: number];
}

/** Groups of kernels whose costs per output element (or per input cell of a window) are similar. */
export type Cost =
  | 'convolution'
  | 'depthwise'
  | 'dense'
  | 'maxPool'
  | 'averagePool'
  | 'reduction'
  | 'add'
  | 'multiply'
  | 'activation'
  | 'rescale'
  | 'transcendental'
  | 'copy';

/** Types for which TFLite Micro may lack a kernel. */
export type MicroType = 'int8' | 'int16' | 'int32' | 'bool';

export interface Row<Name extends OperatorName> {
  /** Number in the schema's BuiltinOperator. */
  code: number;
  /** Name of a custom operator. The code of all custom operators is 32. */
  custom?: string;
  /** Number in the schema's union BuiltinOptions; 0 = no options table. */
  optionsType: number;
  fields: OptionField[];
  /** Options of a custom operator, which are a FlexBuffers map. They replace `fields`, and are sorted by key. */
  map?: readonly MapField[];
  /** Minimum and maximum number of inputs. */
  inputs: [least: number, most: number];
  /** Positions of inputs that may be omitted although later inputs are required. */
  optional?: readonly number[];
  /** Positions of inputs that are the operator's state: variables that only this operator uses, and that its kernel updates in each run. */
  states?: readonly number[];
  /**
   * Types and shapes of the states, if a file does not contain them because the runtime allocates them with the operator. The reader adds
   * them after the inputs in the file, and the writer omits them.
   */
  kept?: (options: OperatorOptions[Name], input: Tensor) => Pick<Tensor, 'type' | 'shape'>[];
  /** Number of outputs; default: one. */
  outputs?: (options: OperatorOptions[Name]) => number;
  /** The oldest kernel version that supports this use. */
  version: (use: Use<Name>) => number;
  /** The first TensorFlow release that includes each version. */
  since: Readonly<Record<number, string>>;
  /**
   * Positions of the inputs that are activations (or constants in their place) rather than weights, axes or shapes. The first of these
   * inputs determines the kernel's type. The default is the first input.
   */
  activations?: readonly number[] | 'all';
  /**
   * Scale of an integer output: its own scale, the input's scale (the kernel copies integers), a scale shared with several inputs
   * (`joined`), or a prescribed scale. If absent, the output has no scale.
   */
  scale?: 'own' | 'input' | 'joined' | FixedScale;
  /** The output's type, if it differs from the activations' type. */
  yields?: Extract<TensorType, 'bool' | 'int32' | 'uint32' | 'uint64'>;
  /**
   * The output's shape: the first input's shape, or the shape to which both inputs are broadcast. Absent if the shape depends on anything
   * else.
   */
  shape?: 'first' | 'broadcast';
  cost: Cost;
  /**
   * TFLite Micro's method that registers the kernel (micro_mutable_op_resolver.h). `data` and `options` are the numbers of bytes that the
   * kernel allocates for its data and options in the arena's tail, measured with the 64-bit Python runtime. `lacks`: types for which LiteRT
   * and aiot have a kernel, but TFLite Micro has none.
   */
  micro: { register: string; data: number; options: number; lacks?: readonly MicroType[] };
}

/** A row that several operators can share, because the version does not depend on any option. */
export type SharedRow = Omit<Row<OperatorName>, 'version' | 'outputs' | 'kept'> & {
  version: (use: Pick<Use<OperatorName>, 'inputs' | 'output'>) => number;
};

type SharedUse = Pick<Use<OperatorName>, 'inputs' | 'output'>;

/** Version 1 for float32, and version `int8` for int8 and int16, because TensorFlow 2.18's converter writes this version for int16 too. */
export const quantizedSince =
  (int8: number) =>
  ({ output }: { output: Tensor }) =>
    output.type === 'int8' || output.type === 'int16' ? int8 : 1;

/** Version by the type of the first input: 1 for float32, and the given versions for int8 and int16. */
export const byType =
  (int8: number, int16 = int8) =>
  ({ inputs }: SharedUse): number =>
    inputs[0]?.type === 'int16' ? int16 : inputs[0]?.type === 'int8' ? int8 : 1;

/** Version 1 for float32, 2 for integers, and `wide` for tensors of more than `rank` dimensions. */
export const byRank =
  (rank: number, wide: number) =>
  (use: SharedUse): number =>
    (use.inputs[0]?.shape.length ?? 0) > rank ? wide : quantizedSince(2)(use);

/**
 * The method in TFLite Micro's resolver, the sizes of the kernel's data and options in bytes, and the types that the kernel lacks although
 * aiot and LiteRT support them.
 */
export const micro = (
  register: string,
  data = 0,
  options = 0,
  ...lacks: MicroType[]
): Row<OperatorName>['micro'] => ({ register, data, options, ...(lacks.length > 0 && { lacks }) });
