import type { OperatorName, OperatorOptions, Tensor } from '../graph.js';
import type { OptionField } from '../option-fields.js';

/** Properties of an operator's use that determine its version. */
export interface Use<Name extends OperatorName> {
  options: OperatorOptions[Name];
  /** Types of the inputs (undefined if omitted) and of the first output. */
  inputs: (Tensor | undefined)[];
  output: Tensor;
}

/** Scale and zero point that the integer kernels prescribe for an output, by type. */
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

export interface Row<Name extends OperatorName> {
  /** Number in the schema's BuiltinOperator. */
  code: number;
  /** Name of a custom operator. The code of all custom operators is 32. */
  custom?: string;
  /** Number in the schema's union BuiltinOptions; 0 = no options table. */
  optionsType: number;
  fields: OptionField[];
  /** Minimum and maximum number of inputs. */
  inputs: [least: number, most: number];
  /** Positions of inputs that may be omitted although later inputs are required. */
  optional?: readonly number[];
  /**
   * Positions of inputs that are the operator's state: variables that no other operator uses, and that the kernel updates in each run.
   */
  states?: readonly number[];
  /** Number of outputs; default: one. */
  outputs?: (options: OperatorOptions[Name]) => number;
  /** The oldest kernel version that supports the use. */
  version: (use: Use<Name>) => number;
  /** For each version, the first TensorFlow release that includes it. */
  since: Readonly<Record<number, string>>;
  /**
   * Positions of the inputs that are activations (or constants in their place) rather than weights, axes or shapes. The first of them
   * determines the kernel's type. The default is the first input.
   */
  activations?: readonly number[] | 'all';
  /**
   * Scale of an integer output: its own, that of its input (the kernel copies integers), a scale shared with several inputs (`joined`),
   * or a prescribed scale. If absent, the output has no scale.
   */
  scale?: 'own' | 'input' | 'joined' | FixedScale;
  /** Type of the output if it differs from that of the activations. */
  yields?: 'bool' | 'int32';
  /** Shape of the output: that of the first input, or that of both inputs broadcast. Absent if the shape depends on anything else. */
  shape?: 'first' | 'broadcast';
  cost: Cost;
  /**
   * TFLite Micro's method that registers the kernel (micro_mutable_op_resolver.h). `data` and `options` are the bytes that the kernel
   * allocates for its data and options in the arena's tail, measured with the 64-bit Python runtime. `lacks`: types for which LiteRT and we
   * have a kernel, but TFLite Micro has none.
   */
  micro: { register: string; data: number; options: number; lacks?: readonly ('int8' | 'int16')[] };
}

/** A row that several operators can share, because its version depends on no option. */
export type SharedRow = Omit<Row<OperatorName>, 'version' | 'outputs'> & {
  version: (use: Pick<Use<OperatorName>, 'inputs' | 'output'>) => number;
};

type SharedUse = Pick<Use<OperatorName>, 'inputs' | 'output'>;

/** Version 1 for float32, and version `int8` for int8. int16 has the latter as well, because TensorFlow 2.18's converter writes it. */
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
 * The method of TFLite Micro's resolver, the number of bytes of the kernel's data and options, and the types that it lacks although we and
 * LiteRT support them.
 */
export const micro = (
  register: string,
  data = 0,
  options = 0,
  ...lacks: ('int8' | 'int16')[]
): Row<OperatorName>['micro'] => ({ register, data, options, ...(lacks.length > 0 && { lacks }) });
