import type { Random } from '../../src/lib/core/numbers.js';
import { elementBytes, elementCount, type Graph, hasFrontEnd } from '../../src/lib/formats/tflite/graph.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { inputSize } from './architectures.js';
import { runInPython } from './tflite.js';

/**
 * Whether to run the full comparison (AIOT_LONG=1), which has 2,000 inputs per model and takes minutes, rather than a
 * sample of it.
 */
export const long = process.env.AIOT_LONG === '1';

/** Inputs of a model. */
type Inputs = Int8Array | Int16Array | Int32Array | Uint8Array | Uint32Array | Float32Array;

/**
 * `runs` consecutive random inputs, half of them over the whole integer range, and half near the middle, like real
 * values. float32 inputs are within ±3. All inputs of the graph have the same type.
 */
export function chanceInputs(graph: Graph, random: Random, runs: number): Inputs {
  const { type } = graph.tensors[graph.inputs[0]!]!;
  const [size, half] = [inputSize(graph), type === 'int16' ? 32768 : 128];
  const value = (_: unknown, at: number) => {
    const wide = Math.floor(at / size) % 2 === 0;
    return Math.floor(((wide ? random() : (random() + random() + random()) / 3) * 2 - 1) * half);
  };
  if (type === 'int32')
    return Int32Array.from({ length: size * runs }, () => Math.floor(random() * 200) - 100);
  if (type === 'uint32')
    return Uint32Array.from({ length: size * runs }, () => Math.floor(2 ** (random() * 32)));
  if (type === 'bool') return Uint8Array.from({ length: size * runs }, () => Math.floor(random() * 2));
  if (type === 'float32') return Float32Array.from({ length: size * runs }, () => random() * 6 - 3);
  return type === 'int16'
    ? Int16Array.from({ length: size * runs }, value)
    : Int8Array.from({ length: size * runs }, value);
}

/** The raw bytes of every operator's outputs in TFLite Micro, run by run. */
export function tensorsInTflm(jobs: { graph: Graph; input: Inputs }[]): Buffer[] {
  return tensorsIn('tflm', jobs);
}

/** The raw bytes of every operator's outputs, run by run, from TFLite Micro or from LiteRT's reference kernels. */
export function tensorsIn(judge: 'tflm' | 'litert', jobs: { graph: Graph; input: Inputs }[]): Buffer[] {
  const exposed = jobs.map(({ graph, input }) => {
    const outputs = graph.operators.flatMap((operator) => operator.outputs);
    const file = writeTflite({ ...graph, outputs });
    // A small file with a large Fourier transform needs more than the default arena.
    const arena = hasFrontEnd(graph) ? { arena: 2 ** 20 } : {};
    const ends = { inputs: graph.inputs.length, outputs: outputs.length };
    return { graph: file, input, ...ends, ...arena, reference: true };
  });
  return runInPython(judge, exposed).map(({ output }) => Buffer.from(output.buffer));
}

/** The raw bytes of every operator's outputs from the device interpreter, run by run. */
export function tensorsOnDevice({ graph, input }: { graph: Graph; input: Inputs }): Buffer {
  const interpreter = createInterpreter(graph);
  const size = inputSize(graph);
  const made = graph.operators.flatMap((operator) => operator.outputs.map((index) => graph.tensors[index]!));
  const bytes = made.reduce((sum, { type, shape }) => sum + elementBytes(type) * elementCount(shape), 0);
  const all = Buffer.alloc((bytes * input.length) / size);
  const each = (start: number) => {
    let end = start;
    return graph.inputs.map((index) => {
      const length = elementCount(graph.tensors[index]!.shape);
      end += length;
      return input.subarray(end - length, end);
    });
  };
  let at = 0;
  for (let start = 0; start < input.length; start += size)
    interpreter.run(each(start), (index, values) => {
      if (graph.inputs.includes(index)) return;
      all.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), at);
      at += values.byteLength;
    });
  return all;
}
