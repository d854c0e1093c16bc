import type { Graph, Operator, Tensor } from '../../formats/tflite/graph.js';
import { createInterpreter } from '../../runtime/interpreter/interpreter.js';
import type { Interpreter, OnTensor } from '../../runtime/interpreter/node.js';
import { floatView } from '../../runtime/litert.js';

/** Runs a network in any mode on real values. */
interface Runner {
  /** The interpreter's tensors, which the next run overwrites. Indices are those of the given graph. */
  readonly tensors: Interpreter['tensors'];
  /** The next run overwrites the returned array. @throws AIOT_TFLITE_INPUT */
  run(row: Float32Array): Float32Array;
}

/**
 * Runs integer networks in the device interpreter, with QUANTIZE and DEQUANTIZE at the ends. Dynamic-range networks, which no device
 * supports, run as in LiteRT: float arithmetic on weights and inputs rounded to int8.
 */
export function createRunner(graph: Graph): Runner {
  const { graph: runnable, rounded } = simulated(graph);
  const interpreter = createInterpreter(floatView(runnable), { compiled: true });
  const round: OnTensor | undefined =
    rounded.size === 0
      ? undefined
      : (index, values) => {
          if (rounded.has(index)) roundInPlace(values as Float32Array);
        };
  return {
    tensors: interpreter.tensors,
    run: (row) => interpreter.invoke(row, round) as Float32Array,
  };
}

/** Gives layers with int8 weights on float activations float weights and a copy of their input, which is then rounded. */
function simulated(graph: Graph): { graph: Graph; rounded: Set<number> } {
  const rounded = new Set<number>();
  const tensors: Tensor[] = [...graph.tensors];
  const operators = graph.operators.flatMap((operator): Operator[] => {
    const [x = -1, w = -1, ...rest] = operator.inputs;
    const [input, weights] = [graph.tensors[x], graph.tensors[w]];
    if (input?.type !== 'float32' || !(weights?.data instanceof Int8Array)) return [operator];
    const { quantization, ...bare } = weights;
    const [scale, axis] = [quantization?.scale ?? [1], quantization?.axis ?? 0];
    const block = weights.shape.slice(axis + 1).reduce((product, size) => product * size, 1);
    const data = Float32Array.from(weights.data, (q, i) => q * scale[Math.floor(i / block) % scale.length]!);
    const one = tensors.push({ name: 'one', shape: [], type: 'float32', data: Float32Array.of(1) }) - 1;
    const copy = tensors.push({ name: `${input.name}/copy`, shape: input.shape, type: 'float32' }) - 1;
    const wide = tensors.push({ ...bare, type: 'float32', data }) - 1;
    rounded.add(copy);
    return [
      { op: 'MUL', inputs: [x, one], outputs: [copy], options: { activation: 'none' } },
      { ...operator, inputs: [copy, wide, ...rest] } as Operator,
    ];
  });
  return rounded.size === 0 ? { graph, rounded } : { graph: { ...graph, tensors, operators }, rounded };
}

/** Converts values to int8 and back, using only the range of these values, including 0 (LiteRT's dynamic quantization of activations). */
function roundInPlace(values: Float32Array): void {
  let [low, high] = [0, 0];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const scale = (high - low) / 255;
  if (scale === 0) return;
  const zero = Math.round(-128 - low / scale);
  for (let i = 0; i < values.length; i++) {
    const q = Math.min(127, Math.max(-128, Math.round(values[i]! / scale) + zero));
    values[i] = (q - zero) * scale;
  }
}
