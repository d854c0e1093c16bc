import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, expect, it } from 'vitest';
import { AiotError } from '../../src/lib/core/errors.js';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { elementBytes, elementCount, type Graph } from '../../src/lib/formats/tflite/graph.js';
import { importTflite } from '../../src/lib/formats/tflite/read.js';
import { refusalOfMicro } from '../../src/lib/model/inspect/costs.js';
import { quantizeGraph } from '../../src/lib/model/quantize/graph/quantize-graph.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { root } from '../support/cli.js';
import { chanceInputs, long } from '../support/every-tensor.js';
import { describeReal, python } from '../support/real.js';
import { runInPython } from '../support/tflite.js';

/**
 * Random networks of Keras layers (random_keras.py), converted by TensorFlow. A short run makes the first few of them; AIOT_LONG=1 makes
 * as many as the docs state.
 */
const [counts, runs] = long
  ? [{ float32: 49, int8: 49, int16x8: 43, several: 12, recurrent: 30 }, 550]
  : [{ float32: 6, int8: 8, int16x8: 8, several: 3, recurrent: 4 }, 20];

type Kind = 'float32' | 'int8' | 'int16x8';

interface Network {
  file: Uint8Array;
  graph: Graph;
  notes: string[];
  input: ReturnType<typeof chanceInputs>;
}

const bytesOf = (values: { buffer: ArrayBufferLike; byteOffset: number; byteLength: number }) =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength).slice();

/** Reads a network; returns the reason if it is rejected. */
function networkOf(file: Uint8Array, seed: number): Network | string {
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
function expectSameBits(networks: readonly Network[]): number {
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
function expectClose(networks: readonly Network[], judge: Judge = 'tflm'): void {
  const whose = judge === 'tflm' ? 'graph' : 'file';
  const jobs = networks.map((network) => ({ graph: network[whose], input: network.input, reference: true }));
  runInPython(judge, jobs).forEach(({ output }, at) => {
    const { graph } = networks[at]!;
    const traces = tracesOf(networks[at]!);
    const ours = Array.from({ length: runs }, (_, run) =>
      graph.outputs.map((index) => traces.get(index)![run]!),
    );
    expect(apart(Buffer.concat(ours.flat()), new Uint8Array(output)), `${at}`).toBeLessThan(2e-5);
  });
}

describeReal('tensorflow', 'random Keras networks in files of TensorFlow’s converter', () => {
  const folder = mkdtempSync(join(tmpdir(), 'aiot-random-keras-'));
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  const networksOf = async (count: number, kind: Kind, ...ends: ('several' | 'recurrent')[]) => {
    const made = mkdtempSync(join(folder, `${kind}-`));
    const script = join(root, 'test', 'support', 'python', 'random_keras.py');
    // Python takes minutes, during which this process must respond to the test runner.
    const args = [script, made, String(count), kind, ...ends];
    await promisify(execFile)(python('tensorflow'), args, { maxBuffer: 2 ** 26 });
    const networks = Array.from({ length: count }, (_, at) => {
      const network = networkOf(new Uint8Array(readFileSync(join(made, `${at}.tflite`))), at);
      if (typeof network !== 'string') return [network];
      const layers = readFileSync(join(made, `${at}.txt`), 'utf8');
      process.stderr.write(`${kind} network ${at} (${layers}): ${network}\n`);
      return [];
    }).flat();
    process.stderr.write(`${networks.length} of ${count} ${kind} networks are accepted\n`);
    return networks;
  };

  describeReal('tflm', 'compared with TFLite Micro', () => {
    it('at least 45 of 49 float32 networks are accepted, and all of them match its results', async () => {
      const networks = await networksOf(counts.float32, 'float32');
      expect(networks.length).toBeGreaterThanOrEqual(Math.floor((counts.float32 * 45) / 49));
      expectClose(networks);
    }, 900_000);

    it.each(['int8', 'float32'] as const)(
      'all %s networks with several inputs or outputs are accepted, and match',
      async (kind) => {
        const networks = await networksOf(counts.several, kind, 'several');
        expect(networks).toHaveLength(counts.several);
        expect(networks.filter(({ graph }) => graph.inputs.length > 1).length).toBeGreaterThan(0);
        expect(networks.filter(({ graph }) => graph.outputs.length > 1).length).toBeGreaterThan(0);
        if (kind === 'float32') expectClose(networks);
        else expectSameBits(networks);
      },
      600_000,
    );

    describeReal('litert', 'and with LiteRT', () => {
      it('at least 45 of 49 int8 networks are accepted, and all of them match bit for bit', async () => {
        const networks = await networksOf(counts.int8, 'int8');
        expect(networks.length).toBeGreaterThanOrEqual(Math.floor((counts.int8 * 45) / 49));
        const whole = expectSameBits(networks);
        process.stderr.write(`${whole} of ${networks.length} run in TFLite Micro completely\n`);
      }, 900_000);

      it('rolled recurrent layers are unrolled, match the results of the loops, and can be quantized', async () => {
        const networks = await networksOf(counts.recurrent, 'float32', 'recurrent');
        expect(networks).toHaveLength(counts.recurrent);
        for (const { notes, graph } of networks) {
          expect(notes.join()).toMatch(/\d+ steps of loops are unrolled/);
          expect(graph.operators.some(({ op }) => op === 'GATHER')).toBe(true);
        }
        // TFLite Micro's own loops yield other results for some of these files, so LiteRT runs the files.
        expectClose(networks, 'litert');
        expectClose(networks);
        const quantized = networks.map((network): Network => {
          const size = network.input.length / runs;
          const rows = Array.from({ length: runs }, (_, run) =>
            Float32Array.from(network.input.subarray(run * size, (run + 1) * size)),
          );
          const { graph } = quantizeGraph(network.graph, rows, { mode: 'int8', calibration: 'min-max' });
          return { ...network, graph, input: chanceInputs(graph, seededRandom(size), runs) };
        });
        expect(expectSameBits(quantized)).toBe(networks.length);
      }, 600_000);

      it('at least 40 of 43 int16x8 networks are accepted, and all of them match bit for bit', async () => {
        const networks = await networksOf(counts.int16x8, 'int16x8');
        expect(networks.length).toBeGreaterThanOrEqual(Math.floor((counts.int16x8 * 40) / 43));
        const whole = expectSameBits(networks);
        process.stderr.write(`${whole} of ${networks.length} run in TFLite Micro completely\n`);
      }, 900_000);
    });
  });
});
