import type { Graph, Operator, OperatorName, Tensor } from './graph.js';
import { elementwiseRows } from './operators/elementwise.js';
import { layerRows, signalRows } from './operators/layers.js';
import { movingRows, reductionRows, variableRows } from './operators/moves.js';
import type { FixedScale, Row, Use } from './operators/row.js';

/**
 * Description of each operator. Reader, writer, checks, quantizer, arena plan, cost model and generated code use these rows. A new operator
 * needs a row here, a type in graph.ts and a kernel in the runtime module. Sources: the TFLite schema for codes, slots and options;
 * TensorFlow 2.18's converter for versions; TensorFlow's table of minimum runtime versions (tools/versioning) for `since`.
 */
export const operatorRows: { readonly [Name in OperatorName]: Row<Name> } = {
  ...layerRows,
  ...signalRows,
  ...elementwiseRows,
  ...reductionRows,
  ...movingRows,
  ...variableRows,
};

/** An operator's row, for properties that do not depend on the options. */
export function rowOf(op: OperatorName): Omit<Row<OperatorName>, 'version' | 'outputs' | 'kept'> {
  return operatorRows[op];
}

const customCode = 32;

/** Only custom operators are identified by name. */
const keyOf = (code: number, custom: string) => (code === customCode ? `${code} ${custom}` : `${code}`);

const byCode = new Map(
  (Object.keys(operatorRows) as OperatorName[]).map((op) => {
    const { code, custom = '' } = rowOf(op);
    return [keyOf(code, custom), op];
  }),
);

/** Finds the operator with this builtin code and, if it is a custom operator, this name; undefined if it is not supported. */
export function operatorOf(code: number, custom: string): OperatorName | undefined {
  return byCode.get(keyOf(code, custom));
}

/** The kernel version that this use of an operator needs. */
export function versionOf(operator: Operator, tensors: readonly Tensor[]): number {
  const use = {
    options: operator.options,
    inputs: operator.inputs.map((index) => tensors[index]),
    // If an operator has no output, its last input determines the version.
    output: tensors[operator.outputs[0] ?? operator.inputs.at(-1)!]!,
  };
  // The discriminated union guarantees that each row gets the options of its own operator.
  return (operatorRows[operator.op].version as (use: Use<OperatorName>) => number)(use);
}

/**
 * Positions of an operator's inputs that are activations (or constants in their place) rather than weights, axes or shapes. The first of
 * these inputs determines the kernel's type.
 */
export function activationPlaces({ op, inputs }: Operator): readonly number[] {
  const places = rowOf(op).activations ?? [0];
  return places === 'all' ? inputs.map((_, place) => place) : places;
}

/** Indices of the tensors that are states of operators. */
export function statesOf({ operators }: Pick<Graph, 'operators'>): ReadonlySet<number> {
  return new Set(
    operators.flatMap(({ op, inputs }) =>
      (rowOf(op).states ?? []).flatMap((place) => inputs[place] ?? []).filter((index) => index >= 0),
    ),
  );
}

/** Types and shapes of an operator's states that files do not contain; none for other operators. `input` is its first input. */
export function keptShapes(
  { op, options }: Pick<Operator, 'op' | 'options'>,
  input: Tensor,
): Pick<Tensor, 'type' | 'shape'>[] {
  return (operatorRows[op].kept as Row<OperatorName>['kept'])?.(options, input) ?? [];
}

/** The output's scale and zero point, if the operator's integer kernel prescribes them; otherwise undefined. */
export function fixedScale(op: OperatorName, type: string): readonly [number, number] | undefined {
  const { scale } = rowOf(op);
  return typeof scale === 'object' ? scale[type as keyof FixedScale] : undefined;
}
