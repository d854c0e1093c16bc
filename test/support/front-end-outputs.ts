import { expect } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { elementBytes, elementCount, type Graph } from '../../src/lib/formats/tflite/graph.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { tensorsInTflm } from './every-tensor.js';
import {
  definedValues,
  frontEndGraphs,
  oneInput,
  realFrontEndGraphs,
  soundInputs,
} from './front-end-graphs.js';

/** A network with one output, and consecutive inputs. */
interface Network {
  graph: Graph;
  input: ReturnType<typeof soundInputs>;
}

/**
 * Compares `run`, which computes the outputs of networks, with TFLite Micro and with the TypeScript interpreter, in every tensor of random
 * models of the audio front end over `runs` consecutive steps. Tensors of uint64, which no network outputs, are compared through their square
 * roots.
 * @returns the models
 */
export async function compareFrontEnds(
  name: string,
  [files, runs]: readonly [files: number, runs: number],
  run: (networks: Network[]) => Promise<ArrayBufferView[]>,
): Promise<Graph[]> {
  const random = seededRandom(73);
  const jobs = Array.from({ length: files }, () => {
    const graph = oneInput({ ...frontEndGraphs, ...realFrontEndGraphs }[name]!(random));
    const input = soundInputs(graph, random, runs);
    const made = graph.operators.flatMap(({ outputs }) => outputs);
    const ends = made.filter((index) => graph.tensors[index]!.type !== 'uint64');
    return { graph, input, made, ends };
  });
  const theirs = tensorsInTflm(jobs);
  const networks = jobs.flatMap(({ graph, input, ends }) =>
    ends.map((tensor) => ({ graph: { ...graph, outputs: [tensor] }, input })),
  );
  const ours = await run(networks);
  let at = 0;
  jobs.forEach(({ graph, input, made, ends }, index) => {
    const parts = new Map(
      ends.map((tensor) => {
        const { buffer, byteOffset, byteLength } = ours[at++]!;
        const bytes = Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength);
        const here = computedHere(graph, tensor, input);
        expect(bytes.equals(here), `${name} ${index}, tensor ${tensor}, here`).toBe(true);
        return [tensor, bytes];
      }),
    );
    const partOf = (tensor: number) => parts.get(tensor) ?? bytesOf(graph, made, tensor, theirs[index]!);
    const whole = definedValues(graph, interleaved(graph, made, runs, partOf));
    expect(whole.equals(definedValues(graph, theirs[index]!)), `${name} ${index}`).toBe(true);
  });
  return jobs.map(({ graph }) => graph);
}

const sizeOf = ({ tensors }: Graph, index: number) =>
  elementCount(tensors[index]!.shape) * elementBytes(tensors[index]!.type);

/** Extracts the bytes of one tensor in consecutive runs from the bytes of all tensors. */
function bytesOf(graph: Graph, made: readonly number[], tensor: number, all: Buffer): Buffer {
  const sizes = made.map((index) => sizeOf(graph, index));
  const step = sizes.reduce((sum, size) => sum + size, 0);
  const place = made.indexOf(tensor);
  const start = sizes.slice(0, place).reduce((sum, size) => sum + size, 0);
  const parts = Array.from({ length: all.length / step }, (_, run) =>
    all.subarray(run * step + start, run * step + start + sizes[place]!),
  );
  return Buffer.concat(parts);
}

/** The bytes of one tensor in consecutive runs of the TypeScript interpreter, which follow another run and a reset. */
function computedHere(graph: Graph, tensor: number, input: Network['input']): Buffer {
  const interpreter = createInterpreter({ ...graph, outputs: [tensor] });
  const size = elementCount(interpreter.inputTensors[0]!.shape);
  interpreter.invoke(input.subarray(0, size));
  interpreter.reset();
  const parts: Buffer[] = [];
  for (let at = 0; at < input.length; at += size)
    parts.push(Buffer.from(interpreter.invoke(input.subarray(at, at + size)).slice().buffer));
  return Buffer.concat(parts);
}

/** Joins the bytes of the single tensors into those of all tensors, run by run. */
function interleaved(
  graph: Graph,
  made: readonly number[],
  runs: number,
  partOf: (tensor: number) => Buffer,
): Buffer {
  const parts = made.map((tensor) => ({ bytes: partOf(tensor), size: sizeOf(graph, tensor) }));
  return Buffer.concat(
    Array.from({ length: runs }, (_, run) =>
      parts.map(({ bytes, size }) => bytes.subarray(run * size, (run + 1) * size)),
    ).flat(),
  );
}
