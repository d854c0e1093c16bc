import { expect } from 'vitest';
import { AiotError } from '../../src/lib/core/errors.js';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { elementBytes, elementCount, type Graph } from '../../src/lib/formats/tflite/graph.js';
import { importTflite } from '../../src/lib/formats/tflite/read.js';
import { refusalOfMicro } from '../../src/lib/model/inspect/costs.js';
import { quantizeGraph } from '../../src/lib/model/quantize/graph/quantize-graph.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { chanceInputs, long } from './every-tensor.js';
import { runInPython } from './tflite.js';

/** Runs of each network. */
const runs = long ? 550 : 20;

/** A file of TensorFlow's converter, read, with random inputs for all runs. */
export interface Network {
  file: Uint8Array;
  graph: Graph;
  notes: string[];
  input: ReturnType<typeof chanceInputs>;
}

const bytesOf = (values: { buffer: ArrayBufferLike; byteOffset: number; byteLength: number }) =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength).slice();

/** Reads a network; returns the reason if it is rejected. */
export function networkOf(file: Uint8Array, seed: number): Network | string {
  try {
    const { graph, notes } = importTflite(file);
    const input = chanceInputs(graph, seededRandom(seed), runs);
    createInterpreter(graph).invoke(input.slice(0, input.length / runs));
    return { file, graph, notes, input };
  } catch (error) {
    if (error instanceof AiotError) return error.message;
    throw error;
  }
}

/** Bytes of each tensor, run after run. */
function tracesOf({ graph, input }: Network): ReadonlyMap<number, Uint8Array[]> {
  const interpreter = createInterpreter(graph);
  const size = input.length / runs;
  const traces = new Map<number, Uint8Array[]>();
  for (let run = 0; run < runs; run++)
    interpreter.invoke(input.subarray(run * size, (run + 1) * size), (index, values) => {
      const trace = traces.get(index);
      if (trace) trace.push(bytesOf(values));
      else traces.set(index, [bytesOf(values)]);
    });
  // Operators on constants ran once, in advance.
  for (const index of graph.operators.flatMap(({ outputs }) => outputs))
    if (!traces.has(index)) traces.set(index, new Array(runs).fill(bytesOf(interpreter.tensors[index]!)));
  return traces;
}

type Judge = 'tflm' | 'litert';

/** Consecutive operators that one judge runs: TFLite Micro, or LiteRT for those that TFLite Micro lacks. */
function sectionsOf(network: Network): { judge: Judge; graph: Graph; input: Int8Array; ours: Buffer }[] {
  const { graph } = network;
  const traces = tracesOf(network);
  const judges = graph.operators.map(
    (operator): Judge => (refusalOfMicro({ ...graph, operators: [operator] }) === null ? 'tflm' : 'litert'),
  );
  const starts = judges.flatMap((judge, at) => (at === 0 || judge !== judges[at - 1] ? [at] : []));
  return starts.map((start, at) => {
    const operators = graph.operators.slice(start, starts[at + 1]);
    const outputs = operators.flatMap((operator) => operator.outputs);
    const taken = operators.flatMap(({ inputs }) => inputs).filter((index) => traces.has(index));
    const inputs = [...new Set(taken)].filter((index) => !outputs.includes(index));
    expect(new Set(inputs.map((index) => graph.tensors[index]!.type)).size).toBe(1);
    const joined = (indices: number[]) =>
      Buffer.concat(
        Array.from({ length: runs }, (_, run) => indices.map((index) => traces.get(index)![run]!)).flat(),
      );
    return {
      judge: judges[start]!,
      graph: { ...graph, operators, inputs, outputs },
      input: new Int8Array(joined(inputs)),
      ours: joined(outputs),
    };
  });
}

/** Compares every tensor with the judges. Returns the number of networks that TFLite Micro ran completely. */
export function expectSameBits(networks: readonly Network[]): number {
  let whole = 0;
  // A few networks at a time, because their traces take memory.
  for (let start = 0; start < networks.length; start += batch) {
    const sections = networks.slice(start, start + batch).flatMap((network, at) => {
      const own = sectionsOf(network);
      if (own.every(({ judge }) => judge === 'tflm')) whole += 1;
      return own.map((section) => ({ ...section, at: start + at, reference: true }));
    });
    for (const judge of ['tflm', 'litert'] as const) {
      const jobs = sections.filter((section) => section.judge === judge);
      if (jobs.length === 0) continue;
      runInPython(judge, jobs).forEach(({ output }, index) => {
        const { at, graph, ours } = jobs[index]!;
        expect(firstDifference(graph, ours, Buffer.from(output.buffer)), `network ${at}`).toBeUndefined();
      });
    }
  }
  return whole;
}

const batch = 8;

/**
 * The operator with the first different output, or undefined. float32 tensors between integers, such as those of an ELU, may differ by the
 * rounding of an exponential; integers must be the same.
 */
function firstDifference({ operators, tensors }: Graph, got: Buffer, want: Buffer): string | undefined {
  if (got.equals(want)) return undefined;
  if (got.length !== want.length) return `${want.length} bytes instead of ${got.length}`;
  let at = 0;
  for (let run = 0; run < runs; run++)
    for (const { op, outputs } of operators)
      for (const output of outputs) {
        const { type, shape } = tensors[output]!;
        const end = at + elementBytes(type) * elementCount(shape);
        const [a, b] = [got.subarray(at, end), want.subarray(at, end)];
        at = end;
        if (a.equals(b) || (type === 'float32' && apart(a, b) < 2e-5)) continue;
        return `${op} (${type} [${shape}]) in run ${run}`;
      }
  return undefined;
}

const floats = (bytes: Uint8Array) => new Float32Array(new Uint8Array(bytes).buffer);

/** Returns the largest difference as a share of the value, or of 1 if that is larger. */
function apart(got: Uint8Array, want: Uint8Array): number {
  const [a, b] = [floats(got), floats(want)];
  return b.reduce(
    (most, value, i) => Math.max(most, Math.abs(value - a[i]!) / Math.max(1, Math.abs(value))),
    0,
  );
}

/** Compares the outputs of float32 networks with those of TFLite Micro for our graph, or those of LiteRT for the original file. */
export function expectClose(networks: readonly Network[], judge: Judge = 'tflm'): void {
  const whose = judge === 'tflm' ? 'graph' : 'file';
  const jobs = networks.map((network) => ({
    ...{ graph: network[whose], input: network.input, reference: true },
    ...{ inputs: network.graph.inputs.length, outputs: network.graph.outputs.length },
  }));
  runInPython(judge, jobs).forEach(({ output }, at) => {
    const { graph } = networks[at]!;
    const traces = tracesOf(networks[at]!);
    const ours = Array.from({ length: runs }, (_, run) =>
      graph.outputs.map((index) => traces.get(index)![run]!),
    );
    expect(apart(Buffer.concat(ours.flat()), new Uint8Array(output)), `${at}`).toBeLessThan(2e-5);
  });
}

/** The float32 networks in int8, with random inputs for all runs. */
export function quantizedNetworks(networks: readonly Network[]): Network[] {
  return networks.map((network) => {
    const size = network.input.length / runs;
    const rows = Array.from({ length: runs }, (_, run) =>
      Float32Array.from(network.input.subarray(run * size, (run + 1) * size)),
    );
    const { graph } = quantizeGraph(network.graph, rows, { mode: 'int8', calibration: 'min-max' });
    return { ...network, graph, input: chanceInputs(graph, seededRandom(size), runs) };
  });
}
