import { unsupported } from './errors.js';
import { elementCount, type Operator, type Tensor } from './graph.js';
import { integer } from './option-fields.js';
import { type ReadRow, type ShapeOperator, valuesOf } from './shapes.js';
import type { FileGraph, FileOperator } from './variables.js';

/**
 * Control flow as a file stores it. A WHILE runs its body, another subgraph, while a third subgraph yields true. The converter writes a
 * recurrent Keras layer as a WHILE. An IF runs one of two subgraphs. If the conditions depend only on constants, such as a number of steps,
 * the graph contains each step's operators instead. If an IF's condition depends on the input, the graph contains both branches and selects
 * between their results. If a WHILE's condition also depends on the input, the graph contains the maximum number of steps, and selects the
 * results of the last step that the loop takes. Therefore, every interpreter and generator supports such a file.
 */
export type ControlOperatorName = 'WHILE' | 'IF';

export interface ControlOperator {
  op: ControlOperatorName;
  inputs: number[];
  outputs: number[];
  options: Record<string, unknown>;
}

export const controlRows: Readonly<Record<ControlOperatorName, ReadRow>> = {
  WHILE: {
    code: 119,
    optionsType: 93,
    fields: [integer(0, 'condition'), integer(1, 'body')],
    inputs: [1, 1024],
    outputs: () => 1,
  },
  IF: {
    code: 118,
    optionsType: 92,
    fields: [integer(0, 'ifTrue'), integer(1, 'ifFalse')],
    inputs: [1, 1024],
    outputs: () => 1,
  },
};

const byCode = new Map(
  (Object.keys(controlRows) as ControlOperatorName[]).map((op) => [controlRows[op].code, op]),
);

/** The control-flow operator with this builtin code, or undefined. */
export function controlOperatorOf(code: number): ControlOperatorName | undefined {
  return byCode.get(code);
}

/** A subgraph of a file. */
export interface Subgraph extends FileGraph {
  inputs: number[];
  outputs: number[];
}

/** Limits on a file's expansion, because a small file can describe nested loops of any length and lists of any size. */
const mostSteps = 4096;
/** A loop whose end depends on the input takes all its steps each time. */
const mostOpenSteps = 256;
const mostOperators = 30_000;
/** Includes copies that become constants. */
const mostCopies = 200_000;
const mostElements = 2 ** 24;
const mostConstants = 4096;

/**
 * The main subgraph, subgraph 0, with its loops unrolled and its branches chosen.
 * @returns the main subgraph, unchanged if there is no control flow, and the total number of loop steps
 * @throws AIOT_TFLITE_UNSUPPORTED for a loop without a maximum number of steps
 */
export function withoutControl(subgraphs: readonly Subgraph[]): { main: Subgraph; steps: number } {
  const [main] = subgraphs as [Subgraph];
  if (!main.operators.some(({ op }) => op === 'WHILE' || op === 'IF')) return { main, steps: 0 };
  const pasted = new Paste(subgraphs);
  const outputs = pasted.run(0, main.inputs, [0]);
  const { tensors, steps } = pasted;
  const operators = live(pasted.operators, outputs);
  return { main: { tensors, operators, inputs: main.inputs, outputs }, steps };
}

/** Operators whose outputs are used. */
function live(operators: readonly FileOperator[], outputs: readonly number[]): FileOperator[] {
  const used = new Set(outputs);
  const kept = [...operators].reverse().filter((operator) => {
    const isUsed = operator.outputs.some((output) => used.has(output));
    if (isUsed) for (const input of operator.inputs) used.add(input);
    return isUsed;
  });
  return kept.reverse();
}

/** Advice for loops without a maximum number of steps. */
const fixedSteps =
  'Before you convert the model, give the loop a largest number of steps, such as maximum_iterations=20 in tf.while_loop. In Keras, set the length of the sequence in the input shape.';

/** Copies subgraphs into one list of operators. Operators that compute with constants, such as a loop's counter, become constants. */
class Paste {
  /** Tensors of the main subgraph, followed by the copies' tensors. */
  readonly tensors: Tensor[];
  readonly operators: FileOperator[] = [];
  steps = 0;
  /** Each subgraph's constants, which all its copies share. */
  readonly #constants: Map<number, number>[];
  /** Tensors without elements, such as the part of a list before its first element. */
  readonly #empty = new Set<number>();
  #copies = 0;

  constructor(readonly subgraphs: readonly Subgraph[]) {
    this.#constants = subgraphs.map(() => new Map());
    this.tensors = (subgraphs[0]?.tensors ?? []).map((tensor, index) => {
      if (tensor === undefined)
        throw unsupported(`tensor ${index}`, 'variables are not supported together with control flow');
      return tensor;
    });
  }

  /**
   * Copies subgraph `number`, with these tensors as its inputs.
   * @param path the subgraphs that lead to this call, to detect recursion
   * @returns its outputs
   */
  run(number: number, inputs: readonly number[], path: readonly number[]): number[] {
    const graph = this.subgraphs[number];
    if (graph === undefined || graph.inputs.length !== inputs.length)
      throw unsupported(`subgraph ${number}`, `it is missing, or does not have ${inputs.length} inputs`);
    const places = new Map(graph.inputs.map((own, at) => [own, inputs[at]!]));
    const place = (index: number) => {
      if (index === -1) return -1;
      const known = places.get(index) ?? this.#constants[number]!.get(index);
      if (known !== undefined) return known;
      const made = number === 0 ? index : this.#copy(graph.tensors[index], number, index);
      if (this.tensors[made]!.data) this.#constants[number]!.set(index, made);
      else places.set(index, made);
      return made;
    };
    for (const [index, operator] of graph.operators.entries()) {
      this.#copies += 1;
      if (this.#copies > mostCopies)
        throw unsupported('control flow', 'its unrolled steps contain too many operators');
      if (operator.op === 'CALL_ONCE' || operator.op === 'VAR_HANDLE')
        throw unsupported(operator.op, 'variables are not supported together with control flow');
      const taken = operator.inputs.map(place);
      if (operator.op === 'WHILE' || operator.op === 'IF') {
        const name = graph.tensors[operator.outputs[0]!]?.name;
        const where = `subgraph ${number}, operator ${index}${name ? ` (${name})` : ''}, ${operator.op}`;
        const results =
          operator.op === 'WHILE'
            ? this.#loop(operator, taken, path, where)
            : this.#branch(operator, taken, path, where);
        if (results.length !== operator.outputs.length)
          throw unsupported(
            operator.op,
            `it has ${operator.outputs.length} outputs, but ${results.length} results`,
          );
        for (const [at, output] of operator.outputs.entries()) places.set(output, results[at]!);
      } else {
        const outputs = operator.outputs.map(place);
        const same = this.#add({ ...operator, inputs: taken, outputs } as FileOperator);
        if (same !== undefined) places.set(operator.outputs[0]!, same);
      }
    }
    return graph.outputs.map(place);
  }

  #copy(tensor: Tensor | undefined, number: number, index: number): number {
    if (tensor === undefined)
      throw unsupported(
        `subgraph ${number}, tensor ${index}`,
        'variables are not supported together with control flow',
      );
    return this.tensors.push(tensor) - 1;
  }

  /** @param where place of the operator in the file, for errors */
  #loop(
    { options }: FileOperator,
    inputs: readonly number[],
    path: readonly number[],
    where: string,
  ): number[] {
    const { condition, body } = options as { condition: number; body: number };
    let values = [...inputs];
    // From the first condition that depends on the input: the results of the last step taken, and whether all conditions so far held.
    let kept: number[] | undefined;
    let active = -1;
    let openSteps = 0;
    for (;;) {
      const before = this.operators.length;
      const [holds = -1] = this.#call(condition, values, path);
      const truth = this.#truth(holds, where);
      if (truth !== undefined) this.operators.length = before;
      if (truth === false) return kept ?? values;
      if (this.steps === mostSteps)
        throw unsupported(where, `it takes more than ${mostSteps} steps`, fixedSteps);
      if (truth === undefined) {
        if (++openSteps > mostOpenSteps)
          throw unsupported(
            where,
            `its condition depends on the input (expected a maximum number of steps, at most ${mostOpenSteps})`,
            fixedSteps,
          );
        active = kept === undefined ? holds : this.#both(active, holds);
        kept ??= values;
      }
      const next = this.#call(body, values, path);
      if (kept !== undefined) kept = this.#selected(active, next, kept, where);
      values = next;
      this.steps += 1;
    }
  }

  #branch(
    { options }: FileOperator,
    [condition = -1, ...inputs]: readonly number[],
    path: readonly number[],
    where: string,
  ) {
    const { ifTrue, ifFalse } = options as { ifTrue: number; ifFalse: number };
    const truth = this.#truth(condition, where);
    if (truth !== undefined) return this.#call(truth ? ifTrue : ifFalse, inputs, path);
    const [yes, no] = [ifTrue, ifFalse].map((number) => this.#call(number, inputs, path)) as [
      number[],
      number[],
    ];
    return this.#selected(condition, yes, no, where);
  }

  /** For each pair of values, the first one if the computed condition holds, otherwise the second one. */
  #selected(condition: number, yes: readonly number[], no: readonly number[], where: string): number[] {
    if (yes.length !== no.length)
      throw unsupported(where, `its branches return ${yes.length} and ${no.length} results`);
    return yes.map((a, place) => {
      const b = no[place]!;
      if (a === b) return a;
      const [one, other] = [this.tensors[a], this.tensors[b]];
      if (one === undefined || other === undefined) throw unsupported(where, 'one of its results is missing');
      const scalar = one.shape.length === 0 && this.tensors[condition]!.shape.length > 0;
      if (one.type !== other.type || one.shape.join() !== other.shape.join() || scalar)
        throw unsupported(
          where,
          `its results have the shapes [${one.shape}] and [${other.shape}], and the types ${one.type} and ${other.type}`,
        );
      const { data: _, variable: __, ...tensor } = one;
      const y = this.tensors.push({ ...tensor, name: `${tensor.name}/selected` }) - 1;
      this.#add({ op: 'SELECT_V2', inputs: [condition, a, b], outputs: [y], options: {} });
      return y;
    });
  }

  /** Whether both conditions hold. */
  #both(a: number, b: number): number {
    const y = this.tensors.push({ name: 'both', type: 'bool', shape: this.tensors[b]!.shape }) - 1;
    return this.#add({ op: 'LOGICAL_AND', inputs: [a, b], outputs: [y], options: {} }) ?? y;
  }

  #call(number: number, inputs: readonly number[], path: readonly number[]): number[] {
    if (path.includes(number)) throw unsupported(`subgraph ${number}`, 'it calls itself');
    return this.run(number, inputs, [...path, number]);
  }

  /** The value of a condition; undefined if it depends on the input. */
  #truth(condition: number, where: string): boolean | undefined {
    const { type, shape = [], data } = this.tensors[condition] ?? {};
    if (type !== 'bool' || elementCount(shape) !== 1)
      throw unsupported(where, `expected a condition of one bool, got ${type} [${shape}]`);
    return data && data[0] !== 0;
  }

  /** Adds an operator. If the result is an existing tensor, adds nothing and returns that tensor. */
  #add(operator: FileOperator): number | undefined {
    const [output = -1] = operator.outputs;
    const known = this.#combined(operator);
    if (known !== undefined) return known;
    const values = evaluated(operator, this.tensors);
    if (values !== undefined) {
      const { type, name } = this.tensors[output]!;
      const { shape, data } = values;
      const index =
        this.tensors.push({
          name,
          type,
          shape,
          data: type === 'bool' ? Uint8Array.from(data) : Int32Array.from(data),
        }) - 1;
      return index;
    }
    const inputs =
      operator.op === 'CONCATENATION'
        ? operator.inputs.filter((index) => !this.#empty.has(index))
        : operator.inputs;
    const shape = movedShape({ ...operator, inputs } as FileOperator, this.tensors);
    if (shape && elementCount(shape) > mostElements)
      throw unsupported('control flow', `a list of [${shape}] is not supported`);
    if (shape?.includes(0)) {
      this.#empty.add(output);
      return undefined;
    }
    if (shape) this.tensors[output] = { ...this.tensors[output]!, shape };
    if (operator.op === 'CONCATENATION' && inputs.length === 1) return inputs[0];
    if (this.operators.push({ ...operator, inputs } as FileOperator) > mostOperators)
      throw unsupported('control flow', `its unrolled steps contain more than ${mostOperators} operators`);
    return undefined;
  }

  /** The result of a LOGICAL_AND or LOGICAL_OR if one input is a constant, such as a limit on the number of steps. */
  #combined({ op, inputs }: FileOperator): number | undefined {
    if (op !== 'LOGICAL_AND' && op !== 'LOGICAL_OR') return undefined;
    const [a = -1, b = -1] = inputs;
    for (const [own, other] of [
      [a, b],
      [b, a],
    ] as const) {
      const { data, shape = [] } = this.tensors[own] ?? {};
      if (data?.length !== 1 || shape.join() !== this.tensors[other]?.shape.join()) continue;
      // A true AND, or a false OR, leaves the other input.
      return (data[0] !== 0) === (op === 'LOGICAL_AND') ? other : own;
    }
    return undefined;
  }
}

/** The shape of a part of a list, or of a list with a changed element; undefined for other operators. */
function movedShape({ op, inputs, options }: FileOperator, tensors: readonly Tensor[]): number[] | undefined {
  const [first = []] = inputs.map((index) => tensors[index]?.shape ?? []);
  if (op === 'SLICE') {
    const [begin, size] = [1, 2].map((place) => tensors[inputs[place] ?? -1]?.data);
    if (!(begin instanceof Int32Array) || !(size instanceof Int32Array)) return undefined;
    return first.map((whole, axis) => (size[axis] === -1 ? whole - begin[axis]! : size[axis]!));
  }
  if (op === 'CONCATENATION') {
    const { axis } = options as { axis: number };
    const along = axis < 0 ? axis + first.length : axis;
    const total = inputs.reduce((sum, index) => sum + (tensors[index]?.shape[along] ?? 0), 0);
    return first.map((size, k) => (k === along ? total : size));
  }
  return undefined;
}

/**
 * The result of an operator on int32 or bool constants; undefined if the inputs are unknown, or if the operator computes something else.
 */
function evaluated(
  operator: FileOperator,
  tensors: readonly Tensor[],
): { shape: number[]; data: number[] } | undefined {
  const { op, inputs, outputs } = operator;
  const output = tensors[outputs[0] ?? -1];
  if (output?.type !== 'int32' && output?.type !== 'bool') return undefined;
  const given = inputs.map((index) => tensors[index]);
  const data: number[][] = [];
  for (const tensor of given) {
    if ((tensor?.data?.length ?? 0) > mostConstants) return undefined;
    if (op !== 'SHAPE' && !(tensor?.data instanceof Int32Array || tensor?.data instanceof Uint8Array))
      return undefined;
    data.push([...((tensor?.data ?? []) as Int32Array)]);
  }
  const compute = pointwise[op];
  if (compute) {
    const count = Math.max(...data.map(({ length }) => length));
    const longest = given[data.findIndex(({ length }) => length === count)]!;
    const values = Array.from({ length: count }, (_, i) =>
      Number(compute(...data.map((own) => own[i % own.length]!))),
    );
    return { shape: longest.shape, data: values };
  }
  if (op === 'FILL') {
    const [shape = [], [value = 0] = []] = data;
    if (!(elementCount(shape) <= mostConstants)) return undefined;
    return { shape, data: new Array<number>(elementCount(shape)).fill(value) };
  }
  const values = valuesOf(operator as Operator | ShapeOperator, tensors);
  if (values === undefined || values.length > mostConstants) return undefined;
  const { shape } = output;
  return { shape: elementCount(shape) === values.length ? shape : [values.length], data: values };
}

const pointwise: Partial<Record<FileOperator['op'], (...values: number[]) => number | boolean>> = {
  ADD: (a = 0, b = 0) => (a + b) | 0,
  SUB: (a = 0, b = 0) => (a - b) | 0,
  MUL: (a = 0, b = 0) => Math.imul(a, b),
  MAXIMUM: (a = 0, b = 0) => Math.max(a, b),
  MINIMUM: (a = 0, b = 0) => Math.min(a, b),
  LESS: (a = 0, b = 0) => a < b,
  LESS_EQUAL: (a = 0, b = 0) => a <= b,
  GREATER: (a = 0, b = 0) => a > b,
  GREATER_EQUAL: (a = 0, b = 0) => a >= b,
  EQUAL: (a, b) => a === b,
  NOT_EQUAL: (a, b) => a !== b,
  LOGICAL_AND: (a, b) => Boolean(a && b),
  LOGICAL_OR: (a, b) => Boolean(a || b),
  LOGICAL_NOT: (a) => !a,
};
