import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { AiotError } from '../../src/lib/core/errors.js';
import { type Random, seededRandom } from '../../src/lib/core/numbers.js';
import { elementCount, type Graph } from '../../src/lib/formats/tflite/graph.js';
import { importTflite } from '../../src/lib/formats/tflite/read.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { refusalOfMicro } from '../../src/lib/model/inspect/costs.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { architectures, quantizedOf } from '../support/architectures.js';
import { root } from '../support/cli.js';
import { engineKinds } from '../support/engine-kinds.js';
import { long } from '../support/every-tensor.js';
import { conditionsGraph } from '../support/integer-op-graphs.js';
import { fieldsOf, type Mutant, mutantOf } from '../support/model-mutants.js';
import { ruleCases } from '../support/model-rules.js';
import { runInFirmware } from '../support/native-interpreter.js';
import { oneOpGraphs } from '../support/one-op-graphs.js';
import { describeReal } from '../support/real.js';
import { runInPythonAsync } from '../support/tflite.js';

interface Job extends Mutant {
  name: string;
  graph: Uint8Array;
  input: Int8Array;
}

type CheckedJob = Pick<Job, 'name' | 'graph' | 'input'> & { ours: Int8Array; guarded: true };

/** Random mutations of models of each operator and each kind, with inputs for several runs of the whole model. */
function mutants(seed: number, each: number): Job[] {
  const random = seededRandom(seed);
  const kinds = Object.entries({ ...architectures, ...engineKinds });
  const graphs = [
    ...Object.entries(oneOpGraphs).flatMap(([op, make]) =>
      [1, 2, 3].map((n) => ({ name: `${op} ${n}`, graph: make(random) })),
    ),
    ...kinds.map(([name, make]) => ({ name, graph: quantizedOf(make, 100 + seed) })),
    ...[1, 2, 3].map((n) => ({ name: `conditions ${n}`, graph: conditionsGraph(seededRandom(n)) })),
  ].filter(({ graph }) => isInt8(graph));
  return graphs.flatMap(({ name, graph }) => {
    const file = writeTflite(graph);
    const fields = fieldsOf(file);
    const input = inputsOf(graph, random);
    return Array.from({ length: each }, () => {
      const mutant = mutantOf(file, fields, random);
      return { ...mutant, name: `${name}: ${mutant.what}`, graph: mutant.file, input };
    });
  });
}

const isInt8 = ({ tensors, inputs, outputs }: Graph) =>
  [...inputs, ...outputs].every((index) => tensors[index]!.type === 'int8');

function inputsOf(graph: Graph, random: Random): Int8Array {
  const size = elementCount(graph.tensors[graph.inputs[0]!]!.shape);
  return Int8Array.from({ length: 4 * size }, () => Math.floor(random() * 256) - 128);
}

/**
 * The result of a file in TypeScript: its outputs, null if it is rejected, or undefined if the firmware does not
 * support models like it.
 */
function oursOf(file: Uint8Array, input: Int8Array): Int8Array | null | undefined {
  try {
    const { graph, notes } = importTflite(file);
    // Our tools remove operators that only compute shapes, so devices never receive them.
    if (notes.some((note) => note.includes('became constants'))) return undefined;
    const interpreter = createInterpreter(graph);
    const { inputTensors, outputTensors } = interpreter;
    // Devices only run bundles, whose models have one input and one output.
    if (inputTensors.length > 1 || outputTensors.length > 1) return undefined;
    if (inputTensors[0]!.type !== 'int8' || outputTensors[0]!.type !== 'int8') return undefined;
    const size = elementCount(inputTensors[0]!.shape);
    const all: number[] = [];
    for (let at = 0; at + size <= input.length; at += size)
      all.push(...interpreter.invoke(input.subarray(at, at + size)));
    return Int8Array.from(all);
  } catch (error) {
    if (error instanceof AiotError && error.code.startsWith('AIOT_TFLITE_')) return null;
    throw error;
  }
}

/** The values of a file's input or output as the file stores them, because uint8 is read as int8, 128 lower. */
function asInFile(file: Uint8Array, side: 'inputs' | 'outputs', values: Int8Array): Int8Array {
  const { graph, notes } = importTflite(file);
  const { name } = graph.tensors[graph[side][0]!]!;
  return notes.includes(`tensor ${name} is uint8 in the file, and int8 here: each value is 128 lower`)
    ? values.map((value) => value ^ 0x80)
    : values;
}

/** Yields occasionally so that Vitest receives its responses, because thousands of models take longer than its timeout. */
const pause = async (index: number) => {
  if (index % 100 === 0) await setImmediate();
};

const same = (a: Int8Array, b: Int8Array) => Buffer.from(a.buffer).equals(Buffer.from(b.buffer));

describeReal('cmake', 'mutated models in the firmware’s interpreter, built with sanitizers', () => {
  let build = '';
  beforeAll(async () => {
    build = mkdtempSync(join(tmpdir(), 'aiot-firmware-'));
    for (const args of [
      ['-S', join(root, 'firmware'), '-B', build],
      ['--build', build, '--target', 'run_models', '--parallel', '2'],
    ])
      await promisify(execFile)('cmake', args, { maxBuffer: 2 ** 26 });
  }, 120_000);
  afterAll(() => {
    rmSync(build, { recursive: true, force: true });
  });

  it('are accepted and rejected as in aiot, with the same outputs', async () => {
    const jobs = mutants(31, long ? 400 : 100);
    const theirs = await runInFirmware(join(build, 'run_models'), jobs);
    const different: string[] = [];
    const counts = { accepted: 0, refused: 0 };
    for (const [index, { name, graph, input }] of jobs.entries()) {
      await pause(index);
      const { said, output } = theirs[index]!;
      // The available memory is not one of the rules.
      if (said === 'AIOT_MEMORY_SHORT') continue;
      const ours = oursOf(graph, input);
      if (ours === undefined) continue;
      const accepted = said.startsWith('ok');
      if (accepted !== (ours !== null) || (ours && !same(ours, output)))
        different.push(`${name}: ${said} there, ${ours === null ? 'refused' : 'accepted'} here`);
      counts[accepted ? 'accepted' : 'refused']++;
    }
    expect(different).toEqual([]);
    expect(counts.accepted).toBeGreaterThan(jobs.length / 20);
    expect(counts.refused).toBeGreaterThan(jobs.length / 2);
  }, 600_000);
});

describeReal('tflm', 'mutated models in TFLite Micro', () => {
  /**
   * If both accept a model, the outputs must be the same. Models that TFLite Micro rejects for lack of memory are
   * excluded.
   */
  const compare = async (jobs: { name: string; graph: Uint8Array; input: Int8Array }[]) => {
    const taken: CheckedJob[] = [];
    for (const [index, job] of jobs.entries()) {
      await pause(index);
      const ours = oursOf(job.graph, job.input);
      // Devices also run a RELU6 with an output of another scale, which TFLite Micro ignores.
      if (!ours || refusalOfMicro(importTflite(job.graph).graph) !== null) continue;
      const { graph, input } = job;
      const [given, wanted] = [asInFile(graph, 'inputs', input), asInFile(graph, 'outputs', ours)];
      taken.push({ ...job, input: given, ours: wanted, guarded: true });
    }
    const answers = await runInPythonAsync<{ refused?: string }>('tflm', taken);
    const different: string[] = [];
    taken.forEach(({ name, ours, graph }, index) => {
      const { output, report } = answers[index]!;
      if (report.refused !== undefined && largest(graph) > 100_000) return;
      if (report.refused !== undefined) different.push(`${name}: ${report.refused}`);
      else if (!same(ours, output)) different.push(`${name}: other outputs`);
    });
    return { compared: taken.length, different };
  };
  const largest = (file: Uint8Array) =>
    Math.max(...importTflite(file).graph.tensors.map(({ shape }) => elementCount(shape)));

  it('produce the same outputs if both accept them', async () => {
    const { compared, different } = await compare(mutants(32, long ? 200 : 40));
    expect(different).toEqual([]);
    expect(compared).toBeGreaterThan(200);
  }, 600_000);

  it('are accepted if the list of rules accepts them', async () => {
    const random = seededRandom(1);
    // In one case, the input is also the output, which TFLite Micro does not support. It also ignores the output scale of a RELU6.
    const right = ruleCases().cases.filter(
      ({ accepted, what, file }) =>
        accepted && !what.includes('outputs 0') && refusalOfMicro(importTflite(file).graph) === null,
    );
    const jobs = right.map(({ what, file }) => ({
      ...{ name: what, graph: file },
      input: inputsOf(importTflite(file).graph, random),
    }));
    const { compared, different } = await compare(jobs);
    expect(different).toEqual([]);
    expect(compared).toBe(jobs.length);
  }, 300_000);
});
