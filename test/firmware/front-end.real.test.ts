import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { elementBytes, elementCount, type Graph } from '../../src/lib/formats/tflite/graph.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { root } from '../support/cli.js';
import { long, tensorsInTflm } from '../support/every-tensor.js';
import { definedValues, frontEndGraphs, oneInput, soundInputs } from '../support/front-end-graphs.js';
import { expectRecorded } from '../support/judged.js';
import { runInFirmware } from '../support/native-interpreter.js';
import { describeReal } from '../support/real.js';

const [files, runs] = long ? [100, 200] : [16, 20];

/** A job for each tensor that the operators yield, as the output of a network. Outputs of uint64 are read by square roots only. */
function jobsOf(name: string) {
  const random = seededRandom(73);
  return Array.from({ length: files }, (_, at) => {
    const graph = oneInput(frontEndGraphs[name]!(random));
    const input = soundInputs(graph, random, runs);
    const made = graph.operators.flatMap(({ outputs }) => outputs);
    const ends = made.filter((index) => graph.tensors[index]!.type !== 'uint64');
    return { name: `${name} ${at}`, graph, input, made, ends };
  });
}

/** The bytes of one tensor in consecutive runs, from those of all tensors. */
function bytesOf(graph: Graph, made: readonly number[], tensor: number, all: Buffer): Buffer {
  const sizes = made.map(
    (index) => elementCount(graph.tensors[index]!.shape) * elementBytes(graph.tensors[index]!.type),
  );
  const step = sizes.reduce((sum, size) => sum + size, 0);
  const place = made.indexOf(tensor);
  const start = sizes.slice(0, place).reduce((sum, size) => sum + size, 0);
  const parts = Array.from({ length: all.length / step }, (_, run) =>
    all.subarray(run * step + start, run * step + start + sizes[place]!),
  );
  return Buffer.concat(parts);
}

/** The same, computed by the TypeScript interpreter, after another run and a reset. */
function computedHere(graph: Graph, tensor: number, input: Int16Array | Uint32Array): Buffer {
  const interpreter = createInterpreter({ ...graph, outputs: [tensor] });
  const size = elementCount(interpreter.inputTensors[0]!.shape);
  interpreter.invoke(input.subarray(0, size));
  interpreter.reset();
  const parts: Buffer[] = [];
  for (let at = 0; at < input.length; at += size) {
    const values = interpreter.invoke(input.subarray(at, at + size));
    parts.push(Buffer.from(values.slice().buffer));
  }
  return Buffer.concat(parts);
}

describeReal('cmake', 'the audio front end in the firmware, built with sanitizers', () => {
  let build = '';
  let program = '';
  beforeAll(async () => {
    build = mkdtempSync(join(tmpdir(), 'aiot-firmware-'));
    program = join(build, 'run_models');
    for (const args of [
      ['-S', join(root, 'firmware'), '-B', build],
      ['--build', build, '--target', 'run_models', '--parallel', '2'],
    ])
      await promisify(execFile)('cmake', args, { maxBuffer: 2 ** 26 });
  }, 240_000);
  afterAll(() => {
    rmSync(build, { recursive: true, force: true });
  });

  const judged = new Map<string, number>();
  describeReal('tflm', 'compared with TFLite Micro', () => {
    it.each(Object.keys(frontEndGraphs))(
      '%s: computes every tensor of consecutive steps bit for bit',
      async (name) => {
        const jobs = jobsOf(name);
        const theirs = tensorsInTflm(jobs);
        const ends = jobs.flatMap(({ graph, input, ends: own }) =>
          own.map((tensor) => ({ graph: { ...graph, outputs: [tensor] }, input })),
        );
        const ours = await runInFirmware(program, ends);
        let at = 0;
        jobs.forEach((job, index) => {
          const { graph, input, made } = job;
          const parts = new Map(
            job.ends.map((tensor) => {
              const { output, said } = ours[at++]!;
              expect(said, job.name).toMatch(/^ok \d+$/);
              const bytes = Buffer.from(output.buffer);
              expect(bytes.equals(computedHere(graph, tensor, input)), `${job.name}, ${tensor}, here`).toBe(
                true,
              );
              return [tensor, bytes];
            }),
          );
          // Tensors that no network of the firmware outputs have TFLite Micro's own values.
          const whole = interleaved(
            graph,
            made,
            runs,
            (tensor) => parts.get(tensor) ?? bytesOf(graph, made, tensor, theirs[index]!),
          );
          expect(definedValues(graph, whole).equals(definedValues(graph, theirs[index]!)), job.name).toBe(
            true,
          );
          for (const { op } of graph.operators) judged.set(op, (judged.get(op) ?? 0) + 1);
        });
      },
      long ? 600_000 : 240_000,
    );

    it('has judged every operator of the front end', async () => {
      const often = [...judged].filter(([op, count]) => op.startsWith('SIGNAL_') && count >= 10);
      await expectRecorded('firmware.TFLM.front-end', often.map(([op]) => op) as never);
    });
  });
});

/** The bytes of all tensors, run by run, from those of each. */
function interleaved(
  graph: Graph,
  made: readonly number[],
  count: number,
  partOf: (tensor: number) => Buffer,
): Buffer {
  const parts = made.map((tensor) => {
    const { shape, type } = graph.tensors[tensor]!;
    return { bytes: partOf(tensor), size: elementCount(shape) * elementBytes(type) };
  });
  return Buffer.concat(
    Array.from({ length: count }, (_, run) =>
      parts.map(({ bytes, size }) => bytes.subarray(run * size, (run + 1) * size)),
    ).flat(),
  );
}
