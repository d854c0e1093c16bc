import type { OperatorName, OperatorOptions, Tensor } from './graph.js';
import type { OptionField } from './option-fields.js';

/** What a version depends on. */
export interface Use<Name extends OperatorName> {
  options: OperatorOptions[Name];
  /** Types of the inputs (undefined where one is left out) and of the first output. */
  inputs: (Tensor | undefined)[];
  output: Tensor;
}

export interface Row<Name extends OperatorName> {
  /** Number in the schema's BuiltinOperator. */
  code: number;
  /** Number in the schema's union BuiltinOptions; 0 = no options table. */
  optionsType: number;
  fields: OptionField[];
  /** How many inputs the operator may have, and how many outputs it has. */
  inputs: [least: number, most: number];
  /** How many outputs, where it is not one. */
  outputs?: (options: OperatorOptions[Name]) => number;
  /** Oldest kernel version that understands the use. */
  version: (use: Use<Name>) => number;
  /** Version → the first TensorFlow release that has it. */
  since: Readonly<Record<number, string>>;
}

/** A row of several operators: its version depends on no option. */
export type SharedRow = Omit<Row<OperatorName>, 'version' | 'outputs'> & {
  version: (use: Pick<Use<OperatorName>, 'inputs' | 'output'>) => number;
};

/** Version 1 for float, `int8` for int8 (and int16: the converter of TensorFlow 2.18 writes the same numbers). */
export const quantizedSince =
  (int8: number) =>
  ({ output }: { output: Tensor }) =>
    output.type === 'int8' || output.type === 'int16' ? int8 : 1;

/** int8 constants under float activations (dynamic range): `perTensor` or `perChannel` kernels; otherwise `other`. */
export function weighted(
  { inputs, output }: Use<OperatorName>,
  [perTensor, perChannel]: [number, number],
  other: number,
): number {
  const weights = inputs[1];
  if (output.type !== 'float32' || weights?.type !== 'int8') return other;
  return (weights.quantization?.scale.length ?? 0) > 1 ? perChannel : perTensor;
}
