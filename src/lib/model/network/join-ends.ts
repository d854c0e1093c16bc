import { AiotError } from '../../core/errors.js';
import {
  elementCount,
  type Graph,
  type Operator,
  type Tensor,
  withoutUnused,
} from '../../formats/tflite/graph.js';

/**
 * Gives a model one input and one output, because projects, bundles and devices pass one array of values in each direction. The model's own
 * inputs are parts of the joined input, and its outputs are parts of the joined output.
 */

/** An output in addition to the one that predicts: its name, and its number of values. */
export interface ExtraOutput {
  name: string;
  count: number;
}

/** Names of the joined tensors, by which a joined model is recognized in a file. */
const joinedInput = 'joined_inputs';
const joinedOutput = 'joined_outputs';

/** Maximum length of an output's name; the firmware stores names of up to 64 bytes. */
const longestName = 48;

/** The window that a joined input contains: [samples × fields], row-major. */
export interface WindowSize {
  samples: number;
  fields: number;
}

/**
 * A graph with one float32 input instead of several, whose parts are quantized for integer inputs. If each input contains all samples of some fields ([…, samples, channels]), they take
 * the window's fields in order. Otherwise, they take consecutive values of the joined input.
 * @param window the joined input's samples and fields if it is a raw window
 */
export function joinInputs(graph: Graph, window: WindowSize | null): Graph {
  if (graph.inputs.length === 1) return graph;
  const own = graph.inputs.map((index) => graph.tensors[index]!);
  const byField = window !== null && own.every(({ shape }) => hasAllSamples(shape, window));
  const sizes = own.map(({ shape }) => (byField ? shape.at(-1)! : elementCount(shape)));
  const total = sizes.reduce((sum, size) => sum + size, 0);
  const count = byField ? total * window.samples : total;
  const draft = new Draft(graph);
  const whole = draft.tensor(joinedInput, [1, count]);
  const operators: Operator[] = [];
  const table = byField ? draft.tensor('input_fields', [1, window.samples, total]) : whole;
  if (byField) operators.push(draft.reshape(whole, table));
  const axis = byField ? 2 : 1;
  const parts = sizes.map((size, i) =>
    draft.tensor(`${own[i]!.name}/part`, byField ? [1, window.samples, size] : [1, size]),
  );
  operators.push({
    op: 'SPLIT_V',
    inputs: [table, draft.integers('input_sizes', sizes), draft.scalar('input_axis', axis)],
    outputs: parts,
    options: { numSplits: sizes.length },
  });
  for (const [i, index] of graph.inputs.entries()) {
    const { name, shape, type } = own[i]!;
    if (type === 'float32') operators.push(draft.reshape(parts[i]!, index));
    else {
      const real = draft.tensor(`${name}/float`, shape);
      operators.push(draft.reshape(parts[i]!, real));
      operators.push({ op: 'QUANTIZE', inputs: [real], outputs: [index], options: {} });
    }
  }
  return {
    ...graph,
    tensors: draft.tensors,
    operators: [...operators, ...graph.operators],
    inputs: [whole],
  };
}

function hasAllSamples(shape: readonly number[], { samples }: WindowSize): boolean {
  return shape.length > 1 && shape.at(-2) === samples && elementCount(shape) === samples * shape.at(-1)!;
}

/**
 * A graph with one float32 output that contains the values of all outputs, in order. Integer outputs are dequantized.
 * @param names of the outputs; default: those of the tensors
 */
export function joinOutputs(graph: Graph, names?: readonly string[]): Graph {
  if (graph.outputs.length === 1) return graph;
  const draft = new Draft(graph);
  const operators: Operator[] = [];
  const known = new Set<string>();
  const parts = graph.outputs.map((index, place) => {
    const { name, shape, type } = graph.tensors[index]!;
    const count = elementCount(shape);
    let real = index;
    if (type !== 'float32') {
      real = draft.tensor(`${name}/float`, shape);
      operators.push({ op: 'DEQUANTIZE', inputs: [index], outputs: [real], options: {} });
    }
    const flat = draft.tensor(distinct(names?.[place] ?? plainName(name, place), known), [1, count]);
    operators.push(draft.reshape(real, flat));
    return { flat, count };
  });
  const whole = draft.tensor(joinedOutput, [1, parts.reduce((sum, { count }) => sum + count, 0)]);
  operators.push({
    op: 'CONCATENATION',
    inputs: parts.map(({ flat }) => flat),
    outputs: [whole],
    options: { axis: 1, activation: 'none' },
  });
  return {
    ...graph,
    tensors: draft.tensors,
    operators: [...graph.operators, ...operators],
    outputs: [whole],
  };
}

/** A tensor's name without the prefix and suffix that converters add: `StatefulPartitionedCall:1` → `output1`. */
export function plainName(name: string, place: number): string {
  const last = name
    .replace(/:\d+$/, '')
    .split('/')
    .filter((part) => !/^(StatefulPartitionedCall|PartitionedCall|Identity)(_\d+)?$/.test(part))[0];
  const plain = (last ?? '').replaceAll(/[^\w.-]+/g, '_').slice(0, longestName);
  return plain === '' ? `output${place}` : plain;
}

function distinct(name: string, known: Set<string>): string {
  let own = name;
  for (let i = 2; known.has(own); i++) own = `${name}_${i}`;
  known.add(own);
  return own;
}

/** The operators that join the outputs: a RESHAPE for each, and a CONCATENATION. Null if the outputs are not joined. */
function joining(graph: Graph): { reshapes: Operator[]; last: Operator } | null {
  const [output = -1, ...others] = graph.outputs;
  if (others.length > 0 || graph.tensors[output]?.name !== joinedOutput) return null;
  const last = graph.operators.find(({ outputs }) => outputs.includes(output));
  if (last?.op !== 'CONCATENATION') return null;
  const reshapes = last.inputs.map((part) => graph.operators.find(({ outputs }) => outputs[0] === part));
  if (reshapes.some((operator) => operator?.op !== 'RESHAPE')) return null;
  return { reshapes: reshapes as Operator[], last };
}

/** All outputs of a joined graph, in order; empty if the outputs are not joined. */
export function joinedOutputs(graph: Graph): ExtraOutput[] {
  return (joining(graph)?.last.inputs ?? []).map((part) => {
    const { name, shape } = graph.tensors[part]!;
    return { name, count: elementCount(shape) };
  });
}

/** Outputs in addition to the first one, which predicts. */
export function extraOutputs(graph: Graph): ExtraOutput[] {
  return joinedOutputs(graph).slice(1);
}

/** The inverse of `joinOutputs`, except that dequantized outputs remain float32. */
export function separateOutputs(graph: Graph): Graph {
  const joined = joining(graph);
  if (!joined) return graph;
  const dropped = new Set<Operator>([...joined.reshapes, joined.last]);
  return withoutUnused({
    ...graph,
    operators: graph.operators.filter((operator) => !dropped.has(operator)),
    outputs: joined.reshapes.map(({ inputs }) => inputs[0]!),
  });
}

/** Only the output that predicts, and the operators that it needs. A graph whose outputs are not joined is returned unchanged. */
export function mainOutput(graph: Graph): Graph {
  return joining(graph) ? onlyOutput(separateOutputs(graph), 0) : graph;
}

/**
 * Only the output with this name, as in the file or without the converter's prefixes, and the operators that it needs.
 * @throws AIOT_MODEL_UNFIT if no output has this name, or several have
 */
export function namedOutput(graph: Graph, name: string): Graph {
  const separate = separateOutputs(graph);
  const { names, places } = outputsNamed(graph, name);
  if (places.length === 1) return onlyOutput(separate, places[0]!);
  const listed = [...new Set(names.map(({ plain }) => plain))].join(', ');
  throw new AiotError(
    'AIOT_MODEL_UNFIT',
    `expected the name of one output, got "${name}", which ${places.length === 0 ? 'no output has' : `${places.length} outputs have`}`,
    {
      next:
        places.length === 0
          ? `Name one of the model's outputs: ${listed}.`
          : `Use the whole name in the file: ${names.map(({ own }) => own).join(', ')}.`,
    },
  );
}

/** Whether this names the output that predicts: of several outputs, the first of the joined ones. Without a name, true. */
export function isMainOutput(graph: Graph, name: string | undefined): boolean {
  if (name === undefined) return true;
  const { names, places } = outputsNamed(graph, name);
  return places.length === 1 && places[0] === 0 && (joining(graph) !== null || names.length === 1);
}

/** The names of all outputs, and the places of those with this name. */
function outputsNamed(
  graph: Graph,
  name: string,
): { names: { own: string; plain: string }[]; places: number[] } {
  const joined = joinedOutputs(graph);
  const separate = separateOutputs(graph);
  const names = separate.outputs.map((index, place) => {
    const own = separate.tensors[index]!.name;
    return { own, plain: joined[place]?.name ?? plainName(own, place) };
  });
  const places = names.flatMap(({ own, plain }, place) => (name === own || name === plain ? [place] : []));
  return { names, places };
}

/** Only the output at this place, and the operators that it needs. All inputs are kept. */
function onlyOutput(graph: Graph, place: number): Graph {
  const outputs = [graph.outputs[place]!];
  const needed = new Set(outputs);
  const operators = graph.operators.toReversed().filter((operator) => {
    // Operators without an output change a variable.
    if (operator.outputs.length > 0 && !operator.outputs.some((index) => needed.has(index))) return false;
    for (const index of operator.inputs) needed.add(index);
    return true;
  });
  return withoutUnused({ ...graph, operators: operators.reverse(), outputs });
}

/** New tensors and operators in addition to a graph's own. */
class Draft {
  readonly tensors: Tensor[];

  constructor(graph: Graph) {
    this.tensors = [...graph.tensors];
  }

  tensor(name: string, shape: number[]): number {
    return this.tensors.push({ name, shape, type: 'float32' }) - 1;
  }

  integers(name: string, values: readonly number[]): number {
    return (
      this.tensors.push({ name, shape: [values.length], type: 'int32', data: Int32Array.from(values) }) - 1
    );
  }

  scalar(name: string, value: number): number {
    return this.tensors.push({ name, shape: [], type: 'int32', data: Int32Array.of(value) }) - 1;
  }

  reshape(from: number, to: number): Operator {
    const { name, shape } = this.tensors[to]!;
    const target = this.integers(`${name}/shape`, shape);
    return { op: 'RESHAPE', inputs: [from, target], outputs: [to], options: { newShape: shape } };
  }
}
