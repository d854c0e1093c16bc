import type { Operator, Tensor } from '../../../formats/tflite/graph.js';
import { createInterpreter } from '../../../runtime/interpreter/interpreter.js';
import { limitsOf, type TrainNode } from './node.js';
import type { Planner } from './planner.js';

/** Operators that only rearrange values. */
const moving = ['CONCATENATION', 'PAD', 'PADV2', 'TRANSPOSE', 'SPLIT', 'STRIDED_SLICE'] as const;

type Move = Extract<Operator, { op: (typeof moving)[number] }>;

/** The elements of one output that come from one input: `to[i]` is `from[i]`. */
interface Route {
  input: number;
  from: Int32Array;
  to: Int32Array;
}

/** Handles all operators of `moving`. Runs the interpreter once to determine where each value is moved. */
export function move(plan: Planner, operator: Move): TrainNode {
  const activations = operator.inputs.filter((index) => plan.isFloat(index));
  const fill = operator.op === 'PADV2' ? operator.inputs[2]! : undefined;
  const { fused, low, high } = limitsOf(
    operator.op === 'CONCATENATION' ? operator.options.activation : 'none',
  );
  const outputs = operator.outputs.map((output) => ({
    y: plan.slotFor(output, operator),
    padding: fill === undefined ? 0 : plan.slot(fill).value,
    routes: [...new Set(activations)]
      .filter((input) => input !== fill)
      .map((input) => ({ x: plan.slot(input), ...routeOf(plan, operator, input, output) })),
  }));
  return {
    forward: ({ kernels, rows }) => {
      for (const { y, routes, padding } of outputs) {
        y.value.data.fill(typeof padding === 'number' ? padding : padding.data[0]!);
        for (const { x, from, to } of routes) {
          const step = x.constant ? 0 : x.size;
          for (let row = 0; row < rows; row++)
            for (let i = 0; i < from.length; i++)
              y.value.data[row * y.size + to[i]!] = x.value.data[row * step + from[i]!]!;
        }
        if (fused) kernels.clamp(y.value.at, rows * y.size, low, high);
      }
    },
    backward: ({ kernels, rows }) => {
      for (const { y, routes } of outputs) {
        if (fused) kernels.mask(y.gradient!.at, y.value.at, rows * y.size, low, high);
        for (const { x, from, to } of routes) {
          if (!x.gradient) continue;
          const step = x.constant ? 0 : x.size;
          for (let row = 0; row < rows; row++)
            for (let i = 0; i < from.length; i++)
              x.gradient.data[row * step + from[i]!]! += y.gradient!.data[row * y.size + to[i]!]!;
        }
      }
    },
  };
}

/** Runs the operator alone, with the numbers 1, 2, 3, … in one input and 0 in all others. */
function routeOf(plan: Planner, operator: Move, input: number, output: number): Route {
  const { tensors } = plan.graph;
  const plain = tensors.map((tensor, index): Tensor => {
    const floats = tensor.type === 'float32';
    const { name, shape, type } = tensor;
    if (index === input) return { name, shape, type };
    if (!operator.inputs.includes(index) || !floats) return tensor;
    return { name, shape, type, data: new Float32Array(plan.size(index)) };
  });
  const options =
    operator.op === 'CONCATENATION' ? { ...operator.options, activation: 'none' } : operator.options;
  const alone = {
    ...plan.graph,
    tensors: plain,
    operators: [{ ...operator, options } as Operator],
    inputs: [input],
    outputs: [output],
  };
  const places = Float32Array.from({ length: plan.size(input) }, (_, i) => i + 1);
  const moved = createInterpreter(alone).invoke(places);
  const to = Int32Array.from([...moved.keys()].filter((i) => moved[i]! > 0));
  return { input, from: to.map((i) => moved[i]! - 1), to };
}
