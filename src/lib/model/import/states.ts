import { AiotError } from '../../core/errors.js';
import { type Graph, type Operator, type Tensor, zeros } from '../../formats/tflite/graph.js';

/** For each input and output in order: the axes of the original tensor, if their order differs. */
interface Axes {
  inputs: (number[] | undefined)[];
  outputs: (number[] | undefined)[];
}

/**
 * Converts inputs that take an output of the previous run into variables, which start with zeros. Sessions, loops and devices then keep this
 * state, and reset it at the start of a recording.
 * @param pairs for each state the name of its input, `=`, and the name of its output, such as `state=stateN`
 * @throws AIOT_USAGE for names that the model does not have, or tensors that differ
 */
export function withStates(
  graph: Graph,
  axes: Axes | undefined,
  pairs: readonly string[],
): { graph: Graph; axes: Axes | undefined; notes: string[] } {
  const tensors: Tensor[] = [...graph.tensors];
  const [reads, ends]: [Operator[], Operator[]] = [[], []];
  const [taken, given] = [new Set<number>(), new Set<number>()];
  const notes = pairs.map((pair) => {
    const { input, output } = placesOf(graph, pair);
    if (taken.has(input) || given.has(output))
      throw refusal(`${pair} is the second state with this input or output`, 'Name each one once.');
    taken.add(input);
    given.add(output);
    const start = graph.inputs[input]!;
    const inOrder = axes?.inputs[input];
    const outOrder = axes?.outputs[output];
    let end = graph.outputs[output]!;
    if (outOrder !== undefined || inOrder !== undefined) {
      const plain = tensors[end]!.shape.map((_, axis) => axis);
      const moves = (inOrder ?? plain).map((axis) => (outOrder ?? plain).indexOf(axis));
      if (moves.some((axis, place) => axis !== place)) end = transposed(tensors, ends, end, moves);
    }
    requireSame(tensors[start]!, tensors[end]!, pair);
    const { name } = tensors[start]!;
    const variable = tensors.push({
      ...tensors[start]!,
      name: `${name}/variable`,
      variable: zeros(tensors[start]!),
    });
    reads.push({ op: 'READ_VARIABLE', inputs: [variable - 1], outputs: [start], options: {} });
    ends.push({ op: 'ASSIGN_VARIABLE', inputs: [variable - 1, end], outputs: [], options: {} });
    return `${name} starts with zeros, then has the previous value of ${tensors[graph.outputs[output]!]!.name}`;
  });
  const inputs = graph.inputs.filter((_, place) => !taken.has(place));
  const outputs = graph.outputs.filter((_, place) => !given.has(place));
  if (inputs.length === 0 || outputs.length === 0)
    throw refusal(
      'the model needs an input and an output that are no states',
      'Name only the states, and import the other outputs too.',
    );
  return {
    graph: { ...graph, tensors, operators: [...reads, ...graph.operators, ...ends], inputs, outputs },
    axes: axes && {
      inputs: axes.inputs.filter((_, place) => !taken.has(place)),
      outputs: axes.outputs.filter((_, place) => !given.has(place)),
    },
    notes,
  };
}

/** Names may contain `=`, so each one is tried. */
function placesOf({ tensors, inputs, outputs }: Graph, pair: string): { input: number; output: number } {
  const nameOf = (index: number) => tensors[index]!.name;
  for (let at = pair.indexOf('='); at > 0; at = pair.indexOf('=', at + 1)) {
    const input = inputs.findIndex((index) => nameOf(index) === pair.slice(0, at));
    const output = outputs.findIndex((index) => nameOf(index) === pair.slice(at + 1));
    if (input >= 0 && output >= 0) return { input, output };
  }
  throw refusal(
    `expected INPUT=OUTPUT, got ${JSON.stringify(pair)}`,
    `The model's inputs are ${inputs.map(nameOf).join(', ')}, and its outputs are ${outputs.map(nameOf).join(', ')}.`,
  );
}

function requireSame(start: Tensor, end: Tensor, pair: string): void {
  const text = ({ type, shape, quantization }: Tensor) =>
    `${type} [${shape.join(', ')}]${quantization ? ` of scale ${quantization.scale[0]}, zero point ${quantization.zeroPoint[0]}` : ''}`;
  if (text(start) === text(end)) return;
  throw refusal(
    `${pair}: the input is ${text(start)}, but the output is ${text(end)}`,
    'Name the output that the next run takes as this input.',
  );
}

function transposed(tensors: Tensor[], operators: Operator[], from: number, moves: number[]): number {
  const { shape, name } = tensors[from]!;
  const order = tensors.push({
    name: `${name}/order`,
    type: 'int32',
    shape: [moves.length],
    data: Int32Array.from(moves),
  });
  const to = tensors.push({
    ...tensors[from]!,
    name: `${name}/moved`,
    shape: moves.map((axis) => shape[axis]!),
  });
  operators.push({ op: 'TRANSPOSE', inputs: [from, order - 1], outputs: [to - 1], options: {} });
  return to - 1;
}

function refusal(message: string, next: string): AiotError {
  return new AiotError('AIOT_USAGE', `--state: ${message}`, { next });
}
