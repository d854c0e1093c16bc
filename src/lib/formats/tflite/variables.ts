import type { ControlOperator } from './control.js';
import { malformed, unsupported } from './errors.js';
import { type Graph, type Operator, type Tensor, zeros } from './graph.js';
import { statesOf } from './operators.js';
import { integer, text } from './option-fields.js';
import type { ReadRow, ShapeOperator } from './shapes.js';

/**
 * Resource variables as a file stores them. In the main subgraph, a VAR_HANDLE yields a tensor of type `resource` that refers to a variable
 * by name. READ_VARIABLE and ASSIGN_VARIABLE take this tensor as input. Before the first run, a CALL_ONCE runs another subgraph that
 * assigns constants to the variables. In a graph, a tensor with `variable` replaces all of this.
 */
export type ResourceOperatorName = 'CALL_ONCE' | 'VAR_HANDLE';

export interface ResourceOperator {
  op: ResourceOperatorName;
  inputs: number[];
  outputs: number[];
  options: Record<string, unknown>;
}

/** These operators are written only together with READ_VARIABLE, which determines the minimum runtime version. */
export const resourceRows: Readonly<Record<ResourceOperatorName, ReadRow>> = {
  CALL_ONCE: {
    code: 129,
    optionsType: 103,
    fields: [integer(0, 'subgraph')],
    inputs: [0, 0],
    outputs: () => 0,
  },
  VAR_HANDLE: {
    code: 142,
    optionsType: 111,
    fields: [text(0, 'container'), text(1, 'sharedName')],
    inputs: [0, 0],
  },
};

const byCode = new Map(
  (Object.keys(resourceRows) as ResourceOperatorName[]).map((op) => [resourceRows[op].code, op]),
);

/** The operator with this builtin code, or undefined. */
export function resourceOperatorOf(code: number): ResourceOperatorName | undefined {
  return byCode.get(code);
}

/** The schema's number for the type of a variable's handle. */
export const resourceType = 13;

/** An operator as in a file. */
export type FileOperator = Operator | ShapeOperator | ResourceOperator | ControlOperator;

/** A subgraph as read from a file. Handles of variables have no tensor. */
export interface FileGraph {
  tensors: readonly (Tensor | undefined)[];
  operators: readonly FileOperator[];
}

/**
 * Replaces handles with the variables to which they refer.
 * @param init the subgraph that a CALL_ONCE runs, if the file has a second subgraph
 * @throws AIOT_TFLITE_MALFORMED, AIOT_TFLITE_UNSUPPORTED for an initialization that does more than assign constants
 */
export function resolveVariables(
  main: FileGraph,
  init: FileGraph | undefined,
): { tensors: Tensor[]; operators: (Operator | ShapeOperator)[] } {
  // TFLite Micro reserves memory for one variable per name, regardless of the containers.
  const made = [main, init].flatMap(
    (graph) => graph?.operators.filter(({ op }) => op === 'VAR_HANDLE') ?? [],
  );
  if (new Set(made.map(({ options }) => (options as ResourceOperator['options']).container)).size > 1)
    throw unsupported('variables', 'they are in different containers');
  const handles = new Handles(main);
  const operators: (Operator | ShapeOperator)[] = [];
  let calls = 0;
  main.operators.forEach((operator, index) => {
    const where = `operator ${index} (${operator.op})`;
    if (operator.op === 'CALL_ONCE') {
      if (operator.outputs.length > 0) throw malformed(where, `${operator.outputs.length} outputs`);
      if (operator.options.subgraph !== 1 || ++calls > 1 || handles.used)
        throw unsupported(
          where,
          `it calls subgraph ${operator.options.subgraph}; expected a single call, of subgraph 1, before other operators`,
        );
    } else if (operator.op === 'VAR_HANDLE') handles.add(operator as ResourceOperator, where);
    else operators.push(handles.resolve(operator as Operator, where));
  });
  if ((init === undefined ? 0 : 1) !== calls)
    throw unsupported(
      'CALL_ONCE',
      init === undefined
        ? 'its subgraph is missing'
        : 'it is missing, although the file has a second subgraph',
    );
  const initial = init === undefined ? new Map<string, Tensor>() : assigned(init);
  const tensors = main.tensors.map((tensor, index) => tensor ?? handles.variable(index, initial));
  return { tensors, operators };
}

/** The handles of variables in a subgraph, by tensor. */
class Handles {
  readonly #names = new Map<number, string>();
  /** Each variable's first handle, by name. The first handle replaces all others. */
  readonly #firsts = new Map<string, number>();
  /** Each variable's assigned value or, if no value is assigned, the value that is read. */
  readonly #values = new Map<string, { tensor: Tensor; assigned: boolean }>();

  constructor(readonly graph: FileGraph) {}

  /** Whether a variable was read or assigned. */
  get used(): boolean {
    return this.#values.size > 0;
  }

  add({ outputs, options }: ResourceOperator, where: string): void {
    const [output = -1] = outputs;
    if (!options.sharedName) throw malformed(where, 'the variable has no name');
    if (outputs.length !== 1 || this.graph.tensors[output] !== undefined || this.#names.has(output))
      throw malformed(where, `its output, tensor ${output}, is not a separate handle`);
    const name = String(options.sharedName);
    this.#names.set(output, name);
    if (!this.#firsts.has(name)) this.#firsts.set(name, output);
  }

  nameOf(tensor: number, where: string): string {
    const name = this.#names.get(tensor);
    if (name === undefined)
      throw malformed(where, `its input, tensor ${tensor}, is not the handle of a variable`);
    return name;
  }

  /** The operator, with the first handle of the same variable instead of its own handle. */
  resolve<Taken extends Operator | ShapeOperator>(operator: Taken, where: string): Taken {
    const { op, inputs, outputs } = operator;
    const takes = op === 'READ_VARIABLE' || op === 'ASSIGN_VARIABLE';
    const others = [...(takes ? inputs.slice(1) : inputs), ...outputs];
    const handle = others.find((index) => index !== -1 && this.graph.tensors[index] === undefined);
    if (handle !== undefined) throw malformed(where, `it uses tensor ${handle}, the handle of a variable`);
    if (!takes) return operator;
    const name = this.nameOf(inputs[0] ?? -1, where);
    const value = this.graph.tensors[(op === 'READ_VARIABLE' ? outputs[0] : inputs[1]) ?? -1];
    if (value === undefined) throw malformed(where, 'its value is missing');
    const known = this.#values.get(name);
    if (known && (known.tensor.type !== value.type || known.tensor.shape.join() !== value.shape.join()))
      throw malformed(
        where,
        `its variable is used both as ${known.tensor.type} [${known.tensor.shape}] and as ${value.type} [${value.shape}]`,
      );
    if (known === undefined || (!known.assigned && op === 'ASSIGN_VARIABLE'))
      this.#values.set(name, { tensor: value, assigned: op === 'ASSIGN_VARIABLE' });
    return { ...operator, inputs: [this.#firsts.get(name)!, ...inputs.slice(1)] };
  }

  /** The variable to which a handle refers. */
  variable(handle: number, initial: ReadonlyMap<string, Tensor>): Tensor {
    const where = `tensor ${handle}`;
    const name = this.nameOf(handle, where);
    const value = this.#values.get(name);
    const first = initial.get(name);
    if (value === undefined || (!value.assigned && first === undefined))
      throw malformed(where, `variable ${name} is never assigned, or never used`);
    const { type, shape, quantization } = value.tensor;
    if (first && (first.type !== type || first.shape.join() !== shape.join()))
      throw malformed(
        where,
        `variable ${name} of ${type} [${shape}] starts as ${first.type} [${first.shape}]`,
      );
    const variable = first?.data ?? zeros(value.tensor);
    return { name, shape, type, ...(quantization && { quantization }), variable };
  }
}

/** The constants that an initialization assigns, by variable name. */
function assigned(init: FileGraph): Map<string, Tensor> {
  const handles = new Handles(init);
  const values = new Map<string, Tensor>();
  init.operators.forEach((operator, index) => {
    const where = `subgraph 1, operator ${index} (${operator.op})`;
    if (operator.op === 'VAR_HANDLE') {
      handles.add(operator as ResourceOperator, where);
      return;
    }
    if (operator.op !== 'ASSIGN_VARIABLE')
      throw unsupported(where, 'initial values must be constants, not computed');
    if (operator.outputs.length > 0) throw malformed(where, `${operator.outputs.length} outputs`);
    handles.resolve(operator as Operator, where);
    const value = init.tensors[operator.inputs[1]!]!;
    if (value.data === undefined) throw unsupported(where, 'the initial value is not a constant');
    values.set(handles.nameOf(operator.inputs[0]!, where), value);
  });
  return values;
}

/** A subgraph to be written. */
export interface WrittenGraph {
  tensors: Tensor[];
  operators: FileOperator[];
  inputs: number[];
  outputs: number[];
  name: string;
  /** Tensors that are variable handles. */
  handles: ReadonlySet<number>;
}

/**
 * A file's subgraphs: one, or two if there are variables. Variable names in a file must be unique, so a number is added to equal names.
 * Tensors keep their indices.
 */
export function withHandles(graph: Graph): WrittenGraph[] {
  const states = statesOf(graph);
  const variables = graph.tensors.flatMap(({ variable }, index) =>
    variable && !states.has(index) ? [index] : [],
  );
  if (variables.length === 0) return [{ ...graph, handles: new Set() }];
  const names = new Set<string>();
  const front = variables.map((index): ResourceOperator => {
    const sharedName = uniqueName(graph.tensors[index]!.name, index, names);
    return { op: 'VAR_HANDLE', inputs: [], outputs: [index], options: { container: '', sharedName } };
  });
  const init = variables.flatMap((_, at): FileOperator[] => [
    { ...front[at]!, outputs: [2 * at] },
    { op: 'ASSIGN_VARIABLE', inputs: [2 * at, 2 * at + 1], outputs: [], options: {} },
  ]);
  const values = variables.flatMap((index): Tensor[] => {
    const { variable, ...tensor } = graph.tensors[index]!;
    return [graph.tensors[index]!, { ...tensor, name: `${tensor.name}/initial`, data: variable! }];
  });
  const once: ResourceOperator = { op: 'CALL_ONCE', inputs: [], outputs: [], options: { subgraph: 1 } };
  return [
    { ...graph, operators: [once, ...front, ...graph.operators], handles: new Set(variables) },
    {
      ...{ tensors: values, operators: init, inputs: [], outputs: [], name: 'NoOp' },
      handles: new Set(variables.map((_, at) => 2 * at)),
    },
  ];
}

function uniqueName(name: string, index: number, names: Set<string>): string {
  // Unlike a tensor, a variable needs a name.
  const own = name === '' ? 'variable' : name;
  const unique = names.has(own) ? `${own}/${index}` : own;
  names.add(unique);
  return unique;
}
